"""Expired data is removed, unless it is still needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock

from heap_courier.couriers.context import Context
from heap_courier.errors import SetupError
from heap_courier.groups import slots
from heap_courier.progress import NoBar
from heap_courier.project.reader import read_project
from heap_courier.retention import WHO, Removed, prune
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import Rejected, RejectedRow, Run, RunLog, TableRun

NOW = datetime(2026, 3, 31, 12, tzinfo=timezone.utc)
PROJECT = """
couriers:
  Heap: {bucket: heap, entities: e.json}
  CRM: {bucket: crm, entities: e.json}
groups:
  daily: {schedule: "0 8 * * *", couriers: [{courier: Heap}]}
  later: {schedule: "0 9 * * *", couriers: [{courier: CRM}], constraints: [{group: daily, offset: 1 day}]}
retention: {samples: 10 days, runs: 10 days, files: 10 days}
"""
FEED = """
id: df-abcdefgh
source: Heap
name: Users
sample: {file: samples/Heap/feed.csv, content-type: text/csv}
primary-key: [id]
fields: [{name: id, type: string}]
"""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "heap-courier.yaml").write_text(PROJECT)
    return Context(read_project(tmp_path), {}, lambda: NOW, NoBar())


@pytest.fixture
def warehouse(context: Context) -> Iterator[Warehouse]:
    with context.warehouse() as warehouse:
        RunLog(warehouse).make()
        slots.prepare(warehouse)
        yield warehouse


def day(number: int) -> datetime:
    return datetime(2026, 3, number, 8, tzinfo=timezone.utc)


def made(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("id\n")
    os.utime(path, (day(number).timestamp(),) * 2)
    return path


def ran(warehouse: Warehouse, number: int, outcome: str, courier: str = "Heap") -> str:
    run = Run(f"{courier}-{number}", courier, "all days", day(number).replace(tzinfo=None))
    log = RunLog(warehouse)
    log.begin(run)
    log.record_table(run, TableRun("Heap:Users", 1, 9, 1), [Rejected("f", RejectedRow(1, "id", "is empty"))])
    if outcome != "running":
        log.end(run, day(number), outcome, None)
    return run.id


def left(warehouse: Warehouse, table: str, column: str) -> list[str]:
    return sorted(row[0] for row in warehouse.query(f"SELECT {column} FROM heap_courier.{table}"))


@pytest.mark.parametrize(
    ("runs", "kept"),
    [
        ([(1, "completed"), (2, "completed"), (30, "completed")], [30]),
        ([(1, "completed"), (2, "failed"), (25, "completed")], [25]),
        ([(1, "completed"), (2, "completed")], [2]),  # the newest, however old
        ([(1, "completed"), (2, "completed"), (3, "failed")], [2, 3]),  # and the newest that completed
        ([(1, "failed"), (2, "failed"), (3, "failed")], [3]),
        ([(1, "running"), (2, "completed"), (30, "completed")], [30]),  # which a later run marked as interrupted
        ([(2, "completed"), (3, "running")], [2, 3]),
        ([(21, "completed"), (22, "completed"), (23, "completed")], [22, 23]),
    ],
)
def test_old_runs_are_removed_with_their_tables_and_rejected_rows(
    context: Context, warehouse: Warehouse, runs: list[tuple[int, str]], kept: list[int]
) -> None:
    for number, outcome in runs:
        ran(warehouse, number, outcome)
    other = ran(warehouse, 1, "completed", "CRM")
    expected = [other, *(f"Heap-{number}" for number in kept)]
    removed = len(runs) - len(kept)

    assert prune(context, dry_run=True).runs == removed
    assert len(left(warehouse, "runs", "id")) == len(runs) + 1
    assert prune(context) == Removed(0, 0, 0, removed, 0)

    assert left(warehouse, "run_tables", "run") == left(warehouse, "rejected_rows", "run") == sorted(expected)
    told = [run for run in RunLog(warehouse).runs(9) if run.courier == WHO]
    assert [run.message for run in told] == [f"Removed {removed} run{'s' * (removed > 1)}; 0 B of files."] * bool(
        removed
    )
    assert sorted(set(left(warehouse, "runs", "id")) - {run.id for run in told}) == sorted(expected)
    assert not prune(context)  # and a second time there is nothing


Ran = tuple[int, int, str | None]
"""The day of a slot, the attempt, and the outcome."""


def scheduled(outcome: str, *days: int) -> list[Ran]:
    return [(number, slots.SCHEDULED, outcome) for number in days]


@pytest.mark.parametrize(
    ("runs", "gone"),
    [
        (scheduled("succeeded", *range(1, 32)), {*range(1, 22)}),
        (
            scheduled("failed", *range(1, 32)),
            set(),
        ),  # none succeeded: the first run determines how far back the next one looks
        ([*scheduled("succeeded", *range(1, 6)), *scheduled("failed", *range(6, 32))], {1, 2, 3, 4}),
        ([(1, 0, None), *scheduled("succeeded", 2, 30)], {2}),  # in progress
        ([*scheduled("succeeded", 1, 2, 3), (4, 1, "succeeded"), (30, 1, "succeeded")], {1, 2}),
    ],
)
@pytest.mark.parametrize("others", [0, slots.KEPT])
def test_old_runs_of_groups_are_removed_except_those_that_the_next_run_needs(
    context: Context, warehouse: Warehouse, runs: list[Ran], gone: set[int], others: int
) -> None:
    """And except the newest ones, from whose durations lateness is predicted: here `others`, if there are any."""
    newest = [(31, 100 + number, "failed") for number in range(others)]
    values = ", ".join(
        f"('daily', '{day(number):%F %T}', {attempt}, '{day(number):%F %T}', '{day(number):%F %T}', "
        f"{'NULL' if outcome is None else repr(outcome)}, '')"
        for number, attempt, outcome in (*runs, *newest)
    )
    warehouse.execute(
        f'INSERT INTO heap_courier.slots ("group", slot, attempt, started, seen, outcome, message) VALUES {values}'
    )
    gone = gone if others else {number for number in gone if number <= len(runs) - slots.KEPT}

    def depends() -> list[object]:
        group = context.project.groups["daily"]
        return [slots._since(warehouse, "daily", NOW), slots.kept_since(warehouse, group, NOW - timedelta(days=60))]

    before = depends()
    assert prune(context, dry_run=True).group_runs == len(gone)
    assert prune(context).group_runs == len(gone)
    stays = {run.slot.day for run in slots.history(warehouse, "daily", 100)}
    assert stays == {number for number, _attempt, _outcome in (*runs, *newest)} - gone
    assert depends() == before


@pytest.mark.usefixtures("warehouse")
def test_old_samples_are_removed_except_the_newest_and_those_of_feeds(context: Context) -> None:
    samples = context.project.folder / "samples"
    gone = [made(samples / "Heap/old.csv", 1), made(samples / "Heap/deep/er/old.csv", 2)]
    kept = [
        made(samples / "Heap/feed.csv", 1),
        made(samples / "Heap/new.csv", 25),
        made(samples / "CRM/only.csv", 1),
        made(samples / "mine.csv", 1),
        made(samples / "Other/old.csv", 1),  # no courier of the project
    ]
    feed = context.project.folder / "feeds/users.yaml"
    feed.parent.mkdir()
    feed.write_text("id: [broken")
    with pytest.raises(SetupError):
        prune(context)
    assert all(path.exists() for path in (*gone, *kept))

    feed.write_text(FEED)
    assert prune(context) == Removed(2, 0, 6, 0, 0)
    assert [path.exists() for path in gone] == [False, False]
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(("completed", 1, False), id="goes"),
        pytest.param((None, 1, False), id="goes, of samples that were not fetched to the end"),
        pytest.param(("completed", 25, False), id="not old yet"),
        pytest.param(("failed", 1, False), id="a restart needs it"),
        pytest.param(("interrupted", 1, False), id="a restart needs it"),
        pytest.param(("running", 1, False), id="a run is in progress"),
        pytest.param(("completed", 1, True), id="a run is in progress"),
    ],
)
def test_kept_files_are_removed_unless_a_restart_needs_them(
    context: Context, warehouse: Warehouse, case: tuple[str | None, int, bool], request: pytest.FixtureRequest
) -> None:
    outcome, number, is_locked = case
    goes = "goes" in request.node.callspec.id
    if outcome:
        ran(warehouse, 2, outcome)
    folder = context.project.folder / ".heap-courier/Heap"
    file = made(folder / "files/users.avro", number)
    made(folder / "lock", 1)
    lock = FileLock(folder / "lock")
    if is_locked:
        lock.acquire()
    assert prune(context, dry_run=True).files == int(goes)
    assert prune(context) == Removed(0, int(goes), 3 * goes, 0, 0)
    lock.release()
    assert file.exists() != goes


def test_without_settings_nothing_is_removed(tmp_path: Path) -> None:
    (tmp_path / "heap-courier.yaml").write_text(PROJECT.replace("retention:", "# retention:"))
    context = Context(read_project(tmp_path), {}, lambda: NOW, NoBar())
    made(tmp_path / "samples/Heap/old.csv", 1)
    made(tmp_path / "samples/Heap/new.csv", 25)
    with context.warehouse() as warehouse:
        RunLog(warehouse).make()
        ran(warehouse, 1, "completed")
        ran(warehouse, 2, "completed")
        assert not prune(context)
        assert len(left(warehouse, "runs", "id")) == 2


def test_without_a_warehouse_samples_are_removed_and_none_is_created(context: Context) -> None:
    made(context.project.folder / "samples/Heap/old.csv", 1)
    made(context.project.folder / "samples/Heap/new.csv", 25)
    assert prune(context) == Removed(1, 0, 3, 0, 0)
    assert not (context.project.folder / "heap.duckdb").exists()
