"""The run log, on both engines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from heap_courier.data_types.field_types import DATETIME, INTEGER
from heap_courier.errors import CourierError, RejectedRow, SetupError
from heap_courier.feeds.model import Feed, Field
from heap_courier.groups import slots
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse
from heap_courier.warehouse.run_log import (
    COMPLETED,
    FAILED,
    INTERRUPTED,
    MOST_FILES,
    RUNNING,
    Rejected,
    Run,
    RunLog,
    TableRun,
)

NOON = datetime(2026, 11, 1, 12, 0, 0, 123456)  # noqa: DTZ001  (a Datetime has no zone: it is UTC)
RUN = Run("r1", "Heap", "2026-10-31", NOON)
FEED = Feed(
    id="df-abc12345",
    source="Heap",
    name="Users",
    fields=(Field("user_id", INTEGER, "user_id", tag="pk"), Field("seen", DATETIME, "last", pattern="yyyy-MM-dd")),
    primary_key=("user_id",),
    last_updated="seen",
)


@pytest.fixture(params=["duckdb", "postgresql"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Warehouse]:
    if request.param == "duckdb":
        return lambda: DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)
    dsn = request.getfixturevalue("postgresql")
    return lambda: PostgreSQLWarehouse(dsn)


@pytest.fixture
def run_log(connect: Callable[[], Warehouse]) -> Iterator[RunLog]:
    with closing(connect()) as warehouse:
        made = RunLog(warehouse)
        made.make()
        yield made


def test_a_run_is_running_until_its_end_is_recorded(run_log: RunLog) -> None:
    run_log.begin(RUN)
    assert run_log.runs(10) == [RUN]
    assert run_log.runs(10)[0].outcome == RUNNING

    run_log.end(RUN, NOON + timedelta(minutes=5), FAILED, 'It\'s "wrong"; DROP TABLE runs --')
    assert run_log.runs(10) == [
        RUN._replace(ended=NOON + timedelta(minutes=5), outcome=FAILED, message='It\'s "wrong"; DROP TABLE runs --')
    ]


def test_the_newest_runs_come_first_up_to_the_limit(run_log: RunLog) -> None:
    for number in (1, 3, 2):
        run = Run(f"r{number}", "Heap", "all", NOON + timedelta(hours=number))
        run_log.begin(run)
        run_log.end(run, NOON + timedelta(hours=number), COMPLETED, None)

    assert [run.id for run in run_log.runs(2)] == ["r3", "r2"]


def test_an_unfinished_run_counts_as_interrupted_when_its_courier_runs_again(run_log: RunLog) -> None:
    run_log.begin(RUN)
    run_log.begin(Run("r2", "Files", "all", NOON))
    run_log.begin(Run("r3", "Heap", "all", NOON + timedelta(days=1)))

    runs = {run.id: run for run in run_log.runs(10)}
    assert (runs["r1"].outcome, runs["r1"].ended) == (INTERRUPTED, NOON + timedelta(days=1))
    assert (runs["r2"].outcome, runs["r3"].outcome) == (RUNNING, RUNNING)


def test_the_result_of_a_run_is_recorded_by_table(run_log: RunLog) -> None:
    tables = [
        TableRun("Heap:Events", files=3, rows=10**10, rejected=2, merged=7, stored=9),
        TableRun("Heap:Users", files=1, rows=0, message="too many rows are rejected"),
    ]
    for table in reversed(tables):
        run_log.record_table(RUN, table)
    run_log.record_table(Run("r2", "Heap", "all", NOON), TableRun("Heap:Users", 1, 1))

    assert run_log.run_tables("r1") == tables


def test_rejected_rows_are_recorded_with_file_row_column_and_reason(run_log: RunLog) -> None:
    rejected = [
        Rejected("a.csv", RejectedRow(2, "joined", "is not a date")),
        Rejected("a.csv", RejectedRow(10, None, "has too many columns")),
    ]
    run_log.record_table(RUN, TableRun("Heap:Users", 1, 10, rejected=2), reversed(rejected))
    run_log.record_table(Run("r2", "Heap", "all", NOON), TableRun("Heap:Users", 1, 10), rejected)

    assert run_log.rejected("r1") == [("Heap:Users", row) for row in rejected]


def test_files_are_recorded_by_run_and_table(run_log: RunLog) -> None:
    """Many files, each once; the first ones by name are returned."""
    many = [f"it's {number:04}.avro" for number in range(MOST_FILES + 10)]
    run_log.record_table(RUN, TableRun("Heap:Users", len(many), 1), files=[*many[::-1], many[0]])
    run_log.record_table(RUN, TableRun("Heap:Events", 2, 1), files=["b", "a"])
    run_log.record_table(RUN, TableRun("Heap:Events", 1, 1), files=["a"])
    run_log.record_table(Run("r2", "Heap", "all", NOON), TableRun("Heap:Events", 1, 1), files=["c"])
    run_log.record_table(Run("r3", "Heap", "all", NOON), TableRun("Heap:Events", 1, 1), files=["d"])

    found = run_log.files_of(["r1", "r3"], 10**6)
    assert found.pop(("r1", "Heap:Users")) == many[10:]
    assert found == {("r1", "Heap:Events"): ["a", "b"], ("r3", "Heap:Events"): ["d"]}
    assert run_log.files_of(["r1"], 1)["r1", "Heap:Events"] == ["a"]
    assert run_log.files_of([], 9) == {}


def test_a_run_log_without_the_table_of_files_has_none(connect: Callable[[], Warehouse]) -> None:
    """As earlier versions left it."""
    with closing(connect()) as warehouse:
        assert RunLog(warehouse).files_of(["r1"], 9) == {}


def test_records_of_a_failed_transaction_are_rolled_back(connect: Callable[[], Warehouse]) -> None:
    with closing(connect()) as warehouse:
        run_log = RunLog(warehouse)
        run_log.make()
        with pytest.raises(ZeroDivisionError), warehouse.transaction():  # noqa: PT012
            run_log.record_table(RUN, TableRun("Heap:Users", 1, 1), [Rejected("a", RejectedRow(1, None, "is odd"))])
            raise ZeroDivisionError
        assert (run_log.run_tables("r1"), run_log.rejected("r1")) == ([], [])


def test_records_survive_the_connection_and_repeated_creation_of_the_tables(connect: Callable[[], Warehouse]) -> None:
    for _ in range(2):
        with closing(connect()) as warehouse:
            run_log = RunLog(warehouse)
            run_log.make()
            if not run_log.runs(1):
                run_log.begin(RUN)
            assert run_log.runs(10) == [RUN]


def test_several_connections_can_create_the_tables_at_the_same_time(connect: Callable[[], Warehouse]) -> None:
    begin = threading.Barrier(4)
    wrong: list[CourierError] = []

    def make() -> None:
        with closing(connect()) as warehouse:
            begin.wait()
            try:
                RunLog(warehouse).make()
            except CourierError as error:
                wrong.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_user_without_the_privilege_to_create_schemas_can_use_an_existing_one(postgresql: str) -> None:
    guest_address = postgresql.replace("user=heap", "user=ledger_guest")
    with closing(PostgreSQLWarehouse(postgresql)) as owner:
        owner.execute("DROP ROLE IF EXISTS ledger_guest")
        owner.execute("CREATE ROLE ledger_guest LOGIN")
        with closing(PostgreSQLWarehouse(guest_address)) as guest:
            with pytest.raises(SetupError, match="permission denied for database"):
                RunLog(guest).make()
            owner.execute("CREATE SCHEMA heap_courier")
            owner.execute("GRANT ALL ON SCHEMA heap_courier TO ledger_guest")
            RunLog(guest).make()
            assert RunLog(guest).runs(1) == []
        owner.execute("DROP OWNED BY ledger_guest")
        owner.execute("DROP ROLE ledger_guest")


def test_a_time_in_any_zone_is_stored_in_utc(run_log: RunLog) -> None:
    run = Run("r1", "Heap", "all days", NOON)
    run_log.begin(run)
    run_log.end(run, datetime(2026, 11, 21, 4, 30, tzinfo=timezone(timedelta(hours=-8))), COMPLETED, None)

    assert run_log.runs(1)[0].ended == datetime(2026, 11, 21, 12, 30)  # noqa: DTZ001  (as the column has it)


def test_old_runs_expire(connect: Callable[[], Warehouse]) -> None:
    """More cases are in test_retention.py, on one engine."""
    with closing(connect()) as warehouse:
        log = RunLog(warehouse)
        log.make()
        slots.prepare(warehouse)
        now = NOON.replace(tzinfo=timezone.utc)
        for day in range(4):
            run = RUN._replace(id=f"r{day}", started=NOON + timedelta(days=day))
            log.begin(run)
            log.record_table(run, TableRun("Heap:Users", 1, 9, 1), [Rejected("f", RejectedRow(1, "id", "is empty"))])
            log.end(run, run.started, COMPLETED, None)
        for minute in range(slots.KEPT + 5):
            claim = slots.claim(warehouse, "daily", now + timedelta(minutes=minute), now, by_hand=False)
            assert claim
            slots.finish(warehouse, claim, now, "succeeded", "")
        before = now + timedelta(days=2)
        for dry_run in (True, False):
            with warehouse.transaction():
                assert log.expire(before, dry_run=dry_run) == 2
                assert slots.expire(warehouse, before, before, dry_run=dry_run) == 5
        assert [run.id for run in log.runs(9)] == ["r3", "r2"]
        for (table,) in warehouse.query(
            "SELECT DISTINCT table_name FROM information_schema.columns "
            "WHERE table_schema = 'heap_courier' AND column_name = 'run'"
        ):
            assert warehouse.query(f"SELECT count(*) FROM heap_courier.{table} WHERE run IN ('r0', 'r1')") == [(0,)]
        assert len(slots.history(warehouse, "daily", 99)) == slots.KEPT
