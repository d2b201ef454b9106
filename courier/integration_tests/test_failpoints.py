"""A load that is interrupted at any point leaves its table as it was before or as it is after, never between.

Every point of every kind of load, in process, on both engines; test_courier_kill.py does the same to processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, cast

import pyarrow as pa
import pytest

from courier.integration_tests.failpoints import BreaksOff, BrokenOffError
from courier.integration_tests.heap_bucket import BUCKET, objects, story
from courier.integration_tests.heap_place import duckdb
from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.data_types.field_types import FLOAT, INTEGER, STRING
from heap_courier.feeds.activation import activate
from heap_courier.feeds.ingest import ingest
from heap_courier.feeds.model import Feed, Field
from heap_courier.files.bucket import Bucket
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.files.fileset import FetchedFile
from heap_courier.formats.file_format import FileFormat
from heap_courier.heap_connect.pull import pull
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.project.model import Courier, DefaultCredential
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted
from heap_courier.warehouse.run_log import Run, RunLog
from heap_courier.warehouse.upsert import Table, TableColumn, load

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
USERS = Table(
    "Heap:Users",
    (TableColumn("id", INTEGER), TableColumn("plan", INTEGER), TableColumn("seen", INTEGER)),
    key=("id",),
    newest=("seen",),
)
WIDER = replace(
    USERS, columns=(USERS.columns[0], TableColumn("plan", FLOAT), USERS.columns[2], TableColumn("x", STRING))
)
NARROWER = replace(USERS, columns=(USERS.columns[0], USERS.columns[2]))

Contents = dict[str, tuple[tuple[str, ...], Counter[tuple[Any, ...]]]]


def contents(warehouse: Warehouse, *names: str) -> Contents:
    """Columns and rows of domain tables, or of the named ones."""
    return {
        name: (tuple(warehouse.columns(name)), Counter(warehouse.query(f"SELECT * FROM {quoted(name)}")))
        for name in names or domain_tables(warehouse)
    }


def rows(table: Table, *values: tuple[Any, ...]) -> pa.RecordBatch:
    columns = [
        pa.array(column, each.type.arrow) for each, column in zip(table.columns, zip(*values, strict=True), strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def is_broken_off(warehouse: Warehouse, points: int, run: Callable[[Warehouse], object]) -> bool:
    """Runs with a warehouse that fails after this many points; returns whether the run reached that point."""
    try:
        run(cast("Warehouse", BreaksOff(warehouse, points)))
    except BrokenOffError:
        return True
    return False


def first_change(
    warehouse: Warehouse, run: Callable[[Warehouse], object], found: Callable[[], Contents]
) -> tuple[int, Contents]:
    """Breaks runs off one point further each time; the first point after which anything is found to have changed."""
    before = found()
    for points in count():
        assert is_broken_off(warehouse, points, run), "the run came to its end, and nothing had changed before"
        if (after := found()) != before:
            return points, after
    raise AssertionError


@pytest.mark.parametrize(
    ("table", "batch", "replaces", "expected"),
    [
        (USERS, rows(USERS, (1, 9, 2), (3, 9, 1)), False, [(1, 9, 2), (2, 2, 2), (3, 9, 1)]),
        (USERS, rows(USERS, (3, 9, 1)), True, [(3, 9, 1)]),
        (
            WIDER,
            rows(WIDER, (1, 0.5, 2, "a"), (3, 9, 1, None)),
            False,
            [(1, 0.5, 2, "a"), (2, 2, 2, None), (3, 9, 1, None)],
        ),
        (NARROWER, rows(NARROWER, (1, 2), (3, 1)), False, [(1, 2), (2, 2), (3, 1)]),
        (NARROWER, rows(NARROWER, (3, 1)), True, [(3, 1)]),
        (replace(USERS, key=(), newest=()), rows(USERS, (4, 1, 1)), False, [(1, 1, 1), (2, 2, 2), (4, 1, 1)]),
    ],
    ids=["upsert", "replace", "another type", "fewer columns", "replace with fewer columns", "append"],
)
def test_a_table_is_as_before_or_as_after(
    warehouse: Warehouse, table: Table, batch: pa.RecordBatch, *, replaces: bool, expected: list[tuple[Any, ...]]
) -> None:
    """With a view on it and a bookmark beside it, which belong to the same transaction."""
    warehouse.execute("CREATE TABLE bookmark (loads bigint)")
    view = {"Heap:Users:view": 'SELECT id, seen FROM "Heap:Users"'}
    load(warehouse, USERS, [rows(USERS, (1, 1, 1), (2, 2, 2))], views=lambda: view)

    def run(target: Warehouse) -> None:
        load(
            target,
            table,
            [batch],
            replace=replaces,
            views=lambda: view,
            after=lambda _result: target.execute("INSERT INTO bookmark VALUES (1)"),
        )

    points, found = first_change(
        warehouse, run, lambda: contents(warehouse, "Heap:Users", "Heap:Users:view", "bookmark")
    )

    assert points > 9
    assert found["Heap:Users"] == (tuple(column.name for column in table.columns), Counter(expected))
    assert found["Heap:Users:view"][1] == Counter((row[0], row[1 if table is NARROWER else 2]) for row in expected)
    assert found["bookmark"][1] == Counter([(1,)])


FEED = Feed("df-users001", "Heap", "Users", (Field("id", INTEGER, "id"), Field("email", STRING, "email")), ("id",))


@pytest.mark.parametrize("stored", [0, 1])
def test_a_feed_is_loaded_and_recorded_or_neither(warehouse: Warehouse, tmp_path: Path, stored: int) -> None:
    """Its rows, its rejected rows and its entry in the run log; DuckDB does not stage what an empty table gets."""
    path = tmp_path / "users.csv"
    path.write_text("id,email\n1,a\n2,b\nx,c\n")
    file = FetchedFile(path, "users.csv", "users", None, FileFormat("text/csv"), path.stat().st_size, NOW)
    feed = replace(FEED, error_threshold=50)
    RunLog(warehouse).make()
    activate(warehouse, feed, None, now=NOW, truncate=False, workers=1)
    warehouse.execute(f'INSERT INTO "Heap:Users" (id) SELECT 9 WHERE 1 = {stored}')
    began = Run("1", "Heap", "all days", NOW)

    def run(target: Warehouse) -> None:
        ingest(
            target,
            feed,
            [file],
            truncate=True,
            now=NOW,
            workers=1,
            advance=lambda _rows: None,
            after=lambda done: RunLog(target).record_table(began, done.table, done.rejected),
        )

    tables = ('"Heap:Users"', "heap_courier.run_tables", "heap_courier.rejected_rows")

    def found() -> Contents:
        return {name: ((), Counter(warehouse.query(f"SELECT count(*) FROM {name}"))) for name in tables}

    points, after = first_change(warehouse, run, found)

    assert points > (9 if stored else 5)
    assert [dict(rows) for _, rows in after.values()] == [{(2,): 1}, {(1,): 1}, {(1,): 1}]


def test_a_feed_is_activated_whole_or_not_at_all(warehouse: Warehouse) -> None:
    """Its table and the record that it is active."""

    def found() -> Contents:
        known = warehouse.query("SELECT table_name FROM information_schema.tables WHERE table_name = 'feeds'")
        active = warehouse.query("SELECT id FROM heap_courier.feeds") if known else []
        return {**contents(warehouse), "active": ((), Counter(active))}

    def run(target: Warehouse) -> None:
        activate(target, FEED, None, now=NOW, truncate=False, workers=1)

    points, after = first_change(warehouse, run, found)

    assert points > 3
    assert after == {
        "Heap:Users": (("id", "email", "_updated"), Counter()),
        "active": ((), Counter([("df-users001",)])),
    }


ENTITY = HeapConnectEntity(tables=("users", "user_migrations", "sign_up"))
COURIER = Courier("daily", DefaultCredential(), BUCKET, "", None, None, Path("entities.json"), None)


def test_dumps_of_heap_connect_are_loaded_once_each(warehouse: Warehouse, tmp_path: Path) -> None:
    """Four nights, in which columns change and tables are resynced; each run is interrupted one point further."""
    bucket = MemoryBucket(COURIER, {})
    for dump in story(Random(7), people=6):
        bucket.objects.update(objects(dump, Random(dump.dump_id)))

    def steps(target: Warehouse) -> Iterator[StepResult]:
        for step in pull(target, cast("Bucket", bucket), ENTITY, tmp_path / "fetched", workers=1):
            assert step.run.message is None
            yield step

    states: dict[str, list[Any]] = {}
    with closing(duckdb(tmp_path / "whole")) as whole:
        for step in steps(whole):
            name = step.run.domain_table
            states.setdefault(name, []).append(contents(whole, name)[name])
        expected = contents(whole)

    points = 0
    while is_broken_off(warehouse, points, lambda target: list(steps(target))):
        names = [name for name in domain_tables(warehouse) if name in states]  # without views
        for name, table in contents(warehouse, *names).items() if names else ():
            assert table in states[name], f"{name} was loaded in part"
        points += 1

    assert points > 20
    assert contents(warehouse) == expected
    marks = warehouse.query("SELECT count(*) FROM heap_courier.landed_files GROUP BY heap_table, dump_id, file")
    assert set(marks) == {(1,)}
