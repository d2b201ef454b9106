"""The command line and the CDK's class are the same connector: they return the same messages."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests_mock
from airbyte_cdk.logger import AirbyteLogFormatter
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer, Type
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_heap_analytics import DestinationHeapAnalytics, cli, connector
from destination_heap_analytics.errors import ConfigError, SyncStoppedError, TransientError

ROOT = Path(__file__).resolve().parents[1]
API = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}
CONFIG = {"app_id": "11", "api": API}
STREAM = {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
CATALOG = {"streams": [{"stream": STREAM, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
RECORD = {"type": "RECORD", "record": {"stream": "users", "data": {"email": "a"}, "emitted_at": 1}}
STATE = {"type": "STATE", "state": {"type": "LEGACY", "data": {"cursor": 1}}}
URL = "https://heapanalytics.com/api/"


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Any]:
    """Run the command line in process: its messages without logs."""
    handlers = logging.getLogger().handlers
    monkeypatch.setattr("destination_heap_analytics.cli.watch_signals", lambda _: None)

    def run(word: str, config: Any = None, *options: str, lines: list[Any] | None = None) -> list[dict[str, Any]]:
        arguments = [word]
        if word != "spec":
            arguments += ["--config", written(tmp_path / "config", json.dumps(config))]
        if word in {"write", "preview"}:
            arguments += ["--catalog", written(tmp_path / "catalog", json.dumps(CATALOG))]
        source = written(tmp_path / "input", "".join(json.dumps(line) + "\n" for line in lines or []))
        with open(source, "rb") as stream:  # noqa: PTH123
            monkeypatch.setattr(sys, "stdin", stream)
            with contextlib.suppress(SystemExit):
                cli.run([*arguments, *options])
        messages = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
        return [message for message in messages if message["type"] != "LOG"]

    yield run
    logging.getLogger().handlers = handlers
    logging.captureWarnings(capture=False)


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_spec(command: Any) -> None:
    """Both return the committed specification."""
    spec = DestinationHeapAnalytics().spec(logging.getLogger("test"))
    (message,) = command("spec")
    assert message == AirbyteMessageSerializer.dump(AirbyteMessage(type=Type.SPEC, spec=spec))


@pytest.mark.parametrize(
    ("config", "status", "answer"),
    [
        (CONFIG, "SUCCEEDED", {"json": {}}),
        (CONFIG, "FAILED", {"status_code": 400, "text": '{"error":"no such app"}'}),
        ({}, "FAILED", {"json": {}}),
        ({**CONFIG, "base_url": "http://example.com"}, "FAILED", {"json": {}}),
        ({**CONFIG, "api": {**API, "property_columns": "id"}}, "FAILED", {"json": {}}),
    ],
)
def test_check(command: Any, config: dict[str, Any], status: str, answer: dict[str, Any]) -> None:
    """The same status, in the same words."""
    with requests_mock.Mocker() as heap:
        heap.post(URL + "track", **answer)
        (message,) = command("check", config)
        answered = DestinationHeapAnalytics().check(logging.getLogger("test"), config)
    assert message["connectionStatus"].get("message") == answered.message
    assert message["connectionStatus"]["status"] == answered.status.value == status


def in_process(config: Any, lines: list[Any]) -> tuple[list[dict[str, Any]], SyncStoppedError | None]:
    messages = map(AirbyteMessageSerializer.load, lines)
    catalog = ConfiguredAirbyteCatalogSerializer.load(CATALOG)
    answers = []
    try:
        for message in DestinationHeapAnalytics().write(config, catalog, messages):
            answers.append(AirbyteMessageSerializer.dump(message))  # noqa: PERF401  # what came before an error counts
    except SyncStoppedError as stopped:
        return answers, stopped
    return answers, None


@pytest.mark.parametrize(
    ("config", "lines", "answer", "failure"),
    [
        (CONFIG, [RECORD, STATE], {"json": {}}, None),
        (CONFIG, [RECORD, STATE], {"status_code": 503, "headers": {"Retry-After": "3600"}}, TransientError),
        (CONFIG, [RECORD, STATE], {"status_code": 401}, ConfigError),
        (CONFIG, [{**RECORD, "record": {**RECORD["record"], "stream": "orders"}}], {"json": {}}, ConfigError),  # type: ignore[dict-item]
        ({**CONFIG, "api": {**API, "identity_column": "e_mail"}}, [RECORD, STATE], {"json": {}}, ConfigError),
        ({"app_id": "11"}, [RECORD], {"json": {}}, ConfigError),
    ],
)
def test_write(command: Any, config: Any, lines: list[Any], answer: dict[str, Any], failure: Any) -> None:
    """The same states, or the same error; in process, it is also the CDK's exception."""
    with requests_mock.Mocker() as heap:
        heap.post(URL + "add_user_properties", **answer)
        heap.post(URL + "track", **answer)
        messages = command("write", config, lines=lines)
        answers, stopped = in_process(config, lines)
    states = [message for message in messages if message["type"] == "STATE"]
    for state in states:  # in process, the CDK's models have only one of the two counts
        state["state"]["destinationStats"].pop("rejectedRecordCount")
    assert states == answers
    assert (type(stopped).__mro__[1] if stopped else None) is failure
    traces = [message["trace"]["error"] for message in messages if message["type"] == "TRACE"]
    if stopped:
        assert isinstance(stopped, AirbyteTracedException)
        cdk = stopped.as_airbyte_message().trace.error
        assert [(error["message"], error["failure_type"]) for error in traces] == [
            (str(stopped), cdk.failure_type.value)
        ]
        assert cdk.message == str(stopped)
    else:
        assert traces == []


@pytest.mark.parametrize("word", ["preview", "resend"])
def test_the_class_loads_nothing_for_a_command_that_is_not_write(word: str, tmp_path: Path) -> None:
    """In particular not for a preview."""
    config, catalog = (
        written(tmp_path / name, json.dumps(content)) for name, content in (("config", CONFIG), ("catalog", CATALOG))
    )
    words = [word, "--config", config, "--catalog", catalog] if word == "preview" else [word, config]
    destination = DestinationHeapAnalytics()
    with requests_mock.Mocker() as heap, pytest.raises(ValueError, match=f"`{word}` does not return"):
        list(destination.run_cmd(destination.parse_args(words)))
    assert heap.call_count == 0


def test_the_class_supports_the_commands_of_the_cdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run_cmd` returns the CDK's own messages, states with their content."""
    monkeypatch.setattr("destination_heap_analytics.cli.watch_signals", lambda _: None)
    destination = DestinationHeapAnalytics()
    config, catalog = written(tmp_path / "config", json.dumps(CONFIG)), written(tmp_path / "cat", json.dumps(CATALOG))
    source = written(tmp_path / "input", f"{json.dumps(RECORD)}\n{json.dumps(STATE)}\n")

    def answers(*words: str) -> list[dict[str, Any]]:
        return list(map(AirbyteMessageSerializer.dump, destination.run_cmd(destination.parse_args(list(words)))))

    (spec,) = answers("spec")
    assert spec["type"] == "SPEC"
    (status,) = answers("check", "--config", str(tmp_path / "none"))
    assert status["connectionStatus"]["status"] == "FAILED"
    assert "cannot be read" in status["connectionStatus"]["message"]
    with requests_mock.Mocker() as heap, open(source, "rb") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stream)
        heap.post(URL + "add_user_properties", json={})
        (state,) = answers("write", "--config", config, "--catalog", catalog)
    assert state == {**STATE, "state": {**STATE["state"], "destinationStats": {"recordCount": 1.0}}}  # type: ignore[dict-item]
    with pytest.raises(AirbyteTracedException, match="cannot be read"):
        answers("write", "--config", str(tmp_path / "none"), "--catalog", catalog)
    gc.unfreeze()


CANARY = "wJalrXUtnFEMI/K7MDENG"
SECRETIVE = {**CONFIG, "object_storage_config": {"storage_type": "S3", "secret_access_key": CANARY}}


def test_a_secret_is_masked_in_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a status, in an error, and, by the CDK's filter, in the log."""

    def fail(*_: Any) -> None:
        raise ConfigError(f"Refused: {CANARY}.")

    monkeypatch.setattr(connector, "parse_settings", fail)
    status = DestinationHeapAnalytics().check(logging.getLogger("test"), SECRETIVE)
    assert status.message == "Refused: ****."
    catalog = ConfiguredAirbyteCatalogSerializer.load(CATALOG)
    with pytest.raises(ConfigError, match=r"^Refused: \*\*\*\*\.$") as refused:
        list(DestinationHeapAnalytics().write(SECRETIVE, catalog, []))
    trace = refused.value.as_airbyte_message()  # type: ignore[attr-defined]
    assert CANARY not in json.dumps(AirbyteMessageSerializer.dump(trace))
    record = logging.LogRecord("airbyte", logging.INFO, "", 0, f"with {CANARY}", None, None)
    assert "with ****" in AirbyteLogFormatter().format(record)


@pytest.mark.parametrize(
    ("word", "absent"),
    [
        ("spec", ["airbyte_cdk", "boto3", "pydantic", "requests"]),
        ("check", ["airbyte_cdk", "boto3"]),
        ("write", ["airbyte_cdk", "boto3"]),
        ("preview", ["airbyte_cdk", "boto3"]),
        ("resend", ["airbyte_cdk", "boto3", "requests"]),
    ],
)
def test_a_command_imports_no_more_than_it_needs(word: str, absent: list[str], tmp_path: Path) -> None:
    """Importing the CDK takes more than a second."""
    config = written(tmp_path / "config", json.dumps({**CONFIG, "base_url": "http://127.0.0.1:9"}))
    catalog = written(tmp_path / "catalog", json.dumps(CATALOG))
    options = {
        "check": ["--config", config],
        "write": ["--config", config, "--catalog", catalog],
        "preview": ["--config", config, "--catalog", catalog],
        "resend": [config],
    }
    code = (
        "import sys\n"
        "from destination_heap_analytics import cli\n"
        "try:\n    cli.run(sys.argv[2:])\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write('imported: ' + ' '.join(set(sys.argv[1].split()) & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, " ".join(absent), word, *options.get(word, [])]
    run = subprocess.run(arguments, cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False)
    assert run.stderr.endswith("imported: "), run.stderr
