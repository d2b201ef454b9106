"""The view of all events, on both engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from heap_courier.heap_connect.all_events import ALL_EVENTS, all_events
from heap_courier.heap_connect.identity_views import Types, domain_table, view_name, views
from heap_courier.warehouse.base import Warehouse, quoted

EVENT = "event_id bigint, user_id bigint, session_id bigint, time timestamp, _dump_id bigint"
COLUMNS = "event_id, user_id, raw_user_id, session_id, event_table_name"


def make(warehouse: Warehouse, **tables: tuple[str, Sequence[tuple[Any, ...]]]) -> None:
    """Creates tables of Heap's, their views, and the view of all events; the columns are SQL declarations."""
    for table, (columns, rows) in tables.items():
        name = quoted(domain_table("Heap", table))
        warehouse.execute(f"CREATE TABLE {name} ({columns})")
        for row in rows:
            values = ", ".join("NULL" if value is None else f"'{value}'" for value in row)
            warehouse.execute(f"INSERT INTO {name} VALUES ({values})")
    stored = {table: warehouse.columns(domain_table("Heap", table)) for table in tables}
    types = Types.of(warehouse)
    queries = {view_name("Heap", table): query for table, query in views("Heap", stored, types).items()}
    queries[domain_table("Heap", ALL_EVENTS)] = all_events("Heap", stored, types)
    for name, query in queries.items():
        warehouse.execute(f"CREATE VIEW {quoted(name)} AS {query}")


def look(warehouse: Warehouse, columns: str = COLUMNS) -> Sequence[tuple[Any, ...]]:
    return warehouse.query(f"SELECT {columns} FROM {quoted(domain_table('Heap', ALL_EVENTS))} ORDER BY 1, 2, 5")


def test_it_has_the_events_of_every_event_table_with_the_table_they_are_from(warehouse: Warehouse) -> None:
    """Users, migrations, sessions, metadata, and tables that are not from dumps contain no events."""
    make(
        warehouse,
        user_migrations=("from_user_id bigint, to_user_id bigint, _dump_id bigint", [(1, 7, 1)]),
        users=("user_id bigint, event_id bigint, _dump_id bigint", [(1, 1, 1)]),
        sessions=(EVENT, [(10, 1, 100, None, 1)]),
        _event_metadata=(EVENT, [(11, 1, 100, None, 1)]),
        feed=("event_id bigint, user_id bigint", [(12, 1)]),
        daily_totals=("day text, _dump_id bigint", [("x", 1)]),
        pageviews=(EVENT, [(10, 1, 100, "2026-03-01 12:00:00", 1)]),
        sign_up=(f"plan text, {EVENT}", [("pro", 10, 1, 100, None, 1), ("pro", 13, 2, 101, None, 1)]),
        **{"it's": (EVENT, [(14, None, None, None, 1)])},
    )

    assert look(warehouse) == [
        (10, 7, 1, 100, "pageviews"),
        (10, 7, 1, 100, "sign_up"),
        (13, 2, 2, 101, "sign_up"),
        (14, None, None, None, "it's"),
    ]
    times = warehouse.query('SELECT count("time"), count(*) FROM "Heap:all_events:union"')
    assert times == [(1, 4)]


@pytest.mark.parametrize(
    ("migrations", "first", "second", "found"),
    [
        ("bigint", "bigint", "bigint", [(7, 1), (8, 2)]),
        ("text", "bigint", "bigint", [("7", 1), ("8", 2)]),
        ("bigint", "text", "bigint", [("7", "1"), ("8", "2")]),
        ("text", "text", "text", [("7", "1"), ("8", "2")]),
    ],
)
def test_ids_whose_types_differ_are_text(
    warehouse: Warehouse, migrations: str, first: str, second: str, found: list[tuple[Any, ...]]
) -> None:
    make(
        warehouse,
        user_migrations=(f"from_user_id {migrations}, to_user_id {migrations}", [(1, 7), (2, 8)]),
        a=(f"event_id bigint, user_id {first}, _dump_id bigint", [(10, 1, 1)]),
        b=(f"event_id bigint, user_id {second}, _dump_id bigint", [(11, 2, 1)]),
    )

    assert [row[1:3] for row in look(warehouse)] == found


def test_a_column_that_a_table_lacks_is_null_there(warehouse: Warehouse) -> None:
    make(
        warehouse,
        user_migrations=("from_user_id bigint, to_user_id bigint", [(1, 7)]),
        a=("event_id text, _dump_id bigint", [("e", 1)]),
        b=(EVENT, [(11, 1, 100, "2026-03-01", 1)]),
    )

    assert look(warehouse) == [("11", 7, 1, 100, "b"), ("e", None, None, None, "a")]
    kinds = warehouse.columns("Heap:all_events:union")
    assert list(kinds) == ["event_id", "time", "user_id", "raw_user_id", "session_id", "event_table_name"]


def test_without_event_tables_it_has_its_columns_and_no_rows(warehouse: Warehouse) -> None:
    make(warehouse, users=("user_id bigint, _dump_id bigint", [(1, 1)]))

    assert look(warehouse) == []


@pytest.mark.thorough
def test_a_thousand_event_tables_are_one_view(warehouse: Warehouse) -> None:
    """In a single union, not nested a thousand levels deep."""
    tables = {
        f"event_{number}": (EVENT, [(number, 1, 1, None, 1)] if number % 100 == 0 else []) for number in range(1000)
    }
    make(warehouse, **tables)

    assert len(look(warehouse)) == 10
