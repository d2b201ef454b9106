"""Loading rows into a domain table, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.errors import SchemaError
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.upsert import LoadResult, OrderNeededError, Table, TableColumn, load

USERS = Table(
    "Heap:Users",
    (TableColumn("user_id", INTEGER), TableColumn("email", STRING), TableColumn("updated", DATETIME)),
    key=("user_id",),
    newest=("updated",),
)


def batch(table: Table, *rows: tuple[Any, ...]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [[] for _ in table.columns]
    arrays = [pa.array(values, column.type.arrow) for values, column in zip(columns, table.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def users(*rows: tuple[int | None, str, int | None]) -> pa.RecordBatch:
    return batch(USERS, *((key, email, day and at(day)) for key, email, day in rows))


def at(day: int) -> datetime:
    return datetime(2026, 11, day)  # noqa: DTZ001  (a Datetime has no zone: it is UTC)


def rows_of(warehouse: Warehouse, name: str = "Heap:Users") -> list[tuple[Any, ...]]:
    return warehouse.query(f'SELECT * FROM "{name}" ORDER BY 1, 2')


def test_the_first_rows_create_the_table(warehouse: Warehouse) -> None:
    result = load(warehouse, USERS, [users((1, "a", 1)), users((2, "b", 2))])

    assert rows_of(warehouse) == [(1, "a", at(1)), (2, "b", at(2))]
    assert result == LoadResult(staged=2, merged=2, stored=2)


def test_a_row_of_a_known_key_replaces_the_stored_one(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "old", 1), (2, "b", 1))])

    result = load(warehouse, USERS, [users((1, "new", 2), (3, "c", 1))])

    assert rows_of(warehouse) == [(1, "new", at(2)), (2, "b", at(1)), (3, "c", at(1))]
    assert result == LoadResult(staged=2, merged=2, stored=3)


def test_a_newer_stored_row_is_kept(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "newer", 9))])

    assert load(warehouse, USERS, [users((1, "older", 2))]).merged == 0
    assert rows_of(warehouse) == [(1, "newer", at(9))]


@pytest.mark.parametrize(
    ("stored", "comes", "stays"), [(None, None, "new"), (1, None, "old"), (None, 1, "new"), (1, 1, "new")]
)
def test_a_null_time_is_the_oldest_and_with_equal_times_the_new_row_wins(
    warehouse: Warehouse, stored: int | None, comes: int | None, stays: str
) -> None:
    load(warehouse, USERS, [users((1, "old", stored))])
    load(warehouse, USERS, [users((1, "new", comes))])

    assert [row[1] for row in rows_of(warehouse)] == [stays]


def test_of_several_loaded_rows_the_newest_wins_and_then_the_last(warehouse: Warehouse) -> None:
    first = users((1, "a", 1), (1, "b", 5), (2, "c", None), (3, "e", 2))
    load(warehouse, USERS, [first, users((1, "f", 3), (2, "d", None), (3, "g", 2), (3, "h", None))])

    assert [row[:2] for row in rows_of(warehouse)] == [(1, "b"), (2, "d"), (3, "g")]


def test_without_a_last_updated_column_later_rows_win(warehouse: Warehouse) -> None:
    table = Table("t", USERS.columns, key=("user_id", "updated"))
    load(warehouse, table, [users((1, "a", 1), (1, "b", 1), (1, "c", 2))])
    load(warehouse, table, [users((1, "d", 2))])

    assert rows_of(warehouse, "t") == [(1, "b", at(1)), (1, "d", at(2))]


@pytest.mark.parametrize("key", [("a",), ("a", "b")], ids=["one column", "two columns"])
@pytest.mark.parametrize("special", ["", "an empty table", "rowid", "an index"])
def test_a_first_load_leaves_the_newest_row_of_each_key(
    warehouse: Warehouse, key: tuple[str, ...], special: str
) -> None:
    """Random rows, compared with the rule in Python, however the engine loads them."""
    names = ("a", "b", "dump", "time", "rowid" if special == "rowid" else "v")
    table = Table("t", tuple(TableColumn(name, INTEGER) for name in names), key, newest=("dump", "time"))
    chance = Random(" ".join([special, *key]))
    rows = [(*(chance.choice([None, 1, 2, 3]) for _ in range(4)), number) for number in range(200)]
    if special.startswith("an"):
        load(warehouse, table, [])
    if special == "an index" and not warehouse.indexes_keys:
        warehouse.execute(f"CREATE UNIQUE INDEX i ON t ({', '.join(key)})")

    result = load(warehouse, table, [batch(table, *rows[start : start + 30]) for start in range(0, 200, 30)])

    places = [names.index(column) for column in key]
    newest: dict[Any, tuple[Any, ...]] = {}
    for row in sorted(rows, key=lambda row: (row[2] or 0, row[3] or 0, row[4])):
        own = tuple(row[place] for place in places)
        newest[own if None not in own else row] = row
    assert sorted(rows_of(warehouse, "t"), key=repr) == sorted(newest.values(), key=repr)
    assert result == LoadResult(200, len(newest), len(newest))


@pytest.mark.parametrize("last", [(3, "c", 1), (None, "c", 1), (1, "c", 1), (1, "a", 9)], ids=str)
def test_rows_that_can_be_loaded_again_make_the_same_table_with_its_index(
    warehouse: Warehouse, last: tuple[int | None, str, int | None]
) -> None:
    rows = [users((1, "a", 9), (2, "b", 2)), users((None, "n", None), last)]
    other = replace(USERS, name="Other")

    try:
        result = load(warehouse, USERS, rows, repeatable=True)
    except OrderNeededError:
        assert (last[0], warehouse.keeps_order, warehouse.columns(USERS.name)) == (1, False, {})
        result = load(warehouse, USERS, rows)

    assert result == load(warehouse, other, rows)
    assert rows_of(warehouse) == rows_of(warehouse, "Other")
    if warehouse.indexes_keys:
        with pytest.raises(SchemaError, match="a row violates a constraint"):
            warehouse.execute('INSERT INTO "Heap:Users" (user_id) VALUES (2)')


def test_a_first_load_that_fails_leaves_no_table(warehouse: Warehouse) -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield users((1, "a", 1))
        raise WrongError

    with pytest.raises(WrongError):
        load(warehouse, USERS, rows())

    assert not warehouse.columns(USERS.name)
    assert load(warehouse, USERS, [users((1, "a", 1))]).stored == 1


def test_rows_without_a_key_are_added_and_none_is_lost(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((None, "a", 1), (None, "b", 1))])
    load(warehouse, USERS, [users((None, "a", 1))])

    assert sorted(row[1] for row in rows_of(warehouse)) == ["a", "a", "b"]


def test_a_table_without_a_key_keeps_all_rows(warehouse: Warehouse) -> None:
    table = Table("t", USERS.columns, key=())
    for _ in range(2):
        load(warehouse, table, [users((1, "a", 1))])

    assert len(rows_of(warehouse, "t")) == 2


def test_a_replacement_removes_all_stored_rows(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 9), (2, "b", 9))])

    load(warehouse, USERS, [users((2, "c", 1), (2, "d", 1))], replace=True)

    assert rows_of(warehouse) == [(2, "d", at(1))]


def test_a_replacement_may_be_empty(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 9))])

    assert load(warehouse, USERS, [], replace=True) == LoadResult(staged=0, merged=0, stored=0)
    assert rows_of(warehouse) == []


def test_columns_are_added_and_dropped_with_the_table(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 1))])
    table = Table("Heap:Users", (USERS.columns[0], USERS.columns[2], TableColumn("plan", STRING)), ("user_id",))

    load(warehouse, table, [batch(table, (2, at(2), "pro"))])

    assert list(warehouse.columns("Heap:Users")) == ["user_id", "updated", "plan"]
    assert rows_of(warehouse) == [(1, at(1), None), (2, at(2), "pro")]


def test_a_column_can_change_the_case_of_its_name(warehouse: Warehouse) -> None:
    load(warehouse, Table("t", (TableColumn("k", INTEGER), TableColumn("email", STRING)), ("k",)), [])
    load(warehouse, Table("t", (TableColumn("k", INTEGER), TableColumn("Email", STRING)), ("k",)), [])

    assert list(warehouse.columns("t")) == ["k", "Email"]


def test_all_columns_in_newest_decide_whether_a_stored_row_is_newer(warehouse: Warehouse) -> None:
    table = Table("t", (*USERS.columns, TableColumn("dump", INTEGER)), ("user_id",), ("dump", "updated"))
    load(warehouse, table, [batch(table, (1, "newer", at(9), 1), (2, "old", at(1), 1), (3, "same", None, 1))])

    load(warehouse, table, [batch(table, (1, "older", at(2), 1), (2, "new", at(2), 1), (3, "later", None, 1))])

    assert [row[1] for row in rows_of(warehouse, "t")] == ["newer", "new", "later"]


def test_a_column_may_have_the_name_of_one_of_the_couriers_own(warehouse: Warehouse) -> None:
    table = Table("t", (TableColumn("k", INTEGER), TableColumn("_seq", INTEGER)), ("k",))
    load(warehouse, table, [batch(table, (1, 99), (1, 5), (2, 99), (3, 99))])

    assert rows_of(warehouse, "t") == [(1, 5), (2, 99), (3, 99)]


def test_a_column_can_become_wider(warehouse: Warehouse) -> None:
    load(warehouse, Table("t", (TableColumn("k", INTEGER), TableColumn("v", INTEGER)), ("k",)), [])
    wide = Table("t", (TableColumn("k", INTEGER), TableColumn("v", STRING)), ("k",))
    warehouse.execute("INSERT INTO t VALUES (1, 42)")

    load(warehouse, wide, [batch(wide, (2, "x"))])

    assert rows_of(warehouse, "t") == [(1, "42"), (2, "x")]


@pytest.mark.parametrize("repeatable", [False, True], ids=["staged", "repeatable"])
def test_values_of_every_type_are_stored_unchanged(warehouse: Warehouse, *, repeatable: bool) -> None:
    types = [BOOLEAN, DATE, DATETIME, FieldType(Kind.DECIMAL, 38, 2), FLOAT, INTEGER, STRING]
    table = Table("t", tuple(TableColumn(kind.kind.value, kind) for kind in types), ("Integer",))
    row = (True, at(3).date(), at(3), Decimal("123456789012345678901234567890123456.78"), 0.1, -(2**63), "Ü\n'\"")

    load(warehouse, table, [batch(table, row, (None, None, None, None, None, 1, None))], repeatable=repeatable)
    decimal = warehouse.query('SELECT CAST("Decimal" AS text) FROM t ORDER BY "Integer"')

    assert [warehouse.sql_type(kind) for kind in types] == list(warehouse.columns("t").values())
    names = ", ".join(f'"{kind.kind.value}"' for kind in types if kind.kind is not Kind.DECIMAL)
    assert warehouse.query(f'SELECT {names} FROM t ORDER BY "Integer"')[0] == (*row[:3], *row[4:])
    assert decimal == [(str(row[3]),), (None,)]


@pytest.mark.parametrize("repeatable", [False, True], ids=["staged", "repeatable"])
def test_a_nul_in_a_text_does_not_stop_the_load(warehouse: Warehouse, *, repeatable: bool) -> None:
    """PostgreSQL cannot store one, and gets a replacement character."""
    load(warehouse, USERS, [users((1, "a\0b", 1))], repeatable=repeatable)

    assert rows_of(warehouse)[0][1] in {"a\0b", "a\ufffdb"}


class WrongError(Exception):
    """An error between the rows."""


def test_a_failure_during_a_load_leaves_everything_unchanged(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 1))])

    def rows() -> Iterator[pa.RecordBatch]:
        yield users((2, "b", 2))
        raise WrongError

    with pytest.raises(WrongError):
        load(warehouse, USERS, rows(), replace=True)
    assert rows_of(warehouse) == [(1, "a", at(1))]
    load(warehouse, USERS, [users((3, "c", 3))])
    assert len(rows_of(warehouse)) == 2


def test_a_bookmark_is_committed_with_the_rows_or_not_at_all(warehouse: Warehouse) -> None:
    warehouse.execute("CREATE TABLE bookmark (dump bigint, rows bigint)")

    def after(result: LoadResult) -> None:
        warehouse.execute("INSERT INTO bookmark VALUES ($1, $2)", (852, result.stored))

    def record_and_fail(result: LoadResult) -> None:
        after(result)
        raise WrongError

    with pytest.raises(WrongError):
        load(warehouse, USERS, [users((1, "a", 1))], after=record_and_fail)
    assert (warehouse.query("SELECT * FROM bookmark"), dict(warehouse.columns("Heap:Users"))) == ([], {})

    load(warehouse, USERS, [users((1, "a", 1))], after=after)
    assert warehouse.query("SELECT * FROM bookmark") == [(852, 1)]


def test_a_view_can_be_dropped_before_and_recreated_after(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 1))])
    warehouse.execute('CREATE VIEW v AS SELECT email FROM "Heap:Users"')
    table = Table("Heap:Users", (USERS.columns[0],), ("user_id",))

    load(
        warehouse,
        table,
        [],
        before=lambda: void(warehouse.execute("DROP VIEW v")),
        after=lambda _landed: void(warehouse.execute('CREATE VIEW v AS SELECT user_id FROM "Heap:Users"')),
    )

    assert warehouse.query("SELECT * FROM v") == [(1,)]


def void(_value: object) -> None:
    """A hook that does nothing."""


def test_a_refused_row_is_reported_without_its_content(warehouse: Warehouse) -> None:
    load(warehouse, Table("t", (TableColumn("k", STRING),), ()), [])
    warehouse.execute("INSERT INTO t VALUES ('secret')")

    with pytest.raises(SchemaError, match=r"refused a statement: ") as refused:
        load(warehouse, Table("t", (TableColumn("k", INTEGER),), ()), [])
    assert "secret" not in str(refused.value)


# Rows that change nothing


def test_rows_that_are_already_stored_do_not_count_as_changed(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 1), (2, "b", None), (3, "c", 3))])

    result = load(warehouse, USERS, [users((1, "a", 1), (2, "b", None), (3, "new", 3), (4, "d", 4))])

    assert result == LoadResult(staged=4, merged=2, stored=4)


@pytest.mark.parametrize(
    ("stored", "comes", "merged"),
    [
        (None, None, 0),
        (None, "", 1),
        ("", None, 1),
        ("a", "a", 0),
        ("a", "A", 1),
        ("a", "a ", 1),
        ("a\0b", "a\0b", 0),
        ("\u00e9", "e\u0301", 1),
    ],
)
def test_a_row_has_changed_if_any_value_has(
    warehouse: Warehouse, stored: str | None, comes: str | None, merged: int
) -> None:
    table = Table("t", (TableColumn("k", INTEGER), TableColumn("v", STRING)), ("k",))
    load(warehouse, table, [batch(table, (1, stored))])

    assert load(warehouse, table, [batch(table, (1, comes))]).merged == merged


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        (BOOLEAN, True, False),
        (DATE, at(3).date(), at(4).date()),
        (DATETIME, at(3), at(3).replace(microsecond=1)),
        (FieldType(Kind.DECIMAL, 38, 2), Decimal("1.10"), Decimal("1.11")),
        (FLOAT, 0.1, 0.1 + 2**-55),
        (FLOAT, float("nan"), 1.0),
        (FLOAT, float("inf"), float("-inf")),
        (INTEGER, 2**62 + 1, 2**62),
    ],
)
def test_a_value_of_any_type_is_compared_exactly(
    warehouse: Warehouse, kind: FieldType, value: object, other: object
) -> None:
    table = Table("t", (TableColumn("k", INTEGER), TableColumn("v", kind)), ("k",))
    load(warehouse, table, [batch(table, (1, value), (2, None))])

    assert load(warehouse, table, [batch(table, (1, value), (2, None))]).merged == 0
    assert load(warehouse, table, [batch(table, (1, other), (2, None))]).merged == 1


def test_a_generated_time_does_not_count_as_a_change_but_is_stored(warehouse: Warehouse) -> None:
    table = Table("t", USERS.columns, ("user_id",), generated=("updated",))
    load(warehouse, table, [users((1, "a", 1), (2, "b", 1))])

    assert load(warehouse, table, [users((1, "a", 2), (2, "c", 2))]).merged == 1
    assert rows_of(warehouse, "t") == [(1, "a", at(2)), (2, "c", at(2))]


def test_a_column_of_nulls_that_is_new_changes_no_row(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 1), (2, "b", 1))])
    table = replace(USERS, columns=(*USERS.columns, TableColumn("plan", STRING)))

    assert load(warehouse, table, [batch(table, (1, "a", at(1), None), (2, "b", at(1), "pro"))]).merged == 1


def test_of_several_rows_of_a_key_only_the_winner_is_compared(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "b", 1))])

    assert load(warehouse, USERS, [users((1, "a", 1), (1, "b", 1))]).merged == 0
    assert load(warehouse, USERS, [users((1, "b", 1), (1, "a", 1))]).merged == 1


def test_rows_without_a_key_always_count_as_added(warehouse: Warehouse) -> None:
    for _ in range(2):
        assert load(warehouse, USERS, [users((None, "a", 1), (None, "a", 1))]).merged == 2


def test_a_key_of_several_columns_is_compared_as_a_whole(warehouse: Warehouse) -> None:
    table = Table("t", USERS.columns, key=("user_id", "updated"))
    load(warehouse, table, [users((1, "a", 1), (1, "b", 2))])

    assert load(warehouse, table, [users((1, "a", 1), (1, "a", 2))]).merged == 1


def test_rows_that_replace_all_count_if_they_differ_from_stored_ones(warehouse: Warehouse) -> None:
    load(warehouse, USERS, [users((1, "a", 9), (2, "b", 9), (3, "c", 9))])

    result = load(warehouse, USERS, [users((1, "a", 9), (2, "new", 1), (4, "d", 1))], replace=True)

    assert result == LoadResult(staged=3, merged=2, stored=3)
    assert rows_of(warehouse) == [(1, "a", at(9)), (2, "new", at(1)), (4, "d", at(1))]


def test_a_replacement_with_another_type_counts_every_row(warehouse: Warehouse) -> None:
    load(warehouse, Table("t", (TableColumn("k", STRING), TableColumn("v", STRING)), ("k",)), [])
    warehouse.execute("INSERT INTO t VALUES ('x', '1'), ('y', '2')")
    table = Table("t", (TableColumn("k", INTEGER), TableColumn("v", STRING)), ("k",))

    assert load(warehouse, table, [batch(table, (1, "1"), (2, "2"))], replace=True) == LoadResult(2, 2, 2)
    assert rows_of(warehouse, "t") == [(1, "1"), (2, "2")]
