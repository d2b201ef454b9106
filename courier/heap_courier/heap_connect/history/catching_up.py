"""Adds the current rows of tables to their histories, if rows were loaded without recording their versions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from heap_courier.errors import SchemaError
from heap_courier.heap_connect.bookmarks import Version
from heap_courier.heap_connect.history.histories import Histories, versions_of
from heap_courier.heap_connect.manifests import Bookmark
from heap_courier.heap_connect.private.hashed_columns import HashedColumns
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.heap_connect.stored_tables import StoredTables
from heap_courier.heap_connect.table_schema import table_with
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import TableRun
from heap_courier.warehouse.versions import HISTORY, VERSIONS


class CatchingUp:
    """Adds the rows of tables to histories that are behind."""

    def __init__(
        self,
        warehouse: Warehouse,
        tables: StoredTables,
        histories: Histories,
        hashed: HashedColumns,
        note: Callable[[StepResult], None],
    ) -> None:
        self._warehouse = warehouse
        self._tables = tables
        self._histories = histories
        self._hashed = hashed
        self._note = note

    def tables(
        self, loaded: Collection[Bookmark], versions: Mapping[str, Version], before: Callable[[str], None]
    ) -> Iterator[tuple[str, StepResult]]:
        """Brings each history that is behind up to date; yields its table and the result.

        Args:
            loaded: the bookmarks.
            versions: the versions of the tables' bookmarks.
            before: called with a table inside the transaction that adds its rows; it locks the bookmarks.
        """
        floors = {mark.table: mark.dump_id for mark in sorted(loaded) if mark.full}
        for table in sorted({mark.table for mark in loaded}):
            name = self._tables.domain_table(table)
            version = versions.get(table)
            if not (self._histories.keeps(table) and version and self._tables.columns[table]):
                continue
            if not self._histories.is_behind(table, name, version):
                continue
            try:
                yield table, self._caught_up(table, name, version, floors.get(table), before)
            except SchemaError as error:
                failed = StepResult(None, TableRun(name + HISTORY, 0, 0, message=str(error)))
                self._note(failed)
                yield table, failed

    def _caught_up(
        self, table: str, name: str, version: Version, floor: int | None, before: Callable[[str], None]
    ) -> StepResult:
        columns = {column: self._tables.field_type(kind) for column, kind in self._tables.columns[table].items()}
        hashed = self._hashed.of(table)
        with self._warehouse.transaction():
            before(table)
            kept = self._histories.of(table, table_with(table, name, columns))
            rows = self._histories.catch_up(kept, name, floor) if kept else 0
            notice = f"Added the current rows of the table `{name}` to its history." if kept else None
            result = StepResult(None, TableRun(name + HISTORY, 0, 0, merged=rows, stored=rows), notice=notice)
            self._hashed.record(versions_of(table), hashed)
            self._histories.record(table, version)
            self._note(result)
        self._histories.remember(table, version)
        self._hashed.remember(versions_of(table), hashed)
        self._tables.columns[versions_of(table)] = self._warehouse.columns(name + VERSIONS)
        return result
