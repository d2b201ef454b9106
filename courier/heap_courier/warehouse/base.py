"""The interface of a warehouse; `duckdb_engine` and `postgresql_engine` implement it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from heap_courier.data_types.field_types import FieldType

if TYPE_CHECKING:
    import pyarrow as pa


class View(NamedTuple):
    """A view in the database, with everything needed to recreate it.

    Attributes:
        relation: its name if it is in the schema of the domain tables, else None.
        name: its qualified and quoted name, for messages and statements.
        kind: VIEW or MATERIALIZED VIEW.
        create: the statement that creates it.
        restore: statements that restore its owner, privileges, comments and indexes.
    """

    relation: str | None
    name: str
    kind: str
    create: str
    restore: tuple[str, ...]


class Warehouse(Protocol):
    """One connection to the database with the domain tables. Not thread-safe.

    SQL is what DuckDB and PostgreSQL have in common: `$1` for parameters, DISTINCT ON, DELETE ... USING. Domain tables
    are in the current schema; the courier's own tables are in the schema `heap_courier`. Database errors are raised as
    SetupError, SchemaError or LaterError, in a sentence.

    Attributes:
        indexes_keys: whether a unique index on a table's key speeds up finding stored rows.
        keeps_order: whether the column that `fill` returns ascends in the order of the rows.
        longest_name: the most bytes of UTF-8 in the name of a table or column; None: unlimited.
        reserved_columns: names that no column can have.
        follows_columns: whether `*` in a view means the columns that its table has when the view is queried.
        row_number: an implicit column of each table that ascends in the order in which rows were added, as long as the
            engine does not rewrite the table; None: there is none.
    """

    indexes_keys: bool
    keeps_order: bool
    longest_name: int | None
    reserved_columns: frozenset[str]
    follows_columns: bool
    row_number: str | None

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Runs a statement. Returns the number of rows that it added, changed or deleted."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Runs a query. Returns its rows."""

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction: commits at the end of the block, rolls back on any exception. Cannot be nested."""

    def snapshot(self) -> AbstractContextManager[None]:
        """The queries in the block all see the current state, whatever others commit; it does not block writers."""

    def fingerprint(self, columns: Sequence[str]) -> str:
        """An SQL aggregate whose text is equal for the same rows in any order, and differs for other rows.

        It is based on a hash of at least 64 bits per row. Another version of the engine may return another text.
        """

    def stage(self, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Creates a temporary table and streams the batches into it, inside the transaction."""

    def fill(
        self, table: str, columns: Mapping[str, str], schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> str | None:
        """Streams batches straight into a domain table, inside the transaction, instead of staging them.

        Args:
            table: the table; created if it does not exist.
            columns: its target columns with their SQL types.
            schema: the schema of the batches: the same columns, in the same order.
            batches: the rows; several may have the same key.

        Returns:
            An implicit column that is unique per row, and ascends in the order of the rows if the engine `keeps_order`.
            None: nothing was read, because the table has rows, other columns or constraints.
        """

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Streams the rows of a query. Run no other statement until the last row has been read."""

    def columns(self, table: str) -> Mapping[str, str]:
        """The columns of a domain table or view, in order, with the engine's names of their SQL types.

        Empty if there is no such table. Includes tables that the user has no privilege to read.
        """

    def sql_type(self, field_type: FieldType) -> str:
        """The engine's name of a type, as `columns` returns it."""

    def dependents(self, relation: str, *, itself: bool = False) -> list[View]:
        """Views that must be dropped before a column of a table or view can be altered or dropped.

        They are in an order in which they can be created, with the view `itself` if requested.

        Raises:
            SchemaError: one of them could not be recreated.
        """

    def can_replace(self, view: str, query: str) -> bool:
        """Whether CREATE OR REPLACE VIEW accepts a query for an existing view."""

    def has_view(self, view: str, query: str) -> bool:
        """Whether an existing view already has this query. May be False if replacing the view blocks no one."""

    def lock(self, table: str) -> None:
        """Locks a table, given by its quoted name, against other writers until the transaction ends."""

    def close(self) -> None:
        """Closes the connection; an open transaction is rolled back."""


def domain_tables(warehouse: Warehouse, *, views: bool = True) -> list[str]:
    """The sorted names of the domain tables, such as `Heap:users`, and, if requested, of the views with such names."""
    kind = "" if views else "AND table_type = 'BASE TABLE' "
    rows = warehouse.query(
        "SELECT table_name FROM information_schema.tables "
        f"WHERE table_schema = current_schema() AND table_name LIKE '%:%' {kind}ORDER BY table_name"
    )
    return [name for (name,) in rows]


def quoted(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'
