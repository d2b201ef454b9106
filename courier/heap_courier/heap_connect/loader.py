"""Loads one step of Heap Connect into its domain table: rows, columns, bookmarks and views in one transaction.

So a run can be killed at any moment: what it loaded is recorded, and what it did not load left no trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.documents.wording import listed
from heap_courier.errors import CourierError, LaterError, SchemaError
from heap_courier.heap_connect.all_events import ALL_EVENTS, all_events, is_event_table
from heap_courier.heap_connect.bookmarks import Bookmarks, Version
from heap_courier.heap_connect.hashed_columns import HashedColumns
from heap_courier.heap_connect.identity_views import MIGRATIONS, Types, domain_table, is_resolved, view_name, views
from heap_courier.heap_connect.manifests import Bookmark, Step
from heap_courier.heap_connect.private_columns import PrivateColumns
from heap_courier.heap_connect.reading import File, Reading
from heap_courier.heap_connect.table_schema import (
    DUMP,
    InexactIntegersError,
    reserved,
    target_table,
)
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.run_log import Rejected, TableRun
from heap_courier.warehouse.upsert import LoadResult, Table, TableColumn, inexact, load
from heap_courier.warehouse.views import DroppedViews

_SCHEMA_OF: Final = (
    "SELECT n.nspname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE c.relname = $1 AND n.nspname NOT LIKE 'pg_%'"
)
_DECIMAL: Final = re.compile(r"\w+\((\d+), ?(\d+)\)")
_PLAIN: Final = (BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING)


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step, or of a manifest that cannot be read.

    Attributes:
        dump_id: None where a manifest cannot be read.
        run: of the domain table, or of none (an empty name) with a manifest; a message says why nothing landed.
        unreadable: how many values of which column could not be read: they are null in the table.
        examples: the first of them; row and column, never the value.
        notice: sentences for the user about a loaded step, or None.
        files: whose rows were loaded.
    """

    dump_id: int | None
    run: TableRun
    unreadable: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Rejected, ...] = ()
    notice: str | None = None
    files: tuple[str, ...] = ()


class OvertakenError(LaterError):
    """Another run has loaded dumps since this one made its plan."""


class Loader:
    """The domain tables of a source, such as `Heap` in `Heap:users`, as they are filled."""

    def __init__(
        self,
        warehouse: Warehouse,
        courier: str,
        source: str,
        *,
        workers: int,
        advance: Callable[[int], None],
        note: Callable[[StepResult], None],
        private: PrivateColumns = PrivateColumns(),  # noqa: B008  (it is immutable)
    ) -> None:
        """Does nothing yet.

        Args:
            warehouse: an open connection, used in the thread of the caller alone.
            courier: the name of the one that fills the tables; no other one may.
            source: of the domain tables' names.
            workers: threads that decode.
            advance: called with the number of rows read.
            note: called with each loaded step, inside its transaction.
            private: columns that are hashed or left out.
        """
        self._warehouse = warehouse
        self._private = private
        self._hashed = HashedColumns(warehouse, source, private)
        self._columns: Mapping[str, Collection[str] | None] = {}
        self._source = source
        self._workers = workers
        self._advance = advance
        self._note = note
        self._courier = courier
        self._bookmarks = Bookmarks(warehouse, courier, source)
        self._stored: dict[str, Mapping[str, str]] = {}  # columns with SQL types, by Heap's names of the tables
        self._others: dict[str, str] = {}
        self._versions: dict[str, Version] = {}
        self._elsewhere: dict[str, str] = {}
        self._dropped: set[str] = set()

    def begin(self, tables: Iterable[str]) -> set[Bookmark]:
        """Reads the state of these tables and others; returns what was loaded of them.

        A dropped table counts as not loaded: it starts from scratch with its first dump.
        """
        with self._warehouse.transaction():
            self._versions = self._bookmarks.versions()
            loaded = self._bookmarks.read()
            others = self._bookmarks.others()
            known = {mark.table for mark in loaded} | others.keys()
            for table in {MIGRATIONS, *tables, *known}:
                self._stored[table] = self._warehouse.columns(self.domain_table(table))
            self._elsewhere = self._schemas_of(table for table in known if not self._stored[table])
        self._dropped = {table for table in known if not self._stored[table] and table not in self._elsewhere}
        self._others = {table: courier for table, courier in others.items() if table not in self._dropped}
        return {mark for mark in loaded if mark.table not in self._dropped}

    def unite_events(self) -> None:
        """Makes the view of all events one of the tables that there are: some may have been dropped since.

        Raises:
            SchemaError, SetupError: something else has its name, or depends on it.
            LaterError: of the warehouse.
        """
        view = self.domain_table(ALL_EVENTS)
        tables = self._filled()
        with self._warehouse.transaction():
            is_needed = any(is_event_table(*table) for table in tables.items()) or self._warehouse.columns(view)
            if is_needed and self._fits(view):
                query = all_events(self._source, tables, Types.of(self._warehouse))
                DroppedViews(self._warehouse).create({view: query})

    def protect(
        self, tables: Iterable[str], columns: Mapping[str, Collection[str] | None], folder: Path
    ) -> Iterator[StepResult]:
        """Hashes or removes what is stored of columns that have become private since; yields each changed table.

        Args:
            tables: those that this courier has loaded.
            columns: of the tables in the manifests.
            folder: for the rows of a table while their columns are hashed.

        Raises:
            SetupError: a rule matches nothing.
        """
        self._columns = columns
        self._private.expect_tables({**{name: list(known) for name, known in self._filled().items()}, **columns})
        for table in sorted(set(tables)):
            stored = self._stored[table]
            gone = self._private.left_out(table, stored)
            hashed = self._private.hashed(table, stored) - self._hashed.of(table)
            if not stored or DUMP not in stored:
                continue
            try:
                if known := columns.get(table):
                    self._private.expect_columns(table, {*stored, *known})
                if gone or hashed:
                    yield self._protected(table, gone, hashed, folder / "private.arrow")
            except SchemaError as error:
                failed = StepResult(None, TableRun(self.domain_table(table), 0, 0, message=str(error)))
                self._note(failed)
                yield failed

    def _protected(self, table: str, gone: Collection[str], hashed: Collection[str], path: Path) -> StepResult:
        name = self.domain_table(table)
        kept = tuple(
            TableColumn(column, STRING if column in hashed else self._field_type(kind))
            for column, kind in self._stored[table].items()
            if column not in gone
        )
        results: list[StepResult] = []

        def queries() -> dict[str, str]:
            return self._views(table, self._warehouse.columns(name), changed=True)

        def after(loaded: LoadResult) -> None:
            self._hashed.record(table, hashed)
            run = TableRun(name, 0, 0, merged=loaded.stored, stored=loaded.stored)
            done = [
                f"{listed(sorted(names))} {verb}" for names, verb in ((hashed, "hashed"), (gone, "removed")) if names
            ]
            notice = f"Stored columns of the table `{name}` are private now: {'; '.join(done)}."
            results.append(StepResult(None, run, notice=notice))
            self._note(results[0])

        before = partial(self._expect_no_other_run, table)
        target = Table(name, kept, key=())
        if hashed:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._hashed.write_hashed(target, hashed, path)
            with pa.memory_map(str(path)) as file:
                reader = pa.ipc.open_file(file)
                rows = (reader.get_batch(number) for number in range(reader.num_record_batches))
                load(self._warehouse, target, rows, replace=True, before=before, views=queries, after=after)
            path.unlink()
        else:
            load(self._warehouse, target, (), before=before, views=queries, after=after)
        self._stored[table] = self._warehouse.columns(name)
        self._hashed.remember(table, hashed)
        return results[0]

    def finished(self) -> dict[int, frozenset[str]]:
        """Finished dumps, each with the tables that were excluded.

        Raises:
            SetupError, LaterError: of the warehouse.
        """
        self._bookmarks.make()
        self._hashed.read()
        finished = self._bookmarks.finished()
        pending = (
            {mark.dump_id for mark in self._bookmarks.read() if not self._is_there(mark.table)} if finished else ()
        )
        return {dump_id: excluded for dump_id, excluded in finished.items() if dump_id not in pending}

    def finish(self, dumps: Iterable[tuple[int, frozenset[str]]]) -> None:
        """Records dumps of which everything is loaded."""
        with self._warehouse.transaction():
            self._bookmarks.finish(dumps)

    def is_usable(self) -> bool:
        """Whether the warehouse still answers, so that what has just failed concerns one table alone."""
        try:
            self._warehouse.query("SELECT 1")
        except CourierError:
            return False
        return True

    def domain_table(self, table: str) -> str:
        """The domain table of a table of Heap's."""
        return domain_table(self._source, table)

    def load(self, step: Step, files: Sequence[File]) -> StepResult:
        """Loads a step, completely or not at all.

        Raises:
            FeedError: it cannot be loaded.
            SetupError, LaterError: of the warehouse.
        """
        self._refuse_foreign(step.table)
        step, files = self._without_left_out(step, files)
        brought = {column for file in files for column in file.schema.names}
        as_text = set(self._private.hashed(step.table, {*(step.columns or ()), *brought, *self._stored[step.table]}))
        run = None
        while run is None:  # each time with one more column that must be text
            run = self._loaded(step, files, as_text)
        return run

    def _loaded(self, step: Step, files: Sequence[File], as_text: set[str]) -> StepResult | None:
        """None if another column must be text: it was added to `as_text`, and nothing was loaded."""
        try:
            return self._load(step, files, as_text)
        except InexactIntegersError as error:
            as_text.add(error.column)
            return None

    def _load(self, step: Step, files: Sequence[File], as_text: set[str]) -> StepResult:
        name = self.domain_table(step.table)
        stored = self._stored[step.table]
        table = self._table(step, files, as_text)
        self._refuse_names([name, *(column.name for column in table.columns)])
        hashed = self._private.hashed(step.table, [column.name for column in table.columns])
        reading = Reading(table, step.dump_id, self._workers, self._advance, partial(self._private.with_hashes, hashed))
        columns: Mapping[str, str] = {}
        runs: list[StepResult] = []

        def before() -> None:
            self._expect_no_other_run(step.table)
            if step.table in self._dropped:
                self._bookmarks.forget(step.table)
                self._hashed.forget(step.table)
            if stored and step.outdated_below is not None:
                self._warehouse.execute(f"DELETE FROM {quoted(name)} WHERE {quoted(DUMP)} < {step.outdated_below:d}")

        def queries() -> dict[str, str]:
            nonlocal columns
            columns = self._warehouse.columns(name)  # in the order in which views can follow
            return self._views(step.table, columns, changed=columns != stored)

        def after(loaded: LoadResult) -> None:
            if step.revised:
                self._bookmarks.forget(step.table, step.dump_id)
            self._bookmarks.add(step.bookmarks)
            self._hashed.record(step.table, hashed)
            run = TableRun(name, len(files), loaded.staged, merged=loaded.merged, stored=loaded.stored)
            has_view = "user_id" not in columns or self._fits(view_name(self._source, step.table))
            notices = [] if has_view else [self._no_view(f"The table `{name}` has no view with resolved users")]
            if not self._fits(self.domain_table(ALL_EVENTS)) and not stored:
                notices.append(self._no_view(f"There is no view `{self.domain_table(ALL_EVENTS)}`"))
            if not_loaded := reserved(step, [file.schema for file in files]):
                notices.append(self._not_loaded(name, not_loaded))
            notice = " ".join(notices) or None
            keys = tuple(file.key for file in files)
            runs.append(StepResult(step.dump_id, run, dict(reading.unreadable), tuple(reading.examples), notice, keys))
            self._note(runs[0])
            versions.append(self._bookmarks.advance(step.table, self._versions.get(step.table)))

        versions: list[Version] = []
        rows = reading.batches(files)
        load(self._warehouse, table, rows, replace=step.replaces, before=before, views=queries, after=after)
        self._stored[step.table] = columns
        self._versions[step.table] = versions[0]
        self._dropped.discard(step.table)
        self._hashed.remember(step.table, hashed)
        return runs[0]

    def _without_left_out(self, step: Step, files: Sequence[File]) -> tuple[Step, Sequence[File]]:
        """A step as if Heap had not written the columns that are left out.

        Raises:
            SchemaError: a rule for the table names a column that it does not have, or that must stay hashed.
        """
        table, stored = step.table, self._stored[step.table]
        known = {*stored, *(step.columns or ()), *(self._columns.get(table) or ())}
        known |= {column for file in files for column in file.schema.names}
        self._private.expect_columns(table, known)
        if table not in self._dropped:
            self._hashed.expect_rules(table, stored)
        if not (gone := self._private.left_out(table, known)):
            return step, files
        columns = step.columns and tuple(column for column in step.columns if column not in gone)
        kept = [
            file._replace(schema=pa.schema([field for field in file.schema if field.name not in gone]))
            for file in files
        ]
        return replace(step, columns=columns), kept

    def _expect_no_other_run(self, table: str) -> None:
        """The plan is valid only while the bookmarks it was based on are unchanged."""
        self._bookmarks.lock()
        version = self._bookmarks.version(table)
        if version == self._versions.get(table):
            return
        if version and version.courier != self._courier:
            raise SchemaError(
                f"The table `{self.domain_table(table)}` is filled by the courier `{version.courier}`: give the entity "
                "another `heap-connect/source`, or exclude the table."
            )
        raise OvertakenError(
            f"Another run has loaded dumps of the table `{self.domain_table(table)}` meanwhile: run the courier again."
        )

    def _table(self, step: Step, files: Sequence[File], as_text: set[str]) -> Table:
        name = self.domain_table(step.table)
        stored = {column: self._field_type(kind) for column, kind in self._stored[step.table].items()}
        has_rows = bool(stored and self._warehouse.query(f"SELECT 1 FROM {quoted(name)} LIMIT 1"))
        schemas = [file.schema for file in files]
        fresh = step.replaces or not has_rows
        table = target_table(step, name, stored, schemas, fresh=fresh, as_text=as_text)
        widened = [
            column.name
            for column in table.columns
            if not fresh and column.type == FLOAT and stored.get(column.name) == INTEGER
        ]
        if more := {column for column in widened if inexact(self._warehouse, name, column)}:
            as_text.update(more)
            table = target_table(step, name, stored, schemas, fresh=fresh, as_text=as_text)
        return table

    def _field_type(self, sql_type: str) -> FieldType:
        if decimal := _DECIMAL.fullmatch(sql_type):
            return FieldType(Kind.DECIMAL, int(decimal[1]), int(decimal[2]))
        return next((kind for kind in _PLAIN if self._warehouse.sql_type(kind) == sql_type), STRING)

    def _refuse_foreign(self, table: str) -> None:
        name = self.domain_table(table)
        stored = self._stored[table]
        if _is_view(table):
            raise SchemaError(
                f"The table `{table}` has the name of one of the courier's views: rename it in Heap, or exclude it."
            )
        if table in self._elsewhere:
            raise SchemaError(
                f"The table `{name}` is in the schema `{self._elsewhere[table]}`, but new tables now go to "
                "another one: restore the search path, or move the table."
            )
        for other, columns in self._stored.items():
            if columns and other != table and other.lower() == table.lower():
                raise SchemaError(
                    f"The tables `{table}` and `{other}` differ only in case: rename one in Heap, or exclude it."
                )
        owner = f"is filled by the courier `{self._others[table]}`" if table in self._others else None
        if stored and DUMP not in stored:
            owner = "was not created from dumps of Heap Connect"
        if owner:
            raise SchemaError(f"The table `{name}` {owner}: give the entity another `heap-connect/source`, or drop it.")

    def _refuse_names(self, names: Iterable[str]) -> None:
        for name in names:
            remedy = "rename it in Heap, or exclude the table"
            if not name or "\0" in name:
                raise SchemaError(f"A column has {'a NUL in its name' if name else 'an empty name'}: {remedy}.")
            if name in self._warehouse.reserved_columns:
                raise SchemaError(f"The warehouse reserves the column name `{name}`: {remedy}.")
            if not self._fits(name):
                raise SchemaError(
                    f"The name `{name}` is longer than the {self._warehouse.longest_name} bytes that the warehouse "
                    "allows: rename it in Heap, shorten `heap-connect/source`, or exclude the table."
                )

    def _fits(self, name: str) -> bool:
        return self._warehouse.longest_name is None or len(name.encode()) <= self._warehouse.longest_name

    def _views(self, table: str, columns: Mapping[str, str], *, changed: bool) -> dict[str, str]:
        """Queries of the views that a step of a table has to create or replace, by name: all if migrations change."""
        stored = {**self._filled(), table: columns}
        types = Types.of(self._warehouse)
        queries = {
            view_name(self._source, name): query
            for name, query in views(self._source, stored, types).items()
            if name == table or (changed and table == MIGRATIONS)
        }
        if changed and (table == MIGRATIONS or is_event_table(table, columns)):
            queries[self.domain_table(ALL_EVENTS)] = all_events(self._source, stored, types)
        return {name: query for name, query in queries.items() if self._fits(name)}

    def _filled(self) -> dict[str, Mapping[str, str]]:
        """The tables that there are, with their columns."""
        return {name: columns for name, columns in self._stored.items() if columns and not _is_view(name)}

    def _is_there(self, table: str) -> bool:
        if table not in self._stored:
            self._stored[table] = self._warehouse.columns(self.domain_table(table))
        return bool(self._stored[table])

    def _schemas_of(self, tables: Iterable[str]) -> dict[str, str]:
        """Schemas of the tables that lie in another one than the current one, as after a change of the search path."""
        found = {}
        for table in tables:
            rows = self._warehouse.query(_SCHEMA_OF, (self.domain_table(table),))
            if rows:
                found[table] = rows[0][0]
        return found

    def _not_loaded(self, name: str, columns: Iterable[str]) -> str:
        return (
            f"The table `{name}` lacks {listed(columns)} of the dump, since the courier has columns of its own with "
            "such names: to load them, rename them in Heap."
        )

    def _no_view(self, lacking: str) -> str:
        return (
            f"{lacking}: the view's name would be longer than the {self._warehouse.longest_name} bytes that the "
            "warehouse allows."
        )


def _is_view(table: str) -> bool:
    """Whether a table of Heap's would have the name of a view of the courier's."""
    return is_resolved(table) or table.lower() == ALL_EVENTS
