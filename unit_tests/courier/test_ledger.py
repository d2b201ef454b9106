"""What ran, what landed, which feeds are active: on both engines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from heap_courier.duckdb_engine import DuckDBWarehouse
from heap_courier.errors import CourierError, RejectedRow, SetupError
from heap_courier.feeds import Feed, Field
from heap_courier.field_types import DATETIME, INTEGER, STRING
from heap_courier.ledger import (
    COMPLETED,
    FAILED,
    INTERRUPTED,
    RUNNING,
    Ledger,
    Rejected,
    Run,
    TableRun,
    definition,
)
from heap_courier.postgresql_engine import PostgreSQLWarehouse
from heap_courier.warehouse import Warehouse

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
def ledger(connect: Callable[[], Warehouse]) -> Iterator[Ledger]:
    with closing(connect()) as warehouse:
        made = Ledger(warehouse)
        made.make()
        yield made


def test_a_run_runs_until_it_ends(ledger: Ledger) -> None:
    ledger.begin(RUN)
    assert ledger.runs(10) == [RUN]
    assert ledger.runs(10)[0].outcome == RUNNING

    ledger.end(RUN, NOON + timedelta(minutes=5), FAILED, 'It\'s "wrong"; DROP TABLE runs --')
    assert ledger.runs(10) == [
        RUN._replace(ended=NOON + timedelta(minutes=5), outcome=FAILED, message='It\'s "wrong"; DROP TABLE runs --')
    ]


def test_the_newest_runs_come_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number in (1, 3, 2):
        run = Run(f"r{number}", "Heap", "all", NOON + timedelta(hours=number))
        ledger.begin(run)
        ledger.end(run, NOON + timedelta(hours=number), COMPLETED, None)

    assert [run.id for run in ledger.runs(2)] == ["r3", "r2"]


def test_a_run_that_never_ended_was_interrupted_when_its_courier_runs_again(ledger: Ledger) -> None:
    ledger.begin(RUN)
    ledger.begin(Run("r2", "Files", "all", NOON))
    ledger.begin(Run("r3", "Heap", "all", NOON + timedelta(days=1)))

    runs = {run.id: run for run in ledger.runs(10)}
    assert (runs["r1"].outcome, runs["r1"].ended) == (INTERRUPTED, NOON + timedelta(days=1))
    assert (runs["r2"].outcome, runs["r3"].outcome) == (RUNNING, RUNNING)


def test_what_a_run_did_to_its_tables_is_kept_by_table(ledger: Ledger) -> None:
    tables = [
        TableRun("Heap:Events", files=3, rows=10**10, rejected=2, merged=7, stored=9),
        TableRun("Heap:Users", files=1, rows=0, message="too many rows are rejected"),
    ]
    for table in reversed(tables):
        ledger.note_table(RUN, table)
    ledger.note_table(Run("r2", "Heap", "all", NOON), TableRun("Heap:Users", 1, 1))

    assert ledger.run_tables("r1") == tables


def test_rejected_rows_are_named_with_file_row_column_and_reason(ledger: Ledger) -> None:
    rejected = [
        Rejected("a.csv", RejectedRow(2, "joined", "is no date")),
        Rejected("a.csv", RejectedRow(10, None, "has too many columns")),
    ]
    ledger.note_table(RUN, TableRun("Heap:Users", 1, 10, rejected=2), reversed(rejected))
    ledger.note_table(Run("r2", "Heap", "all", NOON), TableRun("Heap:Users", 1, 10), rejected)

    assert ledger.rejected("r1") == [("Heap:Users", row) for row in rejected]


def test_notes_of_a_transaction_that_fails_are_gone(connect: Callable[[], Warehouse]) -> None:
    with closing(connect()) as warehouse:
        ledger = Ledger(warehouse)
        ledger.make()
        with pytest.raises(ZeroDivisionError), warehouse.transaction():  # noqa: PT012
            ledger.note_table(RUN, TableRun("Heap:Users", 1, 1), [Rejected("a", RejectedRow(1, None, "is odd"))])
            raise ZeroDivisionError
        assert (ledger.run_tables("r1"), ledger.rejected("r1")) == ([], [])


def test_a_feed_is_active_as_it_was_activated_last(ledger: Ledger) -> None:
    other = replace(FEED, id="df-other123", name="Events")
    changed = replace(FEED, last_updated=None)
    ledger.activate(other, NOON)
    assert ledger.active_definition(FEED) == {}

    ledger.activate(FEED, NOON)
    ledger.activate(changed, NOON)
    assert ledger.active_definition(FEED) == definition(changed)
    assert ledger.active_definition(other) == definition(other)


def test_notes_outlive_the_connection_and_making_the_tables_again(connect: Callable[[], Warehouse]) -> None:
    for _ in range(2):
        with closing(connect()) as warehouse:
            ledger = Ledger(warehouse)
            ledger.make()
            if not ledger.runs(1):
                ledger.begin(RUN)
            assert ledger.runs(10) == [RUN]


def test_several_connections_may_make_the_tables_at_the_same_moment(connect: Callable[[], Warehouse]) -> None:
    begin = threading.Barrier(4)
    wrong: list[CourierError] = []

    def make() -> None:
        with closing(connect()) as warehouse:
            begin.wait()
            try:
                Ledger(warehouse).make()
            except CourierError as error:
                wrong.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_who_may_make_no_schema_can_use_one_that_is_there(postgresql: str) -> None:
    guest_address = postgresql.replace("user=heap", "user=ledger_guest")
    with closing(PostgreSQLWarehouse(postgresql)) as owner:
        owner.execute("DROP ROLE IF EXISTS ledger_guest")
        owner.execute("CREATE ROLE ledger_guest LOGIN")
        with closing(PostgreSQLWarehouse(guest_address)) as guest:
            with pytest.raises(SetupError, match="permission denied for database"):
                Ledger(guest).make()
            owner.execute("CREATE SCHEMA heap_courier")
            owner.execute("GRANT ALL ON SCHEMA heap_courier TO ledger_guest")
            Ledger(guest).make()
            assert Ledger(guest).runs(1) == []
        owner.execute("DROP OWNED BY ledger_guest")
        owner.execute("DROP ROLE ledger_guest")


@pytest.mark.parametrize(
    "other",
    [
        replace(FEED, name="People"),
        replace(FEED, primary_key=("user_id", "seen")),
        replace(FEED, last_updated=None),
        replace(FEED, fields=FEED.fields[:1]),
        replace(FEED, fields=(replace(FEED.fields[0], type=STRING), FEED.fields[1])),
        replace(FEED, fields=(replace(FEED.fields[0], source="id"), FEED.fields[1])),
        replace(FEED, fields=(FEED.fields[0], replace(FEED.fields[1], pattern=None))),
    ],
)
def test_what_changes_the_table_changes_the_definition(other: Feed) -> None:
    assert definition(other) != definition(FEED)


def test_an_instant_is_kept_in_utc_whatever_its_zone(ledger: Ledger) -> None:
    run = Run("r1", "Heap", "all days", NOON)
    ledger.begin(run)
    ledger.end(run, datetime(2026, 11, 21, 4, 30, tzinfo=timezone(timedelta(hours=-8))), COMPLETED, None)

    assert ledger.runs(1)[0].ended == datetime(2026, 11, 21, 12, 30)  # noqa: DTZ001  (as the column has it)


def test_tags_and_flags_do_not_change_the_definition() -> None:
    tagged = tuple(replace(field, tag="email", required=True) for field in FEED.fields)
    assert definition(replace(FEED, fields=tagged, stitch=True, error_threshold=50)) == definition(FEED)
