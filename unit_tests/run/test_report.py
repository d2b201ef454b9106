"""The log of a run."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.delivery.waiting import Wait
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.properties import Properties, PropertyMaker
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.run.report import Report


class Log:
    """A report with a clock that the test sets, and the lines that it logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self.now = 100.0
        self.report = Report(logging.getLogger("test"), lambda: self.now)
        self._caplog = caplog

    @property
    def lines(self) -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def payload(columns: dict[str, Any]) -> Properties:
    values, made = PropertyMaker(Api.USER_PROPERTIES.endpoint).make(columns.items(), exact=True)
    return made or Properties(values)


def test_a_run_begins_with_what_is_loaded_and_where_to(log: Log) -> None:
    """Stream, sync modes, API and host."""
    api = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}
    settings = parse_config({"app_id": "3000610572", "api": api}).settings
    log.report.start(Stream("users", None, "incremental", "append", (), {}), settings)
    assert log.lines == [
        (
            "INFO Loading stream `users` (incremental, append) into Heap with Add User Properties at "
            "heapanalytics.com, one request per row."
        )
    ]


def test_progress_is_reported_every_ten_seconds(log: Log) -> None:
    """With the rate since the last time."""
    log.report.read = log.report.delivered = 500
    log.now += 9.9
    log.report.progress()
    assert log.lines == []
    log.now += 0.1
    log.report.progress()
    log.report.progress()
    log.report.read = 1700
    log.now += 12
    log.report.progress()
    assert log.lines == [
        "INFO 500 rows read, 500 delivered, 0 rejected, 50 rows/s.",
        "INFO 1,700 rows read, 500 delivered, 0 rejected, 100 rows/s.",
    ]


@pytest.mark.parametrize(
    ("wait", "rows_left", "note"),
    [
        (None, None, ""),
        (Wait("the source"), None, "; waiting for the source"),
        (Wait("the limit", rate=250.0), 150_000.0, "; waiting for the limit; done in about 10 min"),
        (Wait("the pause", until=60.0), None, "; waiting for the pause, 60 s more"),
        (Wait("the pause", until=0.5), None, "; waiting for the pause"),
        (None, 1_000.0, "; done in about 20 s"),
        (None, 10.0, ""),
    ],
)
def test_progress_shows_what_the_run_is_waiting_for_and_how_long(
    log: Log, wait: Wait | None, rows_left: float | None, note: str
) -> None:
    """If that is known."""
    log.report.read = log.report.delivered = 500
    log.now += 10
    if wait:
        log.report.waits.add(replace(wait, until=log.now + wait.until if wait.until else None), 9.0)
    log.report.progress(lambda: rows_left)
    assert log.lines == [f"INFO 500 rows read, 500 delivered, 0 rejected, 50 rows/s{note}."]


def test_the_summary_names_long_waits(log: Log) -> None:
    """After the counts."""
    log.report.waits.add(Wait("the source"), 300.0)
    log.report.end(finished=True, warnings=())
    assert log.lines[1:] == ["INFO Waited 5 min for the source."]


def test_a_run_ends_with_a_summary(log: Log) -> None:
    """With what was rejected, truncated or skipped."""
    log.report.read, log.report.delivered, log.report.noise = 3, 2, 4
    log.report.rejects.add(2, RowRejectedError(Reason.NULL, "email"))
    log.report.mapped(payload({"bio": "x" * 2000, "note": {"a": "x" * 2000, "b": "x" * 2000}}))
    log.now += 2
    log.report.end(finished=True, warnings=["Something else."])
    assert log.lines == [
        "INFO Done: 3 rows read, 2 delivered, 1 rejected in 2.0 s (2 rows/s).",
        "WARNING 1 rejected: column `email` is null (row 2).",
        "WARNING 2 values were truncated to Heap's maximum length, in column `note`.",
        "WARNING 1 value was truncated to Heap's maximum length, in column `bio`.",
        "WARNING Something else.",
        "WARNING Skipped 4 lines that are not Airbyte messages.",
    ]


def test_the_summary_says_where_rejected_rows_are(log: Log) -> None:
    """If there are any."""
    log.report.end(finished=True, warnings=(), retrieval="in a file.")
    assert not [line for line in log.lines if "rejected rows" in line]
    log.report.rejects.add(2, RowRejectedError(Reason.NULL, "email"))
    log.report.end(finished=True, warnings=(), retrieval="in a file.")
    assert log.lines[-1] == "WARNING The rejected rows are in a file."


def test_a_run_that_stops_says_so(log: Log) -> None:
    """And a single row is a "row"."""
    log.report.read = 1
    log.report.end(finished=False, warnings=())
    assert log.lines == ["INFO Stopped: 1 row read, 0 delivered, 0 rejected in 0.0 s (0 rows/s)."]


def test_names_that_collide_or_are_forbidden_give_one_warning(log: Log) -> None:
    """Not for every row."""
    for _ in range(3):
        log.report.mapped(payload({"a.b": 1, "a": {"b": 2}, "id": 7}))
    assert log.lines == [
        "WARNING Two values map to the property `a.b`: the one closest to the top level is sent.",
        "WARNING Skipped column `id`: Heap does not allow a user property of that name.",
    ]


def test_the_log_is_bounded(log: Log) -> None:
    """However many columns a source has."""
    for number in range(300):
        log.report.rejects.add(number, RowRejectedError(Reason.NULL, f"c{number}"))
        log.report.mapped(payload({f"a{number}.b": 1, f"a{number}": {"b": 2}}))
    log.report.end(finished=True, warnings=())
    assert len(log.lines) == 51 + 1 + 51
    assert log.lines[50] == "WARNING More names like these are not listed."
    assert log.lines[-1] == "WARNING More reasons and columns are not listed."


def test_a_terminal_shows_progress(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """Each time the run reports it, not only when it is logged."""

    class Seen(Progress):
        def show(self, rows: int, rejected: int, delivered: int | None = None, note: str = "") -> None:
            seen.append((rows, rejected, delivered, note))

    seen: list[tuple[int, int, int | None, str]] = []
    report = Report(logging.getLogger("test"), lambda: log.now, Seen())
    report.read, report.delivered = 3, 1
    report.rejects.add(2, RowRejectedError(Reason.NULL, "email"))
    report.progress()
    assert (seen, caplog.records) == ([(3, 1, 1, "")], [])
