"""The stored domain tables of a source: their columns, their couriers, and their views."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.errors import SchemaError
from heap_courier.heap_connect.all_events import ALL_EVENTS, all_events, is_event_table
from heap_courier.heap_connect.identity_views import MIGRATIONS, Types, domain_table, is_resolved, view_name
from heap_courier.heap_connect.identity_views import views as identity_views
from heap_courier.heap_connect.names import fits
from heap_courier.heap_connect.table_schema import DUMP
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.versions import HISTORY, VERSIONS
from heap_courier.warehouse.views import DroppedViews

_SCHEMA_OF: Final = (
    "SELECT n.nspname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.relname = $1 AND n.nspname NOT LIKE 'pg_%'"
)
_DECIMAL: Final = re.compile(r"\w+\((\d+), ?(\d+)\)")
_PLAIN: Final = (BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING)


class StoredTables:
    """The domain tables of a source, such as `Heap` in `Heap:users`, as last read or loaded.

    Attributes:
        columns: columns with their SQL types, by Heap's table names; empty for a table that does not exist.
        dropped: the tables that were loaded but no longer exist.
    """

    def __init__(self, warehouse: Warehouse, source: str) -> None:
        self.columns: dict[str, Mapping[str, str]] = {}
        self.dropped: set[str] = set()
        self._warehouse = warehouse
        self._source = source
        self._others: dict[str, str] = {}
        self._elsewhere: dict[str, str] = {}

    def read(self, tables: Iterable[str], loaded: Collection[str], others: Mapping[str, str]) -> None:
        """Reads the tables of the warehouse.

        Args:
            tables: tables to read in addition to those that were loaded.
            loaded: the tables that this courier has loaded.
            others: the tables that other couriers have loaded, with the names of these couriers.
        """
        known = {*loaded, *others}
        for table in {MIGRATIONS, *tables, *known}:
            self.columns[table] = self._warehouse.columns(self.domain_table(table))
        self._elsewhere = self._schemas_of(table for table in known if not self.columns[table])
        self.dropped = {table for table in known if not self.columns[table] and table not in self._elsewhere}
        self._others = {table: courier for table, courier in others.items() if table not in self.dropped}

    def loaded(self, table: str, columns: Mapping[str, str]) -> None:
        """Updates the columns of a table that was loaded."""
        self.columns[table] = columns
        self.dropped.discard(table)

    def domain_table(self, table: str) -> str:
        """The domain table of one of Heap's tables."""
        return domain_table(self._source, table)

    def is_there(self, table: str) -> bool:
        """Whether the warehouse has a table."""
        if table not in self.columns:
            self.columns[table] = self._warehouse.columns(self.domain_table(table))
        return bool(self.columns[table])

    def filled(self) -> dict[str, Mapping[str, str]]:
        """The tables that exist, with their columns."""
        return {name: columns for name, columns in self.columns.items() if columns and not _is_view(name)}

    def field_type(self, sql_type: str) -> FieldType:
        """The field type for a column's SQL type."""
        if decimal := _DECIMAL.fullmatch(sql_type):
            return FieldType(Kind.DECIMAL, int(decimal[1]), int(decimal[2]))
        return next((kind for kind in _PLAIN if self._warehouse.sql_type(kind) == sql_type), STRING)

    def refuse_foreign(self, table: str) -> None:
        """Refuses a table that this courier must not load.

        Raises:
            SchemaError: why not, and what to do.
        """
        name = self.domain_table(table)
        stored = self.columns[table]
        if _is_view(table):
            raise SchemaError(
                f"The table `{table}` has the name of one of the courier's views: rename it in Heap, or exclude it."
            )
        if table in self._elsewhere:
            raise SchemaError(
                f"The table `{name}` is in the schema `{self._elsewhere[table]}`, but new tables now go to "
                "another one: restore the search path, or move the table."
            )
        for other, columns in self.columns.items():
            if columns and other != table and other.lower() == table.lower():
                raise SchemaError(
                    f"The tables `{table}` and `{other}` differ only in case: rename one in Heap, or exclude it."
                )
        owner = f"is loaded by the courier `{self._others[table]}`" if table in self._others else None
        if stored and DUMP not in stored:
            owner = "was not created from dumps of Heap Connect"
        if owner:
            raise SchemaError(
                f"The table `{name}` {owner}: give the entity another `heap-connect/source`, or drop the table."
            )

    def unite_events(self) -> None:
        """Creates the view of all events again, because event tables may have been dropped.

        Raises:
            SchemaError, SetupError: something else has its name, or depends on it.
            LaterError: the warehouse failed.
        """
        view = self.domain_table(ALL_EVENTS)
        tables = self.filled()
        with self._warehouse.transaction():
            is_needed = any(is_event_table(*table) for table in tables.items()) or self._warehouse.columns(view)
            if is_needed and fits(self._warehouse, view):
                query = all_events(self._source, tables, Types.of(self._warehouse))
                DroppedViews(self._warehouse).create({view: query})

    def views(self, table: str, columns: Mapping[str, str], *, changed: bool) -> dict[str, str]:
        """The queries, by name, of the views that loading a table has to create or replace; all if it is migrations."""
        stored = {**self.filled(), table: columns}
        types = Types.of(self._warehouse)
        queries = {
            view_name(self._source, name): query
            for name, query in identity_views(self._source, stored, types).items()
            if name == table or (changed and table == MIGRATIONS)
        }
        if changed and (table == MIGRATIONS or is_event_table(table, columns)):
            queries[self.domain_table(ALL_EVENTS)] = all_events(self._source, stored, types)
        return {name: query for name, query in queries.items() if fits(self._warehouse, name)}

    def _schemas_of(self, tables: Iterable[str]) -> dict[str, str]:
        """The schemas of tables that are not in the current schema, because the search path was changed."""
        found = {}
        for table in tables:
            rows = self._warehouse.query(_SCHEMA_OF, (self.domain_table(table),))
            if rows:
                found[table] = rows[0][0]
        return found


def _is_view(table: str) -> bool:
    """Whether one of Heap's tables has a name that the courier uses for a view or a table of its own."""
    return is_resolved(table) or table.endswith((HISTORY, VERSIONS)) or table.lower() == ALL_EVENTS
