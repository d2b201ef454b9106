"""The command line: each command prints its messages, and every failure is reported once."""

from __future__ import annotations

import gc
import gzip
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
import requests_mock
from airbyte_cdk.models import AirbyteMessage

from destination_heap_analytics import DestinationHeapAnalytics
from destination_heap_analytics.cli import main, parse_args
from destination_heap_analytics.errors import InterruptedSyncError, OutputError
from destination_heap_analytics.version import VERSION

CONFIG = {
    "app_id": "11",
    "api": {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"},
}
CATALOG = {"streams": [{"stream": {"name": "users", "json_schema": {}}, "sync_mode": "full_refresh"}]}
ROW = b'{"type":"RECORD","record":{"stream":"users","data":{"email":"secret@example.com"}}}\n'
URL = "https://heapanalytics.com/api/"

Run = Callable[..., tuple[int, list[dict[str, Any]]]]
Printed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Printed]:
    """Run the command line in process: its exit code, standard output and standard error."""
    handlers = logging.getLogger().handlers
    # A separate process may block signals permanently; this one is pytest's.
    monkeypatch.setattr("destination_heap_analytics.cli.watch_signals", lambda _: None)
    for name, content in (("config", CONFIG), ("catalog", CATALOG)):
        (tmp_path / name).write_text(json.dumps(content))

    def command(*words: str, stdin: bytes | None = b"") -> tuple[int, str, str]:
        source = tmp_path / "stdin"
        source.write_bytes(stdin or b"")
        files = {"CONFIG": str(tmp_path / "config"), "CATALOG": str(tmp_path / "catalog")}
        monkeypatch.setattr(sys, "argv", ["main.py", *(files.get(word, word) for word in words)])
        code = 0
        with source.open("rb") as stream:
            monkeypatch.setattr(sys, "stdin", None if stdin is None else stream)
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    yield command
    logging.getLogger().handlers = handlers
    logging.captureWarnings(capture=False)
    gc.unfreeze()


@pytest.fixture
def run(printed: Printed) -> Run:
    """The same for commands that print messages: the exit code and the messages."""

    def command(*words: str, stdin: bytes | None = b"") -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = printed(*words, stdin=stdin)
        return code, [json.loads(line) for line in out.splitlines()]

    return command


WRITE = ("write", "--config", "CONFIG", "--catalog", "CATALOG")


def test_spec_prints_the_specification(run: Run) -> None:
    """And nothing else."""
    code, (message,) = run("spec")
    assert (code, message["type"]) == (0, "SPEC")


def test_check_prints_one_status(run: Run) -> None:
    """With exit code 0 in either case."""
    with requests_mock.Mocker() as heap:
        heap.post(URL + "track", [{"json": {}}, {"status_code": 400, "text": "{}"}])
        code, (message,) = run("check", "--config", "CONFIG")
        assert (code, message["connectionStatus"]["status"]) == (0, "SUCCEEDED")
        code, (message,) = run("check", "--config", "CONFIG")
    assert (code, message["connectionStatus"]["status"]) == (0, "FAILED")
    assert not message["connectionStatus"]["message"].endswith("{}")


def test_write_prints_states_when_they_are_returned(run: Run) -> None:
    """Among log lines."""
    with requests_mock.Mocker() as heap:
        heap.post(URL + "add_user_properties", json={})
        code, messages = run(*WRITE, stdin=ROW + b'{"type":"STATE","state":{"data":{}}}\n')
    assert code == 0
    assert [message["type"] for message in messages] == ["LOG", "STATE", "LOG"]


ORDERS = b"id,email,amount\n1,a@example.com,1.5\n2,b@example.com,2\n"


@pytest.mark.parametrize("source", ["orders.csv.gz", "-"])
def test_write_loads_the_rows_of_a_file(run: Run, tmp_path: Path, source: str) -> None:
    """Or of standard input."""
    file = tmp_path / source
    file.write_bytes(gzip.compress(ORDERS))
    with requests_mock.Mocker() as heap:
        heap.post(URL + "add_user_properties", json={})
        rows = source if source == "-" else str(file)
        code, messages = run("write", "--config", "CONFIG", "--rows", rows, stdin=gzip.compress(ORDERS))
        sent = [request.json() for request in heap.request_history]
    assert code == 0
    assert not any("id" in element["properties"] for element in sent)
    assert sorted(element["properties"]["amount"] for element in sent) == ["1.5", "2"]
    assert "2 rows read, 2 delivered, 0 rejected" in messages[-1]["log"]["message"]


def test_rows_before_a_damaged_one_are_delivered_then_the_command_fails(run: Run, tmp_path: Path) -> None:
    """With the line number, but not its content."""
    file = tmp_path / "orders.csv"
    file.write_bytes(ORDERS + b"3,secret\n")
    with requests_mock.Mocker() as heap:
        heap.post(URL + "add_user_properties", json={})
        code, messages = run("write", "--config", "CONFIG", "--rows", str(file))
        assert len(heap.request_history) == 2
    (trace,) = (message["trace"]["error"] for message in messages if message["type"] == "TRACE")
    assert (code, trace["failure_type"]) == (1, "config_error")
    assert "line 4: the row has 2 values, but the header has 3 columns" in trace["message"]
    assert "secret" not in json.dumps(messages)


def test_preview_shows_the_rows_of_a_file(printed: Printed, tmp_path: Path) -> None:
    """And notes once that all values are text."""
    file = tmp_path / "orders.csv"
    file.write_bytes(ORDERS)
    code, out, _ = printed("preview", "--config", "CONFIG", "--rows", str(file))
    assert code == 0
    assert "2 rows read, 2 mapped, 0 rejected." in out
    assert (
        out.count("All values of a CSV file are text. To send numbers and booleans, cast them: `amount::number`.") == 1
    )
    code, out, _ = printed("preview", "--config", "CONFIG", "--rows", str(tmp_path / "missing.csv"))
    assert (code, "cannot be read: No such file or directory" in out) == (1, True)


def test_preview_counts_rows_and_not_the_requests_of_each(printed: Printed, tmp_path: Path) -> None:
    """A row that also sets user properties has two requests."""
    file, config = tmp_path / "orders.csv", tmp_path / "both"
    file.write_bytes(ORDERS)
    api = {"api_type": "track", "event_column": "'Paid'", "identity_column": "email", "property_columns": "amount"}
    config.write_text(json.dumps({"app_id": "11", "api": {**api, "also_user_properties": "id as customer"}}))
    code, out, _ = printed("preview", "--config", str(config), "--rows", str(file), "--limit", "1")
    assert (code, out.count("Row 1:")) == (0, 2)
    assert "Before each event, the properties of its user go to /api/add_user_properties." in out
    assert "... and 1 more (`--limit 2` shows all)." in out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ((), "one of the arguments --catalog --rows is required"),
        (("--catalog", "CATALOG", "--rows", "-"), "not allowed with argument"),
        (("--catalog", "CATALOG", "--stream", "users"), "--stream and --primary-key require --rows"),
        (("--catalog", "CATALOG", "--primary-key", "id"), "--stream and --primary-key require --rows"),
    ],
)
def test_a_catalog_and_rows_are_mutually_exclusive(printed: Printed, options: tuple[str, ...], error: str) -> None:
    """A usage error."""
    code, _, err = printed("write", "--config", "CONFIG", *options)
    assert (code, error in err) == (2, True)


def test_a_stop_is_one_trace_with_its_message(run: Run) -> None:
    """And exit code 1."""
    with requests_mock.Mocker() as heap:
        heap.post(URL + "add_user_properties", status_code=503, headers={"Retry-After": "3600"})
        code, messages = run(*WRITE, stdin=ROW)
    (trace,) = (message["trace"]["error"] for message in messages if message["type"] == "TRACE")
    assert (code, trace["failure_type"]) == (1, "transient_error")
    assert trace["message"].startswith("The sync stopped at row 1. Heap is unavailable")


def test_an_unexpected_failure_is_reported_without_its_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its type and where it was raised, because its text may contain a row."""

    def fail(*_: Any, **__: Any) -> Iterator[AirbyteMessage]:
        raise KeyError(ROW)

    monkeypatch.setattr("destination_heap_analytics.connector.sync", fail)
    code, messages = run(*WRITE, stdin=ROW)
    (trace,) = (message["trace"]["error"] for message in messages if message["type"] == "TRACE")
    assert (code, trace["failure_type"]) == (1, "system_error")
    assert "Internal error in the connector (KeyError)" in trace["message"]
    assert "in load" in trace["stack_trace"]
    assert "secret" not in json.dumps(messages)


def test_an_input_that_cannot_be_read_is_a_transient_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a message in plain words."""

    def broken(*_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", broken)
    code, messages = run(*WRITE)
    assert code == 1
    assert messages[-1]["trace"]["error"]["message"] == (
        "Standard input cannot be read: Input/output error. Run the command again."
    )


def test_the_command_exits_silently_if_its_reader_is_gone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No one would read a message."""
    monkeypatch.setattr("destination_heap_analytics.cli.discard_output", lambda: None)

    def gone(*_: AirbyteMessage) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("destination_heap_analytics.cli.print_message", gone)
    assert run("spec") == (1, [])


def test_an_interrupt_prints_no_stack_trace(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the exit code that a shell expects."""

    def interrupt(*_: Any, **__: Any) -> Iterator[AirbyteMessage]:
        raise KeyboardInterrupt

    monkeypatch.setattr("destination_heap_analytics.connector.sync", interrupt)
    assert run(*WRITE) == (130, [])


def test_a_run_stopped_by_a_signal_has_its_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a TRACE message: there is nothing to fix."""

    def interrupt(*_: Any, **__: Any) -> Iterator[AirbyteMessage]:
        raise InterruptedSyncError(SIGTERM)

    monkeypatch.setattr("destination_heap_analytics.connector.sync", interrupt)
    assert run(*WRITE) == (143, [])


@pytest.mark.parametrize("failure", [OSError(24, "Too many open files"), RuntimeError("can't start new thread")])
def test_running_out_of_descriptors_or_threads_is_not_a_bug(
    run: Run, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """It is a failed check, also in process, or a transient error of a write."""

    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr("destination_heap_analytics.connector.preflight", fail)
    monkeypatch.setattr("destination_heap_analytics.connector.sync", fail)
    code, (message,) = run("check", "--config", "CONFIG")
    assert (code, message["connectionStatus"]["status"]) == (0, "FAILED")
    said = message["connectionStatus"]["message"]
    assert said.startswith("Out of resources: ")
    assert DestinationHeapAnalytics().check(logging.getLogger("test"), CONFIG).message == said
    code, messages = run(*WRITE, stdin=ROW)
    (trace,) = (message["trace"]["error"] for message in messages if message["type"] == "TRACE")
    assert (code, trace["failure_type"], trace["message"]) == (1, "transient_error", said)


def test_running_out_of_descriptors_for_the_configuration_is_a_failed_check_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not to blame."""

    def fail(_: Path) -> bytes:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", fail)
    code, (message,) = run("check", "--config", "CONFIG")
    assert (code, message["connectionStatus"]["status"]) == (0, "FAILED")
    assert message["connectionStatus"]["message"].startswith("Out of resources: this process has too many open files")


PREVIEW = ("preview", *WRITE[1:])


def test_preview_shows_the_payloads(printed: Printed) -> None:
    """As text, or as one document."""
    code, out, err = printed(*PREVIEW, stdin=ROW)
    assert (code, err) == (0, "")
    assert "Row 1:" in out
    assert "1 row read, 1 mapped, 0 rejected." in out
    code, out, _ = printed(*PREVIEW, "--json", "--limit", "0", stdin=ROW)
    assert (code, json.loads(out)["payloads"], json.loads(out)["mapped"]) == (0, [], 1)


def test_preview_reports_a_wrong_setting(printed: Printed, tmp_path: Path) -> None:
    """With exit code 1 and nothing shown."""
    (tmp_path / "config").write_text("{}")
    code, out, _ = printed(*PREVIEW, stdin=ROW)
    assert code == 1
    assert out.startswith("\nError: `app_id` is missing")


@pytest.mark.parametrize("limit", ["-1", "x", "1.5"])
def test_a_limit_that_is_not_a_count_is_refused(printed: Printed, limit: str) -> None:
    """With the usage and exit code 2."""
    code, out, err = printed(*PREVIEW, "--limit", limit)
    assert (code, out) == (2, "")
    assert err.endswith("argument --limit: must be 0 or more\n")


def test_resend_prints_rejected_rows_as_messages(printed: Printed, tmp_path: Path) -> None:
    """Errors go to standard error, because `write` reads standard output."""
    path = tmp_path / "rejected.jsonl"
    path.write_text('{"email":"a"}\n[]\n')
    code, out, err = printed("resend", str(path), "--stream", "users")
    assert (code, json.loads(out)["record"]["data"]) == (1, {"email": "a"})
    assert "Line 2" in err


def test_a_standard_input_that_is_closed_is_reported(run: Run) -> None:
    """Its descriptor may have been reused for another file."""
    code, messages = run(*WRITE, stdin=None)
    assert (code, messages[-1]["trace"]["error"]["failure_type"]) == (1, "config_error")
    assert messages[-1]["trace"]["error"]["message"].startswith("Standard input is closed: pipe Airbyte messages")


def test_an_output_that_cannot_be_written_is_reported_on_standard_error(
    printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages cannot be printed to standard output."""

    def full(*_: Any) -> None:
        raise OutputError("No space left on device")

    discarded = []
    monkeypatch.setattr("destination_heap_analytics.cli.print_message", full)
    monkeypatch.setattr("destination_heap_analytics.cli.discard_output", lambda: discarded.append(1))
    code, out, err = printed("spec")
    assert (code, out, discarded) == (1, "", [1])
    assert err.startswith("Standard output cannot be written (No space left on device)")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, like other commands."""
    with pytest.raises(SystemExit) as ended:
        parse_args(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"destination-heap-analytics {VERSION}\n")
