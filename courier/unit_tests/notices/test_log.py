"""The log, as lines of text and of JSON."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from heap_courier.notices.log import Format, Log
from heap_courier.notices.notice import Notice, note, trouble

NOW = datetime(2026, 3, 4, 8, 30, 0, 123_456, tzinfo=timezone.utc)
SLOT = datetime(2026, 3, 4, 9, 30, tzinfo=timezone(timedelta(hours=1)))
RUN = Notice("error", "run-failed", "It failed.\nWhy?", courier="Heap", run="r1", details={"rows": 3})
GROUP = Notice("running", "group-started", "It runs.\nWell.", group="nightly", slot=SLOT)
EVIL = note("a\x1b[2Jb\u202ec\ud800")


def logged(output: Format, *notices: Notice) -> list[str]:
    lines: list[str] = []
    log = Log(lines.append, lambda: NOW, output)
    for notice in notices:
        log(notice)
    return lines


def test_json_is_one_object_per_line_with_what_it_is_about() -> None:
    lines = logged("json", RUN, GROUP, trouble("Hm.", "odd"), note("Zürich"))
    assert [json.loads(line) for line in lines] == [
        {
            "time": "2026-03-04T08:30:00.123Z",
            "level": "error",
            "event": "run-failed",
            "message": "It failed.\nWhy?",
            "courier": "Heap",
            "run": "r1",
            "rows": 3,
        },
        {
            "time": "2026-03-04T08:30:00.123Z",
            "level": "info",
            "event": "group-started",
            "message": "It runs.\nWell.",
            "group": "nightly",
            "slot": "2026-03-04T08:30:00.000Z",
        },
        {"time": "2026-03-04T08:30:00.123Z", "level": "warning", "event": "odd", "message": "Hm."},
        {"time": "2026-03-04T08:30:00.123Z", "level": "info", "event": "note", "message": "Zürich"},
    ]


def test_text_leaves_out_the_runs_of_couriers_which_commands_print() -> None:
    assert logged("text", RUN, GROUP) == ["2026-03-04 08:30:00 It runs.", "Well."]


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_text_from_outside_is_inert(output: Format) -> None:
    (line,) = logged(output, EVIL)
    assert not any(character in line for character in "\x1b\u202e\ud800")
    if output == "json":
        assert json.loads(line)["message"] == EVIL.text


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    def full(_line: str) -> None:
        raise OSError(28, "No space left on device")

    Log(full, lambda: NOW)(note("It runs."))
