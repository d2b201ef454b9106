"""Metrics counted from notices, in the format of Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from courier.unit_tests.notices.test_log import NOW
from heap_courier.couriers.run_notices import ended, loaded
from heap_courier.data_types.field_types import in_utc
from heap_courier.notices.metrics import Metrics
from heap_courier.notices.notice import Notice, note, trouble
from heap_courier.warehouse.run_log import COMPLETED, FAILED, INTERRUPTED, Run, TableRun

RUN = Run("r", 'He"ap', "2026-03-04", in_utc(NOW))


def exposed(*notices: Notice) -> dict[tuple[str, ...], float]:
    metrics = Metrics()
    for notice in notices:
        metrics(notice)
    content_type, text = metrics.exposed()
    assert content_type.startswith("text/plain")
    return {
        (sample.name.removeprefix("heap_courier_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_runs_rows_and_rejected_rows_are_counted_by_courier_and_table() -> None:
    tables = [TableRun("Heap:Users", 1, 10, 2), TableRun("Heap:Orders", 1, 5, 5, message="Too many.")]
    notices = [loaded(RUN, table) for table in tables * 2]
    notices += [ended(RUN, NOW, outcome, None, tables=tables) for outcome in (COMPLETED, FAILED, FAILED, INTERRUPTED)]
    found = exposed(*notices)
    assert found["rows_read_total", 'He"ap', "Heap:Users"] == 20
    assert found["rows_rejected_total", 'He"ap', "Heap:Users"] == 4
    assert found["rows_rejected_total", 'He"ap', "Heap:Orders"] == 10
    assert [found["runs_total", 'He"ap', outcome] for outcome in (COMPLETED, FAILED, INTERRUPTED)] == [1, 2, 1]
    assert found["run_duration_seconds_count", 'He"ap'] == 4
    assert found["run_last_completed_timestamp_seconds", 'He"ap'] > 0


def test_groups_failed_notifications_and_reloads_are_counted_and_sentences_are_not() -> None:
    found = exposed(
        Notice("completed", "group-succeeded", "", group="g"),
        Notice("error", "group-aborted", "", group="g"),
        trouble("", "notification-failed"),
        trouble("", "reload-failed"),
        note("It runs."),
    )
    assert found["group_runs_total", "g", "succeeded"] == found["group_runs_total", "g", "aborted"] == 1
    assert found["notifications_failed_total",] == found["reloads_failed_total",] == 1
    assert sum(found.values()) == 5  # including the version
