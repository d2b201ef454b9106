"""Views with resolved user ids, on both engines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heap_courier.heap_connect.identity_views import Types, domain_table, view_name, views
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

Rows = Sequence[tuple[Any, ...]]


def make(warehouse: Warehouse, table: str, columns: str, rows: Rows = ()) -> None:
    """Creates one of Heap's tables; the columns are SQL declarations."""
    name = quoted(domain_table("Heap", table))
    warehouse.execute(f"CREATE TABLE {name} ({columns})")
    for row in rows:
        values = ", ".join("NULL" if value is None else f"'{value}'" for value in row)
        warehouse.execute(f"INSERT INTO {name} VALUES ({values})")


def migrate(warehouse: Warehouse, *pairs: tuple[Any, Any], kind: str = "bigint") -> None:
    make(warehouse, "user_migrations", f"from_user_id {kind}, to_user_id {kind}", pairs)


def look(warehouse: Warehouse, table: str, *tables: str) -> Rows:
    """The rows of a table's view, after creating the views of all tables."""
    stored = {name: warehouse.columns(domain_table("Heap", name)) for name in ("user_migrations", table, *tables)}
    for name, query in views("Heap", stored, Types.of(warehouse)).items():
        warehouse.execute(f"CREATE VIEW {quoted(view_name('Heap', name))} AS {query}")
    return warehouse.query(f"SELECT * FROM {quoted(view_name('Heap', table))} ORDER BY 1, 2")


def test_the_user_of_an_event_is_resolved_and_the_raw_id_is_kept(
    warehouse: Warehouse,
) -> None:
    migrate(warehouse, (1, 7))
    make(warehouse, "sign_up", "event_id bigint, user_id bigint, plan text", [(10, 1, "pro"), (11, 2, None)])

    assert look(warehouse, "sign_up") == [(10, 7, 1, "pro"), (11, 2, 2, None)]


def test_a_chain_is_followed_to_its_end(warehouse: Warehouse) -> None:
    migrate(warehouse, (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (9, 3))

    assert look(warehouse, "user_migrations") == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (9, 6)]


def test_a_long_chain_ends_too(warehouse: Warehouse) -> None:
    migrate(warehouse)
    name = quoted("Heap:user_migrations")
    warehouse.execute(f"INSERT INTO {name} SELECT n, n + 1 FROM generate_series(1, 300) AS t(n)")

    assert {goal for _, goal in look(warehouse, "user_migrations")} == {301}


@pytest.mark.parametrize(("last", "goal"), [(10_001, 10_001), (1, 1)])
def test_ten_thousand_migrations_in_a_chain_or_a_cycle_need_little_memory(tmp_path: Path, last: int, goal: int) -> None:
    """Resolving hop by hop would keep every pair of ids in the chain: fifty million."""
    with closing(DuckDBWarehouse(tmp_path / "heap.duckdb", memory="64MB", wait=lambda _seconds: None)) as warehouse:
        migrate(warehouse)
        make(warehouse, "sessions", "user_id bigint")
        warehouse.execute(
            f"INSERT INTO {quoted('Heap:user_migrations')} SELECT n, CASE n WHEN 10000 THEN {last} ELSE n + 1 END "
            "FROM generate_series(1, 10000) AS t(n)"
        )
        warehouse.execute(f"INSERT INTO {quoted('Heap:sessions')} SELECT n FROM generate_series(1, 10000) AS t(n)")

        assert {resolved for resolved, _ in look(warehouse, "sessions")} == {goal}


def test_all_ids_of_a_cycle_and_those_that_lead_into_it_are_one_user(warehouse: Warehouse) -> None:
    migrate(warehouse, (3, 1), (1, 2), (2, 3), (8, 9), (9, 2), (5, 5))

    assert look(warehouse, "user_migrations") == [(1, 1), (2, 1), (3, 1), (5, 5), (8, 1), (9, 1)]


def test_a_migration_with_a_null_id_is_ignored(warehouse: Warehouse) -> None:
    migrate(warehouse, (1, None), (None, 2))
    make(warehouse, "sessions", "user_id bigint", [(1,), (None,)])

    assert look(warehouse, "sessions") == [(1, 1), (None, None)]


def test_a_migrations_table_that_is_missing_or_has_other_columns_is_ignored(warehouse: Warehouse) -> None:
    make(warehouse, "sessions", "user_id bigint", [(1,)])
    assert look(warehouse, "sessions") == [(1, 1)]

    make(warehouse, "user_migrations", "_dump_id bigint")
    make(warehouse, "pageviews", "user_id bigint", [(2,)])
    assert look(warehouse, "pageviews") == [(2, 2)]


def test_an_empty_migrations_table_changes_no_ids(warehouse: Warehouse) -> None:
    migrate(warehouse)
    make(warehouse, "sessions", "user_id bigint", [(1,)])

    assert look(warehouse, "sessions") == [(1, 1)]


@pytest.mark.parametrize(("kind", "mine"), [("text", "bigint"), ("bigint", "text"), ("text", "text")])
def test_ids_of_different_types_are_compared_as_text(warehouse: Warehouse, kind: str, mine: str) -> None:
    migrate(warehouse, (1, 7), (9007199254740993, 8), kind=kind)
    make(warehouse, "sessions", f"user_id {mine}", [(1,), (2,), (9007199254740993,)])

    assert [row[0] for row in look(warehouse, "sessions")] == ["2", "7", "8"]


def test_ids_of_the_same_type_keep_it(warehouse: Warehouse) -> None:
    migrate(warehouse, (1, 7))
    make(warehouse, "sessions", "user_id bigint", [(1,)])

    assert look(warehouse, "sessions") == [(7, 1)]


def test_users_are_merged_as_heap_documents(warehouse: Warehouse) -> None:
    migrate(warehouse, (1, 3), (2, 3))
    columns = (
        "user_id bigint, identity text, joindate timestamp, joindate_raw bigint, last_modified timestamp, vip boolean"
    )
    make(
        warehouse,
        "users",
        columns,
        [
            (1, None, "2026-01-02", 2, "2026-03-01", True),
            (2, "a@example.com", "2026-01-01", 1, "2026-01-01", False),
            (3, None, None, None, "2026-02-01", None),
            (4, "b@example.com", "2026-01-05", 5, None, False),
        ],
    )

    people = [
        (row[0], row[1], f"{row[2]:%m-%d}", row[3], row[4] and f"{row[4]:%m-%d}", row[5])
        for row in look(warehouse, "users")
    ]

    assert people == [
        (3, "a@example.com", "01-01", 1, "03-01", True),
        (4, "b@example.com", "01-05", 5, None, False),
    ]


def test_users_without_an_id_do_not_become_one_person(warehouse: Warehouse) -> None:
    make(warehouse, "users", "user_id bigint, email text", [(None, "a"), (None, "b"), (1, "c")])

    assert look(warehouse, "users") == [(1, "c")]


def test_names_may_contain_any_character(warehouse: Warehouse) -> None:
    make(warehouse, 'od"d', 'user_id bigint, "a ""b"" c" text', [(1, "x")])

    assert look(warehouse, 'od"d') == [(1, 1, "x")]


def test_a_table_without_users_has_no_view(warehouse: Warehouse) -> None:
    assert views("Heap", {"accounts": {"account_id": "bigint"}}, Types.of(warehouse)) == {}
