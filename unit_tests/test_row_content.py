"""No value of a row appears in the output of a command, however it ends."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests_mock

from destination_heap_analytics.cli import main
from destination_heap_analytics.mapping.mapper import Mapper

CANARY = "c4nary"
EMAIL = f"{CANARY}@example.com"
HEAP = "https://heapanalytics.com/api/"
CATALOG = {"streams": [{"stream": {"name": "users", "json_schema": {}}, "sync_mode": "full_refresh"}]}
TRACK = {
    "api_type": "track",
    "identity_column": "email",
    "event_column": "event",
    "timestamp_column": "at",
    "property_columns": "*",
}


def row(**data: Any) -> str:
    given = {"email": EMAIL, "event": CANARY, "at": "2026-01-01", "note": CANARY, **data}
    return json.dumps({"type": "RECORD", "record": {"stream": "users", "data": given, "emitted_at": 1}})


ECHO = {"text": f'{{"error": "{EMAIL}"}}'}
PAGE = {"text": f"<html>{EMAIL}</html>", "headers": {"Content-Type": "text/html"}}
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "accepted": [ECHO],
    "a row refused, the check accepted": [{"status_code": 400, **ECHO}, {"json": {}}],
    "everything refused": [{"status_code": 400, **ECHO}],
    "no access": [{"status_code": 404, **ECHO}],
    "a page": [PAGE],
    "a redirect": [{"status_code": 302, "headers": {"Location": f"https://login.example.com/{EMAIL}"}, **ECHO}],
    "unavailable": [{"status_code": 503, "reason": CANARY, "headers": {"Retry-After": "4000"}, **ECHO}],
}
INPUTS: dict[str, list[str]] = {
    "a row without a value": [row(email=None), row()],
    "a row without a column": [json.dumps({"type": "RECORD", "record": {"stream": "users", "data": {"note": CANARY}}})],
    "an identity that is too long": [row(email=EMAIL * 50)],
    "an identity that is an object": [row(email={CANARY: CANARY})],
    "a time that is none": [row(at=CANARY)],
    "a broken row": [row()[:-10], row()],
    "a row without data": [json.dumps({"type": "RECORD", "record": {"stream": "users", "data": [CANARY]}}), row()],
    "a namespace that is not text": [row().replace('"users"', '"users", "namespace": ["c4nary"]')],
    "another stream": [row().replace("users", "others")],
    "a broken state": [row(), '{"type": "STATE", "state": {"data": "c4nary'],
    "no message": [f'{{"email": "{EMAIL}"}}'],
    "delimited text": [f"email,note\n{EMAIL},{CANARY}"],
    "plain text": [f"{CANARY} {EMAIL}"],
    "a number without an end": [row(note=1).replace('"note": 1', '"note": NaN, "more": "c4nary"')],
    "a log line": [json.dumps({"type": "LOG", "log": {"level": "INFO", "message": CANARY}}), row()],
    "a message of Singer": [json.dumps({"type": "RECORD", "stream": "users", "record": {"email": EMAIL}})],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "continue": {},
    "fail": {"rejected_records": "fail"},
    "stored": {"object_storage_config": {"storage_type": "Local", "path": "rejected"}},
    "bulk": {"delivery": {"mode": "bulk"}},
}


@pytest.fixture(autouse=True)
def process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    handlers = logging.getLogger().handlers
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("destination_heap_analytics.cli.watch_signals", lambda _: None)
    yield
    logging.getLogger().handlers = handlers
    logging.captureWarnings(capture=False)
    gc.unfreeze()


def run(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], answers: list[dict[str, Any]], settings: dict[str, Any]
) -> None:
    for name, content in (("config", {"app_id": "11", "api": TRACK, **settings}), ("catalog", CATALOG)):
        Path(name).write_text(json.dumps(content), encoding="utf-8")
    Path("input").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["main.py", "write", "--config", "config", "--catalog", "catalog"])
    with Path("input").open("rb") as stream, requests_mock.Mocker() as heap:
        heap.post(HEAP + "track", answers)
        monkeypatch.setattr(sys, "stdin", stream)
        with contextlib.suppress(SystemExit):
            main()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    ("lines", "answers"),
    [([row(), row(email="b")], answers) for answers in ANSWERS.values()]
    + [(lines, [{"json": {}}]) for lines in INPUTS.values()],
    ids=[*ANSWERS, *INPUTS],
)
def test_no_value_of_a_row_is_printed(
    lines: list[str],
    answers: list[dict[str, Any]],
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """For any error in the row, and any response of Heap."""
    run(monkeypatch, lines, answers, settings)
    out, err = capfd.readouterr()
    assert out
    assert CANARY not in out + err


def test_a_bug_prints_no_value_of_the_row_that_caused_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its text is omitted, and the stack trace has no values."""

    def fail(*_: Any) -> NoReturn:
        raise ValueError(EMAIL)

    monkeypatch.setattr(Mapper, "payload", fail)
    run(monkeypatch, [row()], [{"json": {}}], {})
    out, err = capfd.readouterr()
    assert "ValueError" in out
    assert CANARY not in out + err


def test_the_canary_is_detected(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A state is returned unchanged, and is the only exception."""
    run(monkeypatch, ['{"type": "STATE", "state": {"data": {"cursor": "c4nary"}}}'], [{"json": {}}], {})
    assert CANARY in capfd.readouterr().out
