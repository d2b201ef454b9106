"""`write` loads rows into Heap through its APIs, and returns the states."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer

from destination_heap_analytics import DestinationHeapAnalytics
from heap_sandbox.server import Sandbox

SAMPLES = Path(__file__).resolve().parents[1] / "sample_files"
CATALOG = SAMPLES / "configured_catalog.json"
MESSAGES = (SAMPLES / "messages.jsonl").read_bytes().splitlines()
RECORDS = [message["record"]["data"] for message in map(json.loads, MESSAGES) if message["type"] == "RECORD"]
SECRET = "wer.auch.immer@example.com"  # noqa: S105  # content of a row, which must never be seen in the output
SPEED = 30.0
"""The speed of the connector's clock, in tests with waits."""

OPEN_CATALOG = {
    "streams": [
        {
            "stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
    ]
}


def row(email: Any = SECRET, **columns: Any) -> dict[str, Any]:
    data = {"email": email, "event": "Paid", "at": "2022-10-21T04:09:54Z", **columns}
    return {"type": "RECORD", "record": {"stream": "users", "data": data, "emitted_at": 1}}


def state(number: int) -> dict[str, Any]:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"n": number}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": stream, "id": number}}


@pytest.fixture
def track(sample: Any) -> dict[str, Any]:
    """A configuration for the rows of this file."""
    api = {
        "api_type": "track",
        "property_columns": "plan",
        "event_column": "event",
        "identity_column": "email",
        "timestamp_column": "at",
    }
    return {**sample("track"), "api": api, "delivery": {"mode": "row"}}


def with_column(track: dict[str, Any], **columns: str) -> dict[str, Any]:
    return {**track, "api": {**track["api"], **columns}}


def events(heap: Any) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in event["payload"].items() if key != "idempotency_key"} for event in heap.events()
    ]


def test_the_sample_rows_arrive_as_events(connector: Any, heap: Any, sample: Any) -> None:
    """Each of them once, with the payload according to the settings."""
    run = connector.run("write", sample("track"), CATALOG, MESSAGES)
    assert (run.code, run.err) == (0, b"")
    assert events(heap) == [
        {
            "identity": data["email"],
            "event": data["identities"]["connection"],
            "timestamp": data["updated_at"],
            "properties": {name: data[name] for name in ("blocked", "created_at", "name")},
        }
        for data in RECORDS
    ]
    assert run.states == [(1, 12, 0), (2, 12, 0), (3, 12, 0)]


def test_the_sample_rows_arrive_as_user_properties(connector: Any, heap: Any, sample: Any) -> None:
    """The column written with an underscore is found inside its object, and nulls are left out."""
    assert connector.run("write", sample("user_properties"), CATALOG, MESSAGES).code == 0
    assert {user["identity"]: user["properties"] for user in heap.users()} == {
        data["user_id"]: {
            "identities_provider": data["identities"]["provider"],
            "created_at": data["created_at"],
            **({"nickname": data["nickname"]} if data["nickname"] is not None else {}),
        }
        for data in RECORDS
    }
    assert len(heap.users()) == 36


def test_the_sample_rows_arrive_as_account_properties(connector: Any, heap: Any, sample: Any) -> None:
    """With the account's ID, which is inside an object."""
    assert connector.run("write", sample("account_properties"), CATALOG, MESSAGES).code == 0
    assert {account["account_id"]: account["properties"] for account in heap.accounts()} == {
        data["identities"]["user_id"]: {name: data[name] for name in ("family_name", "email_verified", "blocked")}
        for data in RECORDS
    }
    assert len(heap.accounts()) == 36


def test_rows_are_sent_together_in_bulk_mode(connector: Any, heap: Any, sample: Any) -> None:
    """In one request, if there are few."""
    connector.run("write", sample("track"), CATALOG, MESSAGES)
    assert [request["form"] for request in heap.requests()] == ["bulk"]


@pytest.mark.parametrize("delivery", [None, {"mode": "row"}])
def test_each_row_is_a_request_in_row_mode(connector: Any, heap: Any, sample: Any, delivery: Any) -> None:
    """Also without a delivery setting; a few connections are kept alive."""
    run = connector.run("write", {**sample("track"), "delivery": delivery}, CATALOG, MESSAGES)
    assert run.states == [(1, 12, 0), (2, 12, 0), (3, 12, 0)]
    requests = heap.requests()
    assert [request["form"] for request in requests] == ["single"] * 36
    assert len({request["client_port"] for request in requests}) <= 4


def test_loading_again_adds_no_event(connector: Any, heap: Any, sample: Any) -> None:
    """A replay or a full refresh is harmless if rows have a timestamp or a primary key."""
    for _ in range(2):
        connector.run("write", sample("track"), CATALOG, MESSAGES)
    assert heap.stats()["events"] == 36


def test_the_log_reports_start_and_end(connector: Any, sample: Any) -> None:
    """Stream, modes, API and host; rows read, delivered and rejected."""
    run = connector.run("write", sample("track"), CATALOG, MESSAGES)
    assert "Loading stream `users` (incremental, append_dedup) into Heap with Track Events at 127.0.0.1:" in run.log
    assert "Done: 36 rows read, 36 delivered, 0 rejected" in run.log


STATES = [
    (
        '{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"users","namespace":null}'
        ',"stream_state":null},"sourceStats":{"recordCount":1.0},"id":1}}'
    ),
    (
        '{"type":"STATE","id":12345678901234567890,"state":{"type":"GLOBAL","global":{"shared_state":{"lsn":987654321098765432'
        '10,"at":1.10,"e":1E400},"stream_states":[{"stream_descriptor":{"name":"users"},"stream_state":{}}]},"later":{"a":[]}}}'
    ),
    '{"type":"STATE","state":{"data":{"cursor":"\\u00e9\\ud800","n":-0.0}},"later":true}',
    '{"type":"STATE","state":{"type":"TELEPORT","x":null}}',
]


def test_states_of_every_kind_are_returned_unchanged_except_for_the_counts(connector: Any, track: Any) -> None:
    """In order; with IDs, unknown keys, 20 digits, nulls and decimals as written."""
    lines = [line for text in STATES for line in (row(), text)]
    out = connector.run("write", track, OPEN_CATALOG, lines).out.decode()
    stats = '"destinationStats":{"recordCount": 1.0, "rejectedRecordCount": 0.0},'
    back = [line.replace(stats, "", 1) for line in out.splitlines() if '"STATE"' in line]
    assert back == STATES


def test_a_state_is_returned_while_the_source_is_silent(connector: Any, heap: Any, track: Any) -> None:
    """The input stays open, and nothing arrives after the state."""
    with connector.start(track, OPEN_CATALOG, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write((json.dumps(row()) + "\n" + json.dumps(state(7)) + "\n").encode())
        process.stdin.flush()
        back = next(message for message in map(json.loads, process.stdout) if message["type"] == "STATE")
        assert (back["state"]["id"], heap.stats()["events"]) == (7, 1)
        process.stdin.close()
        assert process.wait(60) == 0


ODD_LINES: list[str | bytes] = [
    f"no message: {SECRET}",
    "",
    "null",
    "[1, 2]",
    b"\xff\xfe " + SECRET.encode(),
    '{"type": "TELEPORT", "x": "' + SECRET + '"}',
    '{"type": "LOG", "log": {"level": "INFO", "message": "' + SECRET + '"}}',
    '{"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1.5}}',
    "{" * 5000,
]


@pytest.mark.parametrize("odd", ODD_LINES, ids=range(len(ODD_LINES)))
def test_a_line_that_is_not_a_row_does_not_affect_its_neighbours(
    connector: Any, heap: Any, track: Any, odd: str | bytes
) -> None:
    """And its content is not logged."""
    run = connector.run("write", track, OPEN_CATALOG, [row("a"), odd, row("b"), state(1)])
    assert (run.code, run.states) == (0, [(1, 2, 0)])
    assert sorted(event["identity"] for event in heap.events()) == ["a", "b"]
    assert SECRET.encode() not in run.out + run.err


ODD_ROWS: list[tuple[str | bytes, bool]] = [
    ('{"type":"RECORD","record":{"stream":"users","emitted_at":1.5,"data":{DATA}}}', True),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA}}}', True),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA,"x":NaN}}}', True),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA,"x":1e400}}}', True),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA,"x":"\\ud800"}}}', True),
    (b'{"type":"RECORD","record":{"stream":"users","data":{DATA,"x":"\xff"}}}', True),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA,"plan":NaN}}}', False),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA,"plan":-1e400}}}', False),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA,"plan":"\\udc00"}}}', False),
    (b'{"type":"RECORD","record":{"stream":"users","data":{DATA,"plan":"\xff"}}}', False),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA', False),
    ('{"type":"RECORD","record":{"stream":"users","data":"' + SECRET + '"}}', False),
    ('{"type":"RECORD","record":null}', False),
    ('{"type":"RECORD","record":{"stream":"users","data":{DATA,"x":' + "[" * 3000, False),
]


@pytest.mark.parametrize(("odd", "delivered"), ODD_ROWS, ids=range(len(ODD_ROWS)))
def test_a_row_that_is_hard_to_parse_is_delivered_or_counted_as_rejected(
    connector: Any, heap: Any, track: Any, odd: str | bytes, delivered: bool
) -> None:
    """The write never crashes, and its neighbours are not affected."""
    data = f'"email":"{SECRET}","event":"Paid","at":1666325394'.encode()
    line = (odd if isinstance(odd, bytes) else odd.encode()).replace(b"DATA", data)
    run = connector.run("write", track, OPEN_CATALOG, [row("a"), line, row("b"), state(1)])
    assert (run.code, run.states) == (0, [(1, 3, 0) if delivered else (1, 2, 1)])
    assert sorted(event["identity"] for event in heap.events()) == ["a", "b", *([SECRET] if delivered else [])]
    assert ("(row 2)" in run.log) is not delivered
    assert SECRET.encode() not in run.out + run.err


def test_large_integers_keep_their_digits(connector: Any, heap: Any, track: Any) -> None:
    """In an identity, in a property and in a primary key."""
    line = '{"type":"RECORD","record":{"stream":"users","data":{"email":%s,"event":"e","at":1666325394,"plan":%s}}}'
    digits = ("123456789012345678901", "123456789012345678902")
    connector.run("write", track, OPEN_CATALOG, [line % (n, n) for n in digits])
    assert {(event["identity"], event["properties"]["plan"]) for event in heap.events()} == {(n, n) for n in digits}


def test_a_misspelled_identity_column_is_recognised(connector: Any, heap: Any, track: Any) -> None:
    """With the nearest name; nothing is sent, and no state is returned."""
    run = connector.run(
        "write", with_column(track, identity_column="emial"), OPEN_CATALOG, [row(), state(1), row(), state(2)]
    )
    assert (run.code, run.error[0], run.states) == (1, "config_error", [])
    assert "`api.identity_column` refers to the column `emial`" in run.error[1]
    assert "Did you mean `email`?" in run.error[1]
    assert heap.stats()["requests"] == 0


def test_a_misspelled_timestamp_column_is_recognised(connector: Any, heap: Any, track: Any) -> None:
    """Before an event is sent with the wrong time."""
    config = with_column(track, timestamp_column="att")
    run = connector.run("write", config, OPEN_CATALOG, [*[row()] * 1200, state(1)])
    assert (run.code, run.error[0], run.states) == (1, "config_error", [])
    assert "absent from the first 1,000 rows" in run.error[1]
    assert "Did you mean `at`?" in run.error[1]
    assert heap.stats()["requests"] == 0


def test_two_streams_in_a_catalog_are_refused(connector: Any, heap: Any, track: Any) -> None:
    """With one message that lists them."""
    other = {**OPEN_CATALOG["streams"][0], "stream": {"name": "orders", "json_schema": {}}}
    run = connector.run("write", track, {"streams": [*OPEN_CATALOG["streams"], other]}, [row()])
    assert (run.code, run.error[0]) == (1, "config_error")
    assert (
        "One connection loads one stream into Heap, but the configured catalog has 2: `users`, `orders`."
        in run.error[1]
    )
    assert heap.stats()["requests"] == 0


def test_a_record_of_another_stream_is_refused(connector: Any, heap: Any, track: Any) -> None:
    """The states before it are valid."""
    other = {"type": "RECORD", "record": {"stream": "orders", "data": {"email": "x"}, "emitted_at": 1}}
    run = connector.run("write", track, OPEN_CATALOG, [row("a"), state(1), other, row("b"), state(2)])
    assert (run.code, run.error[0], run.states) == (1, "config_error", [(1, 1, 0)])
    assert "Row 2 belongs to stream `orders`" in run.error[1]
    assert [event["identity"] for event in heap.events()] == ["a"]


@pytest.mark.parametrize("mode", ["overwrite", "append", "append_dedup", "soft_delete", "upsert"])
def test_the_states_of_a_stream_without_rows_are_returned(connector: Any, heap: Any, track: Any, mode: str) -> None:
    """Also when a clear arrives as an overwrite with null states, and in sync modes of future protocols."""
    catalog = {"streams": [{**OPEN_CATALOG["streams"][0], "destination_sync_mode": mode}]}
    run = connector.run("write", track, catalog, STATES)
    assert (run.code, len(run.of("STATE"))) == (0, 4)
    assert heap.stats()["requests"] == 0
    assert "WARN" not in run.log


def test_a_run_in_which_the_mapping_rejects_every_row_succeeds(connector: Any, heap: Any, track: Any) -> None:
    """With exit code 0, all states, correct counts, and the reasons in the log."""
    run = connector.run(
        "write", track, OPEN_CATALOG, [row(None), row(""), state(1), row("x" * 256), row(True), state(2)]
    )
    assert (run.code, run.states) == (0, [(1, 0, 2), (2, 0, 2)])
    assert "Done: 4 rows read, 0 delivered, 4 rejected" in run.log
    for reason in ("is null (row 1)", "is empty or blank (row 2)", "is longer than Heap accepts (row 3)", "(row 4)"):
        assert f"column `email` {reason}" in run.log or reason in run.log
    assert heap.stats()["requests"] == 0


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_row_that_heap_refuses_is_rejected_and_the_others_continue(
    connector: Any, heap: Any, track: Any, status: int
) -> None:
    """With its number and the status; Heap's response, which echoes the row, is not logged."""
    heap.fault(kind="status", status=status, match=SECRET, body=f"{SECRET} is not nice")
    run = connector.run("write", track, OPEN_CATALOG, [row("a"), row(), row("b"), state(1)], speed=SPEED)
    assert (run.code, run.states) == (0, [(1, 2, 1)])
    assert f"status {status} (row 2)" in run.log
    assert sorted(event["identity"] for event in heap.events() if event["identity"] in "ab") == ["a", "b"]
    assert SECRET.encode() not in run.out + run.err


def test_a_wrong_app_id_stops_the_run(connector: Any, track: Any) -> None:
    """It does not reject every row in a sync that succeeds."""
    with Sandbox.start(app_ids=["12"]) as heap:
        run = connector.run("write", {**track, "base_url": heap.url}, OPEN_CATALOG, [row("a"), row("b"), state(1)])
        assert heap.stats()["requests"] == 3
    assert (run.code, run.error[0], run.states) == (1, "config_error", [])
    assert "was refused. `app_id` was refused" in run.error[1]


STOPS: list[tuple[dict[str, Any], str]] = [
    ({"status": 302, "headers": {"Location": f"https://example.com/{SECRET}"}}, "config_error"),
    ({"status": 200, "body": f"<html>{SECRET}", "content_type": "text/html"}, "config_error"),
    ({"status": 429, "body": SECRET, "headers": {"Retry-After": "3600"}}, "transient_error"),
    ({"status": 503, "body": SECRET, "headers": {"Retry-After": "3600"}}, "transient_error"),
]


@pytest.mark.parametrize(("fault", "kind"), STOPS, ids=[str(fault["status"]) for fault, _ in STOPS])
def test_a_permanent_failure_stops_the_run_with_no_state_beyond_delivered_rows(
    connector: Any, heap: Any, track: Any, fault: dict[str, Any], kind: str
) -> None:
    """With one TRACE that says at which row, and what to do, without its content."""
    heap.fault(kind="status", match=SECRET, **fault)
    lines = [row("a"), state(1), row(), state(2), row(), state(3)]
    run = connector.run("write", track, OPEN_CATALOG, lines)
    assert (run.code, run.error[0], run.states) == (1, kind, [(1, 1, 0)])
    assert run.error[1].startswith("The sync stopped at row 2. ")
    assert "Stopped: 3 rows read, 1 delivered, 0 rejected" in run.log
    assert [event["identity"] for event in heap.events()] == ["a"]
    assert SECRET.encode() not in run.out + run.err


@pytest.mark.parametrize("status", [401, 404])
def test_a_setup_that_heap_does_not_know_stops_the_run_immediately(
    connector: Any, heap: Any, track: Any, status: int
) -> None:
    """As long as nothing was delivered."""
    heap.fault(kind="status", status=status)
    run = connector.run("write", track, OPEN_CATALOG, [row("a"), state(1)])
    assert (run.code, run.error[0], run.states) == (1, "config_error", [])
    assert heap.stats()["requests"] == 1


@pytest.mark.parametrize(
    "fault", [{"kind": "status", "status": 503}, {"kind": "reset_before"}, {"kind": "reset_after"}]
)
def test_temporary_failures_are_waited_out(connector: Any, heap: Any, track: Any, fault: dict[str, Any]) -> None:
    """The row is retried, and Heap has it once."""
    heap.fault(match=SECRET, times=2, **fault)
    run = connector.run("write", track, OPEN_CATALOG, [row("a"), row(), row("b"), state(1)], speed=SPEED)
    assert (run.code, run.states) == (0, [(1, 3, 0)])
    assert sorted(event["identity"] for event in heap.events()) == ["a", "b", SECRET]
    assert "Retrying the same rows for up to ten minutes." in run.log
    assert SECRET.encode() not in run.out + run.err


def test_with_rejected_records_fail_the_first_one_stops_the_run(connector: Any, heap: Any, track: Any) -> None:
    """The states before it are returned."""
    lines = [row("a"), state(1), row(None), state(2), row("b"), state(3)]
    run = connector.run("write", {**track, "rejected_records": "fail"}, OPEN_CATALOG, lines)
    assert (run.code, run.error[0], run.states) == (1, "config_error", [(1, 1, 0)])
    assert "Row 2 is rejected: column `email` is null." in run.error[1]
    assert [event["identity"] for event in heap.events()] == ["a"]


def test_a_closed_standard_output_stops_the_run(connector: Any, heap: Any, track: Any) -> None:
    """Nothing more is sent, and nothing is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    with connector.start(track, OPEN_CATALOG, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        _, err = process.communicate(json.dumps(row()).encode(), timeout=60)
    assert (process.returncode, err) == (1, b"")
    assert heap.stats()["requests"] == 0


def test_a_reader_that_is_gone_in_the_middle_stops_the_run(connector: Any, heap: Any, track: Any) -> None:
    """The row after the state that was not read is not sent."""
    reading, writing = os.pipe()
    with connector.start(track, OPEN_CATALOG, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as out:
            out.readline()
        lines = [state(1), row()]
        _, err = process.communicate("".join(json.dumps(line) + "\n" for line in lines).encode(), timeout=60)
    assert (process.returncode, err) == (1, b"")
    assert heap.stats()["requests"] == 0


def test_a_closed_standard_input_is_reported(connector: Any, track: Any) -> None:
    """With a message in plain words."""
    command = " ".join(map(shlex.quote, connector.arguments("write", track, OPEN_CATALOG)))
    run = subprocess.run(["/bin/sh", "-c", f"{command} <&-"], capture_output=True, check=False, timeout=60)
    error = json.loads(run.stdout.splitlines()[-1])["trace"]["error"]
    assert (run.returncode, error["failure_type"]) == (1, "config_error")
    assert error["message"] == "Standard input is closed: pipe Airbyte messages into the command."


def test_messages_passed_in_process_are_loaded_the_same_way(heap: Any, track: Any) -> None:
    """By `write`, as declared by the CDK."""
    messages = [
        AirbyteMessageSerializer.load(message) for message in (row("a"), state(1), row(None), row("b"), state(2))
    ]
    catalog = ConfiguredAirbyteCatalogSerializer.load(OPEN_CATALOG)
    back = list(DestinationHeapAnalytics().write(track, catalog, iter(messages)))
    assert sorted(event["identity"] for event in heap.events()) == ["a", "b"]
    stats = [message.state.destinationStats for message in back if message.state]
    assert [(count.recordCount, count.rejectedRecordCount) for count in stats] == [(1.0, 0.0), (1.0, 1.0)]


def test_identify_rejects_what_heap_would_ignore(connector: Any, heap: Any, tmp_path: Path) -> None:
    """A second identity of a user ID, and the eleventh user ID of an identity: Heap returns 200 for these too."""
    api = {"api_type": "identify", "identity_column": "email", "user_id_column": "id"}
    storage = {"storage_type": "Local", "path": str(tmp_path)}
    config = {"app_id": "11", "base_url": heap.url, "api": api, "object_storage_config": storage}
    pairs = [("bob", 1), ("ada", 1), *(("bob", number) for number in range(1, 12)), ("ada", 12)]
    run = connector.run("write", config, OPEN_CATALOG, [*(row(email, id=number) for email, number in pairs), state(1)])
    assert (run.code, run.states) == (0, [(1, 12, 2)])
    sent = {(known["identity"], known["user_id"]) for known in heap.identities() if not known["ignored"]}
    assert sent == {("ada", "12"), *(("bob", str(number)) for number in range(1, 11))}
    assert [known["ignored"] for known in heap.identities() if known["ignored"]] == ["it repeats an earlier call"]
    assert "column `id` is a user ID that an earlier row of this sync assigns to another identity" in run.log
    assert "column `email` is an identity to which this sync has already assigned 10 user IDs" in run.log
    (stored,) = tmp_path.rglob("*.jsonl")
    reasons = [json.loads(line)["rejected_reason"] for line in stored.read_text().splitlines()]
    assert reasons == ["second_identity", "too_many_user_ids"]
