"""The interface of a warehouse; `duckdb_engine` and `postgresql_engine` implement it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from heap_courier.data_types.field_types import FieldType

if TYPE_CHECKING:
    import pyarrow as pa


class View(NamedTuple):
    """A view of the database, with everything needed to recreate it.

    Attributes:
        relation: its name if it is in the schema of the domain tables, else None.
        name: qualified and quoted, for messages and statements.
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
    """One connection to the database that holds the domain tables; not to be shared between threads.

    SQL is what DuckDB and PostgreSQL have in common: `$1` for parameters, DISTINCT ON, DELETE ... USING. Domain tables
    are in the schema where new tables go; the courier's own records are in the schema `heap_courier`. Database
    errors are raised as SetupError or LaterError, in a sentence.

    Attributes:
        indexes_keys: whether a unique index on a table's key helps to find stored rows.
        keeps_order: whether what `fill` returns ascends in the order of the rows.
        longest_name: of a table or a column, in bytes of UTF-8; None: any length is allowed.
        reserved_columns: names that no column can have.
        follows_columns: whether `*` in a view means the columns that its table has when the view is queried.
        row_number: a column of each table that no one declared, ascending in the order in which rows were added, as
            long as the engine does not rewrite the table; None: there is none.
    """

    indexes_keys: bool
    keeps_order: bool
    longest_name: int | None
    reserved_columns: frozenset[str]
    follows_columns: bool
    row_number: str | None

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Runs a statement; the number of rows that it added, changed or deleted."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: commits at the end of the block, rolls back on any exception. Not nested."""

    def snapshot(self) -> AbstractContextManager[None]:
        """The queries of the block see the database as it is now, whatever others commit; no writer waits for it."""

    def fingerprint(self, columns: Sequence[str]) -> str:
        """An SQL aggregate of rows: a text that is equal for the same rows in any order, and differs for others.

        It has 64 bits for each row. Another version of the engine may give another text.
        """

    def stage(self, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Creates a temporary table and streams the batches into it, one after another, inside the transaction."""

    def fill(
        self, table: str, columns: Mapping[str, str], schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> str | None:
        """Streams batches straight into a domain table, inside the transaction, instead of staging them.

        Args:
            table: created with the columns if it is missing.
            columns: its target columns with their SQL types.
            schema: of the batches: the same columns, in the same order.
            batches: may have rows of the same key.

        Returns:
            A column that no one declared, different in each row, and ascending in their order if the engine
            `keeps_order`. None: nothing was read, since the table has rows, other columns or constraints.
        """

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """The rows of a query, streamed; no other statement until the last of them was read."""

    def columns(self, table: str) -> Mapping[str, str]:
        """Columns of a domain table or view, in order, and their SQL types as the engine names them.

        Empty if there is no such table; includes tables that the user has no privilege to read.
        """

    def sql_type(self, field_type: FieldType) -> str:
        """The engine's name of a type, as `columns` returns it."""

    def dependents(self, relation: str, *, itself: bool = False) -> list[View]:
        """Views that must be dropped before a column of a table or view changes its type or goes.

        In an order in which they can be created; including the view itself if requested. SchemaError: one of them
        could not be recreated as it is.
        """

    def can_replace(self, view: str, query: str) -> bool:
        """Whether CREATE OR REPLACE VIEW accepts a query for an existing view."""

    def has_view(self, view: str, query: str) -> bool:
        """Whether a view already is this query; False if replacing it disturbs no one."""

    def lock(self, table: str) -> None:
        """Locks a table (its quoted name) against other writers until the transaction ends."""

    def close(self) -> None:
        """Ends the connection; an open transaction is rolled back."""


def domain_tables(warehouse: Warehouse, *, views: bool = True) -> list[str]:
    """Names of the domain tables, and if requested of views on them, in their order: with a source before a colon."""
    kind = "" if views else "AND table_type = 'BASE TABLE' "
    rows = warehouse.query(
        "SELECT table_name FROM information_schema.tables "
        f"WHERE table_schema = current_schema() AND table_name LIKE '%:%' {kind}ORDER BY table_name"
    )
    return [name for (name,) in rows]


def quoted(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'
