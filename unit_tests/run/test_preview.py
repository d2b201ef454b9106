"""What a preview finds, and that it stops where a sync would."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.errors import Reason
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.run.preview import Preview
from destination_heap_analytics.run.preview_report import Findings

USERS = Stream("users", None, "incremental", "append", (), {})
TRACK = {
    "api_type": "track",
    "property_columns": "plan",
    "event_column": "event",
    "identity_column": "email",
    "timestamp_column": "at",
}
ALL_PROPERTIES = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}


def line(stream: str = "users", **data: Any) -> bytes:
    return json.dumps({"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 1}}).encode()


class Shown:
    """An output that remembers what it is given."""

    def __init__(self) -> None:
        self.begun = 0
        self.payloads: list[tuple[int, dict[str, Any]]] = []
        self.findings: Findings | None = None

    def begin(self, stream: Stream, settings: Settings) -> None:
        assert (stream.name, settings.app_id) == ("users", "11")
        self.begun += 1

    def payload(self, row: int, body: bytes) -> None:
        self.payloads.append((row, json.loads(body)))

    def end(self, findings: Findings) -> None:
        assert self.findings is None
        self.findings = findings


def preview(
    *batches: list[bytes], api: dict[str, Any] = ALL_PROPERTIES, limit: int = 5, source: Any = None, **settings: Any
) -> tuple[Findings, list[tuple[int, dict[str, Any]]]]:
    config = parse_config({"app_id": "11", "api": api, **settings})
    shown = Shown()
    batches_read = source or ((batch, 1) for batch in batches)
    Preview(config, USERS, "r").show(batches_read, shown, limit=limit, progress=Progress())
    assert shown.begun == 1
    assert shown.findings is not None
    return shown.findings, shown.payloads


def test_the_body_of_a_row_is_that_of_a_request_with_it_alone() -> None:
    """In both modes, with the app ID and the idempotency key."""
    row = line(email="a@b.c", event="Won", at="2022-10-04T22:39:53Z", plan=1.5)
    _, ((number, single),) = preview([row], api=TRACK)
    key = single.pop("idempotency_key")
    event = {
        "identity": "a@b.c",
        "event": "Won",
        "timestamp": "2022-10-04T22:39:53Z",
        "properties": {"plan": 1.5},
    }
    assert (number, single) == (1, {"app_id": "11", **event})
    assert len(key) == 64
    findings, ((_, bulk),) = preview([row], api=TRACK, delivery={"mode": "bulk"})
    assert bulk == {"app_id": "11", "events": [{**event, "idempotency_key": key}]}
    assert (findings.stream, findings.url, findings.mode, findings.repeatable) == (
        "users",
        "https://heapanalytics.com/api/track",
        "bulk",
        True,
    )


def test_the_first_payloads_are_shown_and_all_are_counted() -> None:
    """With the numbers of the rows in the input."""
    rows = [line(email=None), *(line(email=f"{number}@b.c") for number in range(9))]
    findings, payloads = preview(rows[:4], rows[4:], limit=3)
    assert [row for row, _ in payloads] == [2, 3, 4]
    assert (findings.rows, findings.mapped, findings.rejects.count) == (10, 9, 1)
    assert preview(rows, limit=0)[1] == []


def test_what_is_wrong_with_rows_is_counted() -> None:
    """By reason and column, with the first row numbers; lines that are not messages separately."""
    findings, _ = preview(
        [
            b"hello",
            line(email="a@b.c"),
            line(email=""),
            b'{"type": "RECORD", "record": {',
            b'{"type": "STATE", "state": {}}',
        ],
        [b'{"type": "RECORD", "record": {}}', b"", line(email=""), b"{}"],
    )
    assert (findings.rows, findings.mapped, findings.noise, findings.error) == (5, 1, 2, None)
    assert list(findings.rejects.explanations()) == [
        "2 rejected: column `email` is empty or blank (rows 2, 5).",
        "1 rejected: the row is not valid JSON (row 3).",
        f"1 rejected: the row {Reason.NO_DATA.value} (row 4).",
    ]


def test_changes_to_payloads_are_counted() -> None:
    """Values that are truncated, that collide, or that are left out."""
    rows = [line(email="a@b.c", bio="x" * 2000, **{"a.b": 1, "a": {"b": 2}, "Id": 3})] * 3
    findings, _ = preview(rows)
    assert dict(findings.cut) == {"bio": 3}
    assert dict(findings.collisions) == {"a.b": 3}
    assert dict(findings.forbidden) == {"Id": 3}


def test_unbounded_names_do_not_fill_the_memory() -> None:
    """Beyond the limit, they are counted together."""
    findings, _ = preview([line(email="a@b.c", **{f"c{number}": "x" * 2000}) for number in range(300)])
    assert len(findings.cut) == 51
    assert findings.cut[None] == 250


def test_listed_columns_that_no_row_has_are_reported_with_the_nearest_name() -> None:
    """As at the end of a sync."""
    api = {**ALL_PROPERTIES, "property_columns": "plam,plan,zzz"}
    findings, _ = preview([line(email="a@b.c", plan=1)], api=api)
    assert findings.unseen == {"plam": "plan", "zzz": None}
    assert findings.warnings[0].endswith("`plam` (did you mean `plan`?), `zzz`.")


def test_events_that_a_second_load_adds_again_are_recognized() -> None:
    """As a warning before it happens."""
    api = {key: value for key, value in TRACK.items() if key != "timestamp_column"}
    assert preview([line(email="a@b.c", event="Won")], api=api)[0].repeatable is False


def test_unknown_settings_are_reported() -> None:
    """As in the log of a sync."""
    assert preview([line(email="a")], ap="x")[0].unknown == "Unknown settings are ignored: `ap` (did you mean `api`?)."


@pytest.mark.parametrize("rows", [3, 1000, 1500])
def test_a_misspelled_column_is_reported_as_in_a_run(rows: int) -> None:
    """With the nearest name, and without payloads."""
    api = {**ALL_PROPERTIES, "identity_column": "emial"}
    findings, payloads = preview([line(email="a@b.c")] * rows, api=api)
    proof = "all 3 rows" if rows == 3 else "the first 1,000 rows"
    assert str(findings.error).startswith(
        f"`api.identity_column` refers to the column `emial`, which is absent from {proof} and from the catalog. "
        "Did you mean `email`?"
    )
    assert (findings.exit_code, findings.rows, findings.mapped, payloads) == (1, min(rows, 1000), 0, [])


def test_a_row_of_another_stream_stops_it() -> None:
    """The rows before it are shown."""
    findings, payloads = preview([line(email="a@b.c"), line(stream="orders", email="d"), line(email="e")])
    assert str(findings.error).startswith(
        "Row 2 belongs to stream `orders`, but this connection loads only stream `users`"
    )
    assert (findings.exit_code, findings.rows, len(payloads)) == (1, 2, 1)


def test_a_state_that_cannot_be_parsed_stops_it() -> None:
    """As it stops a sync."""
    findings, _ = preview([line(email="a@b.c"), b'{"type": "STATE", "state": {'])
    assert str(findings.error).startswith("Line 2 of the input begins like a STATE message")
    assert findings.exit_code == 1


@pytest.mark.parametrize("batches", [[], [[b'{"type":"STATE","state":{}}']]])
def test_if_no_row_arrives_there_is_nothing_to_load(batches: list[list[bytes]]) -> None:
    """This is not a success: the pipe or the file is wrong."""
    findings, _ = preview(*batches)
    assert str(findings.error).startswith("No rows received")
    assert findings.exit_code == 1


@pytest.mark.parametrize(("rows", "said"), [(1, "the only row is rejected"), (12, "all 12 rows are rejected")])
def test_if_no_row_can_be_mapped_there_is_nothing_to_load(rows: int, said: str) -> None:
    """The reasons are among the counts."""
    findings, _ = preview([line(email=None)] * rows)
    assert said in str(findings.error)
    assert findings.exit_code == 1


def test_if_rejected_rows_stop_a_sync_the_first_one_is_reported() -> None:
    """After the counts of all of them; the first by number, whatever the order in which they are found."""
    rows = [line(at=1), b'{"type": "RECORD", "record": {', line(email=None), line(email="a@b.c")]
    findings, _ = preview(rows, rejected_records="fail")
    assert str(findings.error).startswith("Row 1 is rejected, and `write` would stop there because `rejected_records`")
    assert (findings.exit_code, findings.mapped, findings.rejects.count) == (1, 1, 3)
    assert preview([line(email="a@b.c")], rejected_records="fail")[0].error is None


def test_an_input_error_is_reported() -> None:
    """With the system's reason."""

    def broken() -> Iterator[tuple[list[bytes], int]]:
        yield [line(email="a@b.c")], 1
        raise OSError(21, "Is a directory")

    findings, payloads = preview(source=broken())
    assert str(findings.error).startswith("Standard input cannot be read: Is a directory.")
    assert len(payloads) == 1


def test_an_interrupt_shows_what_was_found() -> None:
    """With the exit code that a shell expects."""

    def interrupted() -> Iterator[tuple[list[bytes], int]]:
        yield [line(email="a@b.c"), line(email=None)], 1
        raise KeyboardInterrupt

    findings, _ = preview(source=interrupted())
    assert (findings.rows, findings.mapped, findings.rejects.count) == (2, 1, 1)
    assert (findings.interrupted, findings.exit_code, findings.error) == (True, 130, None)


def many(batches: int) -> Iterator[tuple[list[bytes], int]]:
    rows = [line(email="a@b.c", bio="x" * 2000), line(email=None), b'{"type": "RECORD", "record": {'] * 30
    yield from ((rows, 1) for _ in range(batches))


def test_rows_are_mapped_and_rejected_the_same_after_the_first_thousand() -> None:
    """They take the fast lane then."""
    findings, _ = preview(source=many(20))
    assert (findings.rows, findings.mapped, findings.rejects.count) == (1800, 600, 1200)


def test_memory_does_not_grow_with_the_input() -> None:
    """Neither for mapped nor for rejected rows."""
    preview(source=many(2))  # warm up: what is created once
    tracemalloc.start()
    try:
        preview(source=many(100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000
