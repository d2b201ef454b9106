"""Rows into a domain table: staged, then one MERGE where the newest row of a key wins, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

from heap_courier.field_types import FieldType
from heap_courier.warehouse import Warehouse

SEQUENCE: Final = "_seq"  # staged beside each row: its place in the order of loading


class Column(NamedTuple):
    """A column of a domain table."""

    name: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Table:
    """A domain table as it shall be.

    Attributes:
        name: `Heap:Users`.
        columns: all of them; columns that the stored table has beyond these are dropped.
        key: columns that tell rows apart; empty: rows are only added.
        newest: columns by which the newest of several rows of a key is found, most telling first; after them the row
            that was loaded last wins. A stored row stays where its first one is greater.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    newest: tuple[str, ...] = ()


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
    settle: Callable[[Landed], None] = lambda _landed: None,
) -> Landed:
    """Lands rows in a table, whole or not at all.

    Args:
        warehouse: an open connection without a transaction.
        table: made, or given the columns it lacks, as needed.
        batches: of exactly the table's columns, in the order of loading. What the iteration raises rolls all back.
        replace: whether the rows stand for all that the table held.
        settle: called inside the transaction, after the rows: what it writes (a bookmark) holds if and only if they do.
    """
    raise NotImplementedError
