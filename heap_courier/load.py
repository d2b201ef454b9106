"""Rows into a domain table: staged, then one MERGE where the newest row of a key wins, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.field_types import FieldType
from heap_courier.warehouse import Warehouse, quoted

SEQUENCE: Final = "_seq"  # staged beside each row: its place in the order of loading
_STAGING: Final = "heap_courier_staging"


class Column(NamedTuple):
    """A column of a domain table."""

    name: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Table:
    """A domain table as it shall be.

    Attributes:
        name: `Heap:Users`.
        columns: all of them. Columns that the stored table has beyond these are dropped, those that it lacks are added,
            and those of another type are cast.
        key: columns that tell rows apart; empty: rows are only added. So are rows whose key is null.
        newest: columns by which the newest of several rows of a key is found, most telling first, null being the
            oldest; after them the row that was loaded last wins. A stored row stays where its first one is greater.
            Empty: what comes wins over what is stored.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    newest: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """What batches of its rows look like."""
        return pa.schema([(column.name, column.type.arrow) for column in self.columns])


class Landed(NamedTuple):
    """What became of the rows."""

    staged: int  # rows that came
    merged: int  # rows that were added or changed
    stored: int  # rows that the table holds now


def land(
    warehouse: Warehouse,
    table: Table,
    batches: Iterable[pa.RecordBatch],
    *,
    replace: bool = False,
    before: Callable[[], None] = lambda: None,
    settle: Callable[[Landed], None] = lambda _landed: None,
) -> Landed:
    """Lands rows in a table, whole or not at all.

    Args:
        warehouse: an open connection without a transaction.
        table: made, or altered, as needed.
        batches: of exactly the table's columns, in the order of loading. What the iteration raises rolls all back.
        replace: whether the rows stand for all that the table held.
        before: called inside the transaction when all rows are there, and before the table is touched.
        settle: called inside the transaction, after the rows: what it writes (a bookmark) holds if and only if they do.
    """
    with warehouse.transaction():
        count = _Count()
        warehouse.stage(_STAGING, table.schema.append(pa.field(SEQUENCE, pa.int64())), count.numbered(batches))
        before()
        shape(warehouse, table)
        warehouse.lock(table.name)
        if replace:
            warehouse.execute(f"DELETE FROM {quoted(table.name)}")
        merged = warehouse.execute(_insert(table) if replace or not table.key else _merge(table))
        stored = warehouse.query(f"SELECT count(*) FROM {quoted(table.name)}")[0][0]
        warehouse.execute(f"DROP TABLE {_STAGING}")
        landed = Landed(count.rows, merged, stored)
        settle(landed)
    return landed


def shape(warehouse: Warehouse, table: Table) -> None:
    """Makes a table, or alters it so that it has exactly the columns it shall have. Inside a transaction."""
    name = quoted(table.name)
    stored = warehouse.columns(table.name)
    wanted = {column.name: warehouse.sql_type(column.type) for column in table.columns}
    if not stored:
        warehouse.execute(
            f"CREATE TABLE {name} ({_list(f'{quoted(column)} {kind}' for column, kind in wanted.items())})"
        )
        if warehouse.indexes_keys and table.key:
            warehouse.execute(f"CREATE UNIQUE INDEX ON {name} ({_list(map(quoted, table.key))})")
        return
    for column, kind in wanted.items():
        if column not in stored:
            warehouse.execute(f"ALTER TABLE {name} ADD COLUMN {quoted(column)} {kind}")
        elif stored[column] != kind:
            cast = f"CAST({quoted(column)} AS {kind})"
            warehouse.execute(f"ALTER TABLE {name} ALTER COLUMN {quoted(column)} TYPE {kind} USING {cast}")
    for column in stored:
        if column not in wanted:
            warehouse.execute(f"ALTER TABLE {name} DROP COLUMN {quoted(column)}")


class _Count:
    """Numbers rows as they pass."""

    def __init__(self) -> None:
        self.rows = 0

    def numbered(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), batch.num_rows), start=self.rows)
            self.rows += batch.num_rows
            yield batch.append_column(SEQUENCE, numbers)


def _merge(table: Table) -> str:
    match = " AND ".join(f"t.{quoted(column)} = s.{quoted(column)}" for column in table.key)
    names = [quoted(column.name) for column in table.columns]
    condition = ""
    if table.newest:
        newest = quoted(table.newest[0])
        condition = f" AND (t.{newest} IS NULL OR s.{newest} >= t.{newest})"
    return (
        f"MERGE INTO {quoted(table.name)} AS t USING ({_winners(table)}) AS s ON {match} "
        f"WHEN MATCHED{condition} THEN UPDATE SET {_list(f'{name} = s.{name}' for name in names)} "
        f"WHEN NOT MATCHED THEN INSERT ({_list(names)}) VALUES ({_list(f's.{name}' for name in names)})"
    )


def _insert(table: Table) -> str:
    names = _list(quoted(column.name) for column in table.columns)
    return f"INSERT INTO {quoted(table.name)} ({names}) {_winners(table)}"


def _winners(table: Table) -> str:
    """Selects the newest of the staged rows of each key, and all rows whose key is null."""
    rows = f"SELECT {_list(quoted(column.name) for column in table.columns)} FROM {_STAGING}"
    if not table.key:
        return rows
    key = _list(map(quoted, table.key))
    if table.newest:
        order = _list(f"{quoted(column)} DESC NULLS LAST" for column in table.newest)
        numbers = (
            f"SELECT DISTINCT ON ({key}) {SEQUENCE}, {key} FROM {_STAGING} ORDER BY {key}, {order}, {SEQUENCE} DESC"
        )
        numbers = f"SELECT {SEQUENCE} FROM ({numbers}) AS newest"
    else:
        numbers = f"SELECT max({SEQUENCE}) FROM {_STAGING} GROUP BY {key}"
    without = " OR ".join(f"{quoted(column)} IS NULL" for column in table.key)
    return f"{rows} WHERE {SEQUENCE} IN ({numbers} UNION ALL SELECT {SEQUENCE} FROM {_STAGING} WHERE {without})"


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
