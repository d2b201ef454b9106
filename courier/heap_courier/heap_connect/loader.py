"""Loads one step of Heap Connect into its domain table: rows, columns, bookmarks and views in one transaction.

So a run can be killed at any time: a step is either loaded and recorded, or leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from heap_courier.data_types.field_types import FLOAT, INTEGER, STRING
from heap_courier.documents.wording import listed
from heap_courier.errors import CourierError, LaterError, SchemaError, SetupError
from heap_courier.heap_connect.all_events import ALL_EVENTS
from heap_courier.heap_connect.bookmarks import Bookmarks, Version
from heap_courier.heap_connect.history.catching_up import CatchingUp
from heap_courier.heap_connect.history.histories import Histories, versions_of
from heap_courier.heap_connect.identity_views import view_name
from heap_courier.heap_connect.manifests import Bookmark, Step
from heap_courier.heap_connect.names import fits, no_view, refuse_names
from heap_courier.heap_connect.private.hashed_columns import HashedColumns
from heap_courier.heap_connect.private.private_columns import PrivateColumns
from heap_courier.heap_connect.reading import File, Reading
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.heap_connect.stored_tables import StoredTables
from heap_courier.heap_connect.table_schema import DUMP, InexactIntegersError, reserved, table_with, target_table
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.run_log import TableRun
from heap_courier.warehouse.upsert import LoadResult, OrderNeededError, Table, TableColumn, inexact, load
from heap_courier.warehouse.versions import HISTORY, Versions, history


class OvertakenError(LaterError):
    """Another run loaded dumps after this run made its plan."""


class Loader:
    """Loads the domain tables of a source, such as `Heap` in `Heap:users`.

    Attributes:
        tables: the stored tables.
        histories: the histories of the tables that have one.
    """

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
        history: Collection[str] = (),
    ) -> None:
        """Call `finished` and `begin` before loading.

        Args:
            warehouse: an open connection, used only in the caller's thread.
            courier: the courier that loads the tables; no other courier may.
            source: the source in the names of the domain tables.
            workers: the number of threads that decode.
            advance: called with the number of rows read.
            note: called with each loaded step, inside its transaction.
            private: the columns that are hashed or left out.
            history: the names of tables whose history is kept; they may contain `*`.
        """
        self._warehouse = warehouse
        self.histories = Histories(warehouse, source, history)
        self._private = private
        self._hashed = HashedColumns(warehouse, source, private)
        self._columns: Mapping[str, Collection[str] | None] = {}
        self.tables = StoredTables(warehouse, source)
        self._source = source
        self._workers = workers
        self._advance = advance
        self._note = note
        self._courier = courier
        self._bookmarks = Bookmarks(warehouse, courier, source)
        self._versions: dict[str, Version] = {}

    def begin(self, tables: Iterable[str], written: Mapping[int, datetime] = MappingProxyType({})) -> set[Bookmark]:
        """Reads the state of these tables and of those loaded before; returns the bookmarks.

        A dropped table counts as not loaded: it starts from scratch with its first dump.

        Args:
            tables: the tables in the manifests.
            written: when each dump was complete; tables with a history need it.
        """
        with self._warehouse.transaction():
            self._versions = self._bookmarks.versions()
            loaded = self._bookmarks.read()
            self.tables.read(tables, {mark.table for mark in loaded}, self._bookmarks.others())
            for table in self.histories.recorded:
                self.tables.is_there(versions_of(table))
        self.histories.set_dates(written)
        return {mark for mark in loaded if mark.table not in self.tables.dropped}

    def protect(
        self, tables: Iterable[str], columns: Mapping[str, Collection[str] | None], folder: Path
    ) -> Iterator[StepResult]:
        """Hashes or removes the stored values of columns that have become private; yields each changed table.

        Args:
            tables: the tables that this courier has loaded.
            columns: the columns of the tables in the manifests.
            folder: an existing folder for a temporary copy of a table's rows.

        Raises:
            SetupError: a rule matches nothing, or the folder cannot be written to, such as on a full disk.
        """
        self._columns = columns
        known_tables = {**{name: list(known) for name, known in self.tables.filled().items()}, **columns}
        self._private.expect_tables(known_tables)
        with_versions = [(each, name) for each in sorted(set(tables)) for name in (each, versions_of(each))]
        for table, name in with_versions:
            stored = self.tables.columns.get(name, {})
            gone = self._private.left_out(table, stored)
            hashed = self._private.hashed(table, stored) - self._hashed.of(name)
            if not stored or DUMP not in stored:
                continue
            try:
                if known := columns.get(table):
                    self._private.expect_columns(table, {*stored, *known, *self._of_versions(table)})
                if gone or hashed:
                    yield self._protected(table, name, gone, hashed, folder / "private.arrow")
            except SchemaError as error:
                failed = StepResult(None, TableRun(self.tables.domain_table(name), 0, 0, message=str(error)))
                self._note(failed)
                yield failed

    def _protected(
        self, table: str, stored: str, gone: Collection[str], hashed: Collection[str], path: Path
    ) -> StepResult:
        """Changes a table; `stored` is the table itself or its versions."""
        name = self.tables.domain_table(stored)
        kept = tuple(
            TableColumn(column, STRING if column in hashed else self.tables.field_type(kind))
            for column, kind in self.tables.columns[stored].items()
            if column not in gone
        )
        results: list[StepResult] = []

        def queries() -> dict[str, str]:
            columns = self._warehouse.columns(name)
            if stored == table:
                return self.tables.views(table, columns, changed=True)
            key = table_with(table, name, dict.fromkeys(columns, STRING)).key
            return {self.tables.domain_table(table) + HISTORY: history(name, columns, key, DUMP)}

        def after(loaded: LoadResult) -> None:
            self._hashed.record(stored, hashed)
            run = TableRun(name, 0, 0, merged=loaded.stored, stored=loaded.stored)
            done = [
                f"{listed(sorted(names))} {verb}" for names, verb in ((hashed, "hashed"), (gone, "removed")) if names
            ]
            notice = f"Stored columns of the table `{name}` changed by `heap-connect/columns`: {'; '.join(done)}."
            results.append(StepResult(None, run, notice=notice))
            self._note(results[0])

        before = partial(self._expect_no_other_run, table)
        target = Table(name, kept, key=())
        if hashed:
            try:
                self._hashed.write_hashed(target, hashed, path)
            except OSError as fault:
                raise SetupError(f"The file `{path}` cannot be written: {fault.strerror or fault}.") from None
            with pa.memory_map(str(path)) as file:
                reader = pa.ipc.open_file(file)
                rows = (reader.get_batch(number) for number in range(reader.num_record_batches))
                load(self._warehouse, target, rows, replace=True, before=before, views=queries, after=after)
            path.unlink()
        else:
            load(self._warehouse, target, (), before=before, views=queries, after=after)
        self.tables.columns[stored] = self._warehouse.columns(name)
        self._hashed.remember(stored, hashed)
        return results[0]

    def _of_versions(self, table: str) -> Mapping[str, str]:
        """The columns of the versions of a table, if it has any."""
        return self.tables.columns.get(versions_of(table), {})

    def catch_up(self, loaded: Collection[Bookmark]) -> Iterator[tuple[str, StepResult]]:
        """Starts or completes the histories of tables that were loaded without one; yields each such table.

        `loaded` is what `begin` returned.
        """
        catching_up = CatchingUp(self._warehouse, self.tables, self.histories, self._hashed, self._note)
        return catching_up.tables(loaded, self._versions, self._expect_no_other_run)

    def finished(self) -> dict[int, frozenset[str]]:
        """Finished dumps, each with the tables that were excluded.

        Raises:
            SetupError, LaterError: the warehouse failed.
        """
        self._bookmarks.make()
        self._hashed.read()
        self.histories.read()
        finished = self._bookmarks.finished()
        loaded = self._bookmarks.read() if finished else ()
        pending = {mark.dump_id for mark in loaded if not self.tables.is_there(mark.table)}
        return {dump_id: excluded for dump_id, excluded in finished.items() if dump_id not in pending}

    def finish(self, dumps: Iterable[tuple[int, frozenset[str]]]) -> None:
        """Records that dumps are completely loaded."""
        with self._warehouse.transaction():
            self._bookmarks.finish(dumps)

    def is_usable(self) -> bool:
        """Whether the warehouse still responds, so that the last failure affects only one table."""
        try:
            self._warehouse.query("SELECT 1")
        except CourierError:
            return False
        return True

    def load(self, step: Step, files: Sequence[File]) -> StepResult:
        """Loads a step, completely or not at all.

        Raises:
            FeedError: it cannot be loaded.
            SetupError, LaterError: the warehouse failed.
        """
        self.tables.refuse_foreign(step.table)
        step, files = self._without_left_out(step, files)
        incoming = {column for file in files for column in file.schema.names}
        as_text = set(
            self._private.hashed(step.table, {*(step.columns or ()), *incoming, *self.tables.columns[step.table]})
        )
        run = None
        while run is None:  # each attempt finds one more column that must be text
            run = self._loaded(step, files, as_text)
        return run

    def _loaded(self, step: Step, files: Sequence[File], as_text: set[str]) -> StepResult | None:
        """Loads a step; None if nothing was loaded because one more column, added to `as_text`, must be text."""
        try:
            return self._load(step, files, as_text, repeatable=True)
        except InexactIntegersError as error:
            as_text.add(error.column)
            return None
        except OrderNeededError:
            return self._load(step, files, as_text, repeatable=False)

    def _load(self, step: Step, files: Sequence[File], as_text: set[str], *, repeatable: bool) -> StepResult:
        name = self.tables.domain_table(step.table)
        stored = self.tables.columns[step.table]
        table = self._table(step, files, as_text)
        refuse_names(self._warehouse, [name, *(column.name for column in table.columns)])
        hashed = self._private.hashed(step.table, [column.name for column in table.columns])
        reading = Reading(table, step.dump_id, self._workers, self._advance, partial(self._private.with_hashes, hashed))
        kept = self.histories.of(step.table, table)
        columns: Mapping[str, str] = {}
        runs: list[StepResult] = []

        def before() -> None:
            self._expect_no_other_run(step.table)
            if step.table in self.tables.dropped:
                self._bookmarks.forget(step.table)
                self._hashed.forget(step.table)
            if stored and step.outdated_below is not None:
                self._warehouse.execute(f"DELETE FROM {quoted(name)} WHERE {quoted(DUMP)} < {step.outdated_below:d}")

        def queries() -> dict[str, str]:
            nonlocal columns
            columns = self._warehouse.columns(name)  # in the order that views must keep
            return self.tables.views(step.table, columns, changed=columns != stored)

        def after(loaded: LoadResult) -> None:
            if step.revised:
                self._bookmarks.forget(step.table, step.dump_id)
            self._bookmarks.add(step.bookmarks)
            self._hashed.record(step.table, hashed)
            run = TableRun(name, len(files), loaded.staged, merged=loaded.merged, stored=loaded.stored)
            notice = self._notice(step, files, table, columns, is_new=not stored)
            keys = tuple(file.key for file in files)
            runs.append(StepResult(step.dump_id, run, dict(reading.unreadable), tuple(reading.examples), notice, keys))
            self._note(runs[0])
            versions.append(self._bookmarks.advance(step.table, self._versions.get(step.table)))
            if kept:
                self.histories.record(step.table, versions[0])

        versions: list[Version] = []
        rows = reading.batches(files)
        load(
            self._warehouse,
            table,
            rows,
            replace=step.replaces,
            repeatable=repeatable,
            before=before,
            winners=partial(self._keep_versions, kept, step, hashed),
            views=queries,
            after=after,
        )
        self.tables.loaded(step.table, columns)
        self._versions[step.table] = versions[0]
        self._hashed.remember(step.table, hashed)
        self._remember_versions(kept, step, hashed)
        return runs[0]

    def _keep_versions(self, kept: Versions | None, step: Step, hashed: Collection[str], rows: str) -> None:
        if kept:
            written = self.histories.written_at(step.dump_id)
            kept.add(rows, written, complete=step.dump_id if step.full else None)
            self._hashed.record(versions_of(step.table), hashed)

    def _remember_versions(self, kept: Versions | None, step: Step, hashed: Collection[str]) -> None:
        if kept:
            self.histories.remember(step.table, self._versions[step.table])
            self._hashed.remember(versions_of(step.table), hashed)
            self.tables.columns[versions_of(step.table)] = self._warehouse.columns(kept.name)

    def _notice(
        self, step: Step, files: Iterable[File], table: Table, columns: Collection[str], *, is_new: bool
    ) -> str | None:
        """Sentences for the user about a loaded step."""
        name, union = table.name, self.tables.domain_table(ALL_EVENTS)
        notices = []
        if "user_id" in columns and not fits(self._warehouse, view_name(self._source, step.table)):
            notices.append(no_view(self._warehouse, f"The table `{name}` has no view with resolved users"))
        if is_new and not fits(self._warehouse, union):
            notices.append(no_view(self._warehouse, f"There is no view `{union}`"))
        if not_loaded := reserved(step, [file.schema for file in files]):
            notices.append(self._not_loaded(name, not_loaded))
        if lacking := self.histories.notice(step.table, table):
            notices.append(lacking)
        return " ".join(notices) or None

    def _without_left_out(self, step: Step, files: Sequence[File]) -> tuple[Step, Sequence[File]]:
        """A step without the columns that are left out, as if Heap had not written them.

        Raises:
            SchemaError: a rule is for a column that the table does not have, or one that must stay hashed has no rule.
        """
        table, stored = step.table, self.tables.columns[step.table]
        known = {*stored, *(step.columns or ()), *(self._columns.get(table) or ()), *self._of_versions(table)}
        known |= {column for file in files for column in file.schema.names}
        self._private.expect_columns(table, known)
        if table not in self.tables.dropped:
            self._hashed.expect_rules(table, stored)
        self._hashed.expect_rules(versions_of(table), self._of_versions(table), of=table)
        if not (gone := self._private.left_out(table, known)):
            return step, files
        columns = step.columns and tuple(column for column in step.columns if column not in gone)
        kept = [
            file._replace(schema=pa.schema([field for field in file.schema if field.name not in gone]))
            for file in files
        ]
        return replace(step, columns=columns), kept

    def _expect_no_other_run(self, table: str) -> None:
        """Refuses to load if the bookmarks that the plan is based on have changed."""
        self._bookmarks.lock()
        version = self._bookmarks.version(table)
        if version == self._versions.get(table):
            return
        name = self.tables.domain_table(table)
        if version and version.courier != self._courier:
            raise SchemaError(
                f"The table `{name}` is loaded by the courier `{version.courier}`: give the entity "
                "another `heap-connect/source`, or exclude the table."
            )
        raise OvertakenError(f"Another run loaded dumps of the table `{name}` in the meantime: run the courier again.")

    def _table(self, step: Step, files: Sequence[File], as_text: set[str]) -> Table:
        name = self.tables.domain_table(step.table)
        stored = {column: self.tables.field_type(kind) for column, kind in self.tables.columns[step.table].items()}
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

    def _not_loaded(self, name: str, columns: Iterable[str]) -> str:
        return (
            f"Columns of the dump were not loaded into the table `{name}`, because the courier uses their names for "
            f"columns of its own: {listed(columns)}. To load them, rename them in Heap."
        )
