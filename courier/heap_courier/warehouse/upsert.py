"""Loads rows into a domain table in one transaction: stages them, then upserts the newest row of each key."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

from heap_courier.data_types.field_types import FLOAT, INTEGER, STRING, FieldType
from heap_courier.errors import SchemaError
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.views import DroppedViews

_SEQUENCE: Final = "_seq:"  # the column of staged rows with their position in the order of loading
MOST_EXACT: Final = 2**53 - 1  # larger integers may not be exact as a Float
_STAGING: Final = "heap_courier_staging"
_WINNERS: Final = "heap_courier_winners"


class TableColumn(NamedTuple):
    """A column of a domain table."""

    name: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Table:
    """The target schema of a domain table.

    Attributes:
        name: its name, such as `Heap:Users`.
        columns: all its columns. Other columns of the stored table are dropped, missing ones are added, and those with
            another type are cast.
        key: the columns that identify a row; empty: rows are only appended. Rows whose key is null are always appended.
        newest: the columns that decide which row of a key is the newest, most significant first; null is the oldest. A
            stored row is kept if it is newer by them. If they are equal, or empty, the row that was loaded last wins.
        generated: the columns with the time of loading: a row that differs only in them does not count as changed.
    """

    name: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...]
    newest: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of its rows."""
        return pa.schema([(column.name, column.type.arrow) for column in self.columns])


class OrderNeededError(Exception):
    """A table was filled with several rows of a key, on an engine that does not keep the order of rows."""


class LoadResult(NamedTuple):
    """The result of a load."""

    staged: int  # rows read
    merged: int  # rows added or changed, without those that were already stored with the same values
    stored: int  # rows in the table after the load


def load(
    warehouse: Warehouse,
    table: Table,
    batches: Iterable[pa.RecordBatch],
    *,
    replace: bool = False,
    repeatable: bool = False,
    before: Callable[[], None] = lambda: None,
    winners: Callable[[str], None] = lambda _rows: None,
    views: Callable[[], Mapping[str, str]] = dict,
    after: Callable[[LoadResult], None] = lambda _result: None,
) -> LoadResult:
    """Loads rows into a table, completely or not at all.

    Args:
        warehouse: an open connection without a transaction.
        table: the table; created or altered as needed.
        batches: the rows, in the order of loading, with exactly the table's columns. An exception rolls everything
            back.
        replace: whether the rows replace all stored rows.
        repeatable: whether the caller can handle an OrderNeededError, by loading the same rows again without this.
        before: called inside the transaction after all rows have been read, before stored rows are changed.
        winners: called inside the transaction, if the table has a key, with a query that returns the newest loaded row
            of each key, even if a stored one is newer, and the loaded rows whose key is null.
        views: called when the table has its final columns. Returns our views to create or replace, as queries by name,
            each after those that it reads.
        after: called inside the transaction after the load. What it writes, such as a bookmark, is committed with the
            rows or not at all.

    Raises:
        SchemaError: the table cannot be altered, or a user's view on it could not be kept.
        OrderNeededError: the load was `repeatable`, and must be repeated without it.
    """
    with warehouse.transaction():
        count = _Count(table)
        columns = _sql_types(warehouse, table)
        direct = warehouse.keeps_order or repeatable
        if direct and (row_id := warehouse.fill(table.name, columns, table.schema, count.passed(batches))):
            before()
            dropped = DroppedViews(warehouse)
            merged = stored = count.rows - _delete_older(warehouse, table, quoted(row_id))
            _index_key(warehouse, table.name, table.key)
            if table.key:
                winners(f"SELECT {_list(map(quoted, table.schema.names))} FROM {quoted(table.name)}")
        else:
            warehouse.stage(_STAGING, count.schema, count.numbered(batches))
            before()
            dropped, merged = _put(warehouse, table, columns, count.sequence, winners, replace=replace)
            stored = int(warehouse.query(f"SELECT count(*) FROM {quoted(table.name)}")[0][0])
        dropped.create(views())
        result = LoadResult(count.rows, merged, stored)
        after(result)
    return result


def _put(
    warehouse: Warehouse,
    table: Table,
    columns: Mapping[str, str],
    sequence: str,
    winners: Callable[[str], None],
    *,
    replace: bool,
) -> tuple[DroppedViews, int]:
    """Puts the staged rows into their table. Returns the views dropped for it, and the number of changed rows."""
    emptied = replace and not (table.key and warehouse.columns(table.name) == columns)
    if emptied and warehouse.columns(table.name):
        warehouse.lock(quoted(table.name))
        warehouse.execute(f"DELETE FROM {quoted(table.name)}")
    is_new = not warehouse.columns(table.name)
    dropped = alter(warehouse, table.name, columns, (), emptied=emptied)
    warehouse.lock(quoted(table.name))
    upsert = _Upsert(warehouse, table, sequence)
    merged = upsert.by_key(winners, replace=replace) if table.key else upsert.insert()
    if is_new:
        _index_key(warehouse, table.name, table.key)
    warehouse.execute(f"DROP TABLE {_STAGING}")
    return dropped, merged


def _delete_older(warehouse: Warehouse, table: Table, order: str) -> int:
    """Keeps the newest row of each key, and all rows whose key is null, in a table that was empty before the load.

    Returns:
        How many rows were deleted.

    Raises:
        OrderNeededError: a key has several rows, and the order of `order` is not that of loading.
    """
    if not table.key:
        return 0
    name, key = quoted(table.name), _list(map(quoted, table.key))
    has_key = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in table.key)
    twice = f"SELECT {key} FROM {name} WHERE {has_key} GROUP BY {key} HAVING count(*) > 1"
    if not warehouse.query(f"{twice} LIMIT 1"):
        return 0
    if not warehouse.keeps_order:
        raise OrderNeededError
    newest_first = _list([*(f"{quoted(column)} DESC NULLS LAST" for column in table.newest), f"{order} DESC"])
    return warehouse.execute(
        f"DELETE FROM {name} WHERE {order} IN (SELECT {order} FROM ("
        f"SELECT {order}, row_number() OVER (PARTITION BY {key} ORDER BY {newest_first}) AS place "
        f"FROM {name} WHERE ({key}) IN ({twice})) WHERE place > 1)"
    )


def create_or_alter(warehouse: Warehouse, table: Table) -> None:
    """Creates a table, or alters it to have exactly its target columns. Call it inside a transaction.

    Raises:
        SchemaError: a stored value does not fit its new type, or a view on the table could not be kept.
    """
    alter(warehouse, table.name, _sql_types(warehouse, table), table.key).create({})


def _index_key(warehouse: Warehouse, table: str, key: Sequence[str]) -> None:
    """Creates the index on the key of a new table. Call it after the first rows were added, which is faster."""
    if warehouse.indexes_keys and key:
        warehouse.execute(f"CREATE UNIQUE INDEX ON {quoted(table)} ({_list(map(quoted, key))})")


def alter(
    warehouse: Warehouse, table: str, wanted: Mapping[str, str], key: Sequence[str], *, emptied: bool = False
) -> DroppedViews:
    """Creates a table, or alters it to have exactly certain columns. Call it inside a transaction.

    Args:
        warehouse: the warehouse of the table.
        table: its name.
        wanted: its target columns with their SQL types.
        key: its key, to index if the table is created; may be empty.
        emptied: whether the table has no rows, so that no value needs to be cast.

    Returns:
        The views that were dropped for it.

    Raises:
        SchemaError: a stored value does not fit its new type.
    """
    dropped = DroppedViews(warehouse)
    name = quoted(table)
    stored = warehouse.columns(table)
    if not stored:
        warehouse.execute(
            f"CREATE TABLE {name} ({_list(f'{quoted(column)} {kind}' for column, kind in wanted.items())})"
        )
        _index_key(warehouse, table, key)
        return dropped
    if any(wanted.get(column) != kind for column, kind in stored.items()):
        dropped.drop(table)
    for column in stored:
        if column not in wanted:  # before others are added, because names in DuckDB are case-insensitive
            warehouse.execute(f"ALTER TABLE {name} DROP COLUMN {quoted(column)}")
    for column, kind in wanted.items():
        if column not in stored:
            warehouse.execute(f"ALTER TABLE {name} ADD COLUMN {quoted(column)} {kind}")
        elif stored[column] != kind:
            if not emptied:
                _refuse_inexact(warehouse, table, column, stored[column], kind)
            cast = f"CAST(NULL AS {kind})" if emptied else cast_of(warehouse, column, stored[column], kind)
            warehouse.execute(f"ALTER TABLE {name} ALTER COLUMN {quoted(column)} TYPE {kind} USING {cast}")
    return dropped


def _sql_types(warehouse: Warehouse, table: Table) -> dict[str, str]:
    return {column.name: warehouse.sql_type(column.type) for column in table.columns}


def inexact(warehouse: Warehouse, table: str, column: str) -> bool:
    """Whether an integer column of a stored table contains numbers that may not be exact as a Float."""
    far = f"{quoted(column)} NOT BETWEEN {-MOST_EXACT:d} AND {MOST_EXACT:d}"
    return bool(warehouse.query(f"SELECT 1 FROM {quoted(table)} WHERE {far} LIMIT 1"))


def _refuse_inexact(warehouse: Warehouse, table: str, column: str, stored: str, kind: str) -> None:
    is_at_risk = (stored, kind) == (warehouse.sql_type(INTEGER), warehouse.sql_type(FLOAT))
    if is_at_risk and inexact(warehouse, table, column):
        raise SchemaError(
            f"The column `{column}` of `{table}` contains integers beyond 2^53, which a Float cannot represent "
            "exactly: make it a String."
        )


def cast_of(warehouse: Warehouse, column: str, stored: str, kind: str) -> str:
    """An SQL expression that casts a stored value. A whole float becomes text in digits: `7`, not `7.0` or `1e+16`."""
    value = quoted(column)
    cast = f"CAST({value} AS {kind})"
    if (stored, kind) == (warehouse.sql_type(FLOAT), warehouse.sql_type(STRING)):
        is_whole = f"{value} = trunc({value}) AND abs({value}) < 9e18"
        return (
            f"CASE WHEN {is_whole} THEN CAST(CAST({value} AS {warehouse.sql_type(INTEGER)}) AS {kind}) ELSE {cast} END"
        )
    return cast


class _Count:
    """Counts and numbers rows as they are read.

    Also casts them to the table's types: ADBC copies values bit by bit, and a float in an integer column would silently
    become another number.
    """

    def __init__(self, table: Table) -> None:
        self._types = table.schema
        self.rows = 0
        self.sequence = _SEQUENCE
        names = {column.name.lower() for column in table.columns}
        while self.sequence in names:
            self.sequence += ":"
        self.schema = self._types.append(pa.field(self.sequence, pa.int64()))

    def passed(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.rows += batch.num_rows
            yield batch.cast(self._types)

    def numbered(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in self.passed(batches):
            numbers = pa.py_buffer(array("q", range(self.rows - batch.num_rows, self.rows)))
            yield batch.append_column(self.sequence, pa.Array.from_buffers(pa.int64(), batch.num_rows, [None, numbers]))


class _Upsert:
    """Puts the staged rows into their table."""

    def __init__(self, warehouse: Warehouse, table: Table, sequence: str) -> None:
        self._warehouse = warehouse
        self._table = table
        self._sequence = quoted(sequence)

    def by_key(self, winners: Callable[[str], None], *, replace: bool) -> int:
        """Upserts the newest staged row of each key, and adds all staged rows whose key is null.

        The winners are found in narrow columns only, and wide rows are written once: on DuckDB, that takes half the
        time of a MERGE.

        Args:
            winners: called with a query that returns the newest staged rows.
            replace: whether they replace all stored rows, even newer ones.

        Returns:
            How many rows were added or changed.
        """
        table, sequence, execute = self._table, self._sequence, self._warehouse.execute
        name = quoted(table.name)
        key = _list(map(quoted, table.key))
        newest = [quoted(column) for column in table.newest]
        narrow = _list(dict.fromkeys([*map(quoted, table.key), *newest, sequence]))
        order = _list([key, *(f"{column} DESC NULLS LAST" for column in newest), f"{sequence} DESC"])
        no_key = " OR ".join(f"{quoted(column)} IS NULL" for column in table.key)
        same_key = " AND ".join(f"t.{quoted(column)} = w.{quoted(column)}" for column in table.key)

        execute(
            f"CREATE TEMPORARY TABLE {_WINNERS} AS SELECT DISTINCT ON ({key}) {narrow} FROM {_STAGING} "
            f"WHERE NOT ({no_key}) ORDER BY {order}"
        )
        execute(f"INSERT INTO {_WINNERS} SELECT {narrow} FROM {_STAGING} WHERE {no_key}")
        chosen = f"{sequence} IN (SELECT {sequence} FROM {_WINNERS})"
        winners(f"SELECT {_list(map(quoted, table.schema.names))} FROM {_STAGING} WHERE {chosen}")
        if newest and not replace:
            execute(f"DELETE FROM {_WINNERS} AS w USING {name} AS t WHERE {same_key} AND ({is_newer(newest)})")
        unchanged = self._unchanged(same_key, newest)
        execute(f"DELETE FROM {name}" if replace else f"DELETE FROM {name} AS t USING {_WINNERS} AS w WHERE {same_key}")
        written = self.insert(f"WHERE {chosen}")
        execute(f"DROP TABLE {_WINNERS}")
        return written - unchanged

    def _unchanged(self, same_key: str, newest: Sequence[str]) -> int:
        """How many winners are already stored, with equal values in all columns that are not generated.

        Wide rows are only read if the narrow columns are equal.
        """
        table, query, name = self._table, self._warehouse.query, quoted(self._table.name)
        alike = " AND ".join([same_key, *(f"t.{column} IS NOT DISTINCT FROM w.{column}" for column in newest)])
        if not query(f"SELECT 1 FROM {_WINNERS} AS w, {name} AS t WHERE {alike} LIMIT 1"):
            return 0
        others = [quoted(column.name) for column in table.columns if column.name not in {*table.key, *table.generated}]
        equal = [f"t.{quoted(column)} = s.{quoted(column)}" for column in table.key]
        equal += [f"t.{column} IS NOT DISTINCT FROM s.{column}" for column in others]
        found = query(
            f"SELECT count(DISTINCT s.{self._sequence}) FROM {_STAGING} AS s JOIN {name} AS t ON {' AND '.join(equal)} "
            f"WHERE s.{self._sequence} IN (SELECT {self._sequence} FROM {_WINNERS})"
        )
        return int(found[0][0])

    def insert(self, where: str = "") -> int:
        """Adds staged rows to the table, without regard to stored ones. Returns their number."""
        names = _list(quoted(column.name) for column in self._table.columns)
        return self._warehouse.execute(
            f"INSERT INTO {quoted(self._table.name)} ({names}) SELECT {names} FROM {_STAGING} {where}"
        )


def is_newer(columns: Sequence[str]) -> str:
    """An SQL condition: whether a stored row `t` is newer than a new row `w`, by the first column that differs."""
    first, *others = columns
    newer = f"t.{first} > w.{first} OR t.{first} IS NOT NULL AND w.{first} IS NULL"
    return f"{newer} OR t.{first} IS NOT DISTINCT FROM w.{first} AND ({is_newer(others)})" if others else newer


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
