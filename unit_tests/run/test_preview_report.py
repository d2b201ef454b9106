"""What a preview found, as text and as JSON."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.run.estimate import Estimate
from destination_heap_analytics.run.preview_report import Findings, Json, Text

SETTINGS = parse_config(
    {"app_id": "11", "api": {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}}
).settings
BODY = b'{"app_id":"11","identity":"a@b.c","properties":{"plan":1.5}}'


def found(**more: Any) -> Findings:
    return Findings(stream="users", url="https://heapanalytics.com/api/track", mode="row", repeatable=True, **more)


def everything() -> Findings:
    findings = found(
        rows=12,
        mapped=10,
        noise=4,
        cut=Counter({"bio": 2, None: 1}),
        collisions=Counter({"a.b": 3, None: 7}),
        forbidden=Counter({"id": 1}),
        unseen={"plam": "plan"},
        warnings=("Nobody has `plam`.",),
        unknown="`ap` is unknown.",
    )
    for row in (3, 7):
        findings.rejects.add(row, RowRejectedError(Reason.NULL, "email"))
    return findings


def text(findings: Findings, *bodies: bytes, begun: bool = False, mode: str = "row") -> str:
    out = io.BytesIO()
    shown = Text(out, Progress())
    if begun:
        api = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}
        settings = parse_config({"app_id": "11", "api": api, "delivery": {"mode": mode}}).settings
        shown.begin(Stream("users", None, "incremental", "append", (), {}), settings)
    for row, body in enumerate(bodies, 1):
        shown.payload(row, body)
    shown.end(findings)
    return out.getvalue().decode()


def document(findings: Findings, *bodies: bytes) -> dict[str, Any]:
    out = io.BytesIO()
    shown = Json(out, Progress())
    for row, body in enumerate(bodies, 1):
        shown.payload(row, body)
    shown.end(findings)
    content: dict[str, Any] = json.loads(out.getvalue())
    return content


def test_a_text_preview_shows_payloads_then_counts_then_messages() -> None:
    """In this order."""
    assert text(everything(), BODY, begun=True) == (
        "Stream `users`, Add User Properties: `write` would post these to "
        "https://heapanalytics.com/api/add_user_properties, one row per request. Nothing is sent.\n"
        "\n"
        "Row 1:\n"
        "{\n"
        '  "app_id": "11",\n'
        '  "identity": "a@b.c",\n'
        '  "properties": {\n'
        '    "plan": 1.5\n'
        "  }\n"
        "}\n"
        "\n"
        "... and 9 more (`--limit 10` shows all).\n"
        "\n"
        "12 rows read, 10 mapped, 2 rejected.\n"
        "2 rejected: column `email` is null (rows 3, 7).\n"
        "2 values were truncated to Heap's maximum length, in column `bio`.\n"
        "1 value was truncated to Heap's maximum length, in other columns.\n"
        "Two values map to the property `a.b`: the one closest to the top level is sent (3 times).\n"
        "More names like these are not listed (7 times).\n"
        "Skipped column `id`: Heap does not allow a user property of that name (1 time).\n"
        "Skipped 4 lines that are not Airbyte messages.\n"
        "Nobody has `plam`.\n"
        "`ap` is unknown.\n"
    )


def test_rows_that_are_sent_together_are_reported_as_such() -> None:
    """Because each is shown separately."""
    assert "up to 1,000 rows per request; each row is shown as a separate request. Nothing" in text(
        found(), begun=True, mode="bulk"
    )


def test_problems_come_last() -> None:
    """Where the user sees them first."""
    assert text(found(rows=1, error="The rows are wrong.")) == (
        "\n1 row read, 0 mapped, 0 rejected.\n\nError: The rows are wrong.\n"
    )


def test_if_nothing_could_be_read_only_the_error_is_reported() -> None:
    """There is nothing to count."""
    assert text(Findings(error="No such file.")) == "\nError: No such file.\n"


def test_a_preview_that_was_interrupted_says_so() -> None:
    """Its counts are not those of the whole input."""
    assert text(found(interrupted=True)).endswith("Interrupted: the rest of the input was not read.\n")


def test_events_that_a_second_load_adds_again_give_a_warning() -> None:
    """With the remedy."""
    findings = found()
    findings.repeatable = False
    assert "set `api.timestamp_column`" in text(findings)


def test_unbounded_reasons_are_not_all_listed() -> None:
    """Only the first fifty are."""
    findings = found()
    for number in range(60):
        findings.rejects.add(number, RowRejectedError(Reason.NULL, f"c{number}"))
    lines = text(findings).splitlines()
    assert len([line for line in lines if line.startswith("1 rejected")]) == 50
    assert lines[-1] == "More reasons and columns are not listed."


def test_rows_cannot_control_the_terminal() -> None:
    """Characters that it would interpret, hide or garble are written as JSON escapes; all others are unchanged."""
    findings = found(mapped=1, warnings=("\x1b[2J \ud800 \x9b \u202e é",))
    shown = text(findings, '{"é😀":"\x9b2J\u202e\x7f"}'.encode())
    assert '"é😀": "\\u009b2J\\u202e\\u007f"' in shown
    assert "\\u001b[2J \\ud800 \\u009b \\u202e é" in shown


def test_the_json_output_is_one_document() -> None:
    """Its keys are those in the guide."""
    assert document(everything(), BODY, BODY) == {
        "payloads": [{"row": row, "body": json.loads(BODY)} for row in (1, 2)],
        "stream": "users",
        "url": "https://heapanalytics.com/api/track",
        "mode": "row",
        "repeatable": True,
        "rows": 12,
        "mapped": 10,
        "rejected": 2,
        "deletions": 0,
        "rejections": [
            {
                "reason": "null",
                "column": "email",
                "count": 2,
                "first_rows": [3, 7],
                "message": "2 rejected: column `email` is null (rows 3, 7).",
            }
        ],
        "cut": [{"column": "bio", "count": 2}, {"column": None, "count": 1}],
        "collisions": [{"property": "a.b", "count": 3}, {"property": None, "count": 7}],
        "forbidden": [{"column": "id", "count": 1}],
        "unnamable": [],
        "unseen_columns": [{"column": "plam", "nearest": "plan"}],
        "noise": 4,
        "estimate": None,
        "unknown_settings": "`ap` is unknown.",
        "interrupted": False,
        "error": None,
    }


def test_the_keys_are_there_even_if_nothing_could_be_read() -> None:
    """Programs need not check for them."""
    empty = document(Findings(error="No such file."))
    assert list(empty) == list(document(everything(), BODY))
    assert (empty["payloads"], empty["rows"], empty["stream"], empty["error"]) == ([], 0, None, "No such file.")


def test_a_body_in_the_document_is_what_would_be_posted_byte_by_byte() -> None:
    """Including all digits."""
    out = io.BytesIO()
    Json(out, Progress()).payload(1, BODY)
    assert BODY in out.getvalue()


def test_the_estimate_comes_after_the_messages() -> None:
    """JSON has its numbers; there is none if `write` would stop."""
    estimate = Estimate(SETTINGS)
    estimate.add("a@b.c")
    findings = found(rows=1, mapped=1, estimate=estimate)
    assert text(findings).endswith("1 row for 1 identity, at most 1 per identity.\n")
    assert document(findings)["estimate"] == {"seconds": 0.0, "keys": 1, "most_rows_of_one_key": 1}
    findings.error = "The rows are wrong."
    assert "1 identity" not in text(findings)
