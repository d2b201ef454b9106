"""One step of Heap Connect into its domain table: rows, columns, bookmarks and views in one transaction.

So a run that is killed at any moment is made good by the next: what has landed is known, what has not left no trace.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.data_types.casts import reason
from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.errors import LaterError, RejectedRow, SchemaError
from heap_courier.formats import readers
from heap_courier.formats.chunk import Chunk
from heap_courier.formats.file_format import AVRO, FileFormat
from heap_courier.heap_connect.bookmarks import Bookmarks
from heap_courier.heap_connect.identity_views import MIGRATIONS, domain_table, drop_views, make_views, view_name
from heap_courier.heap_connect.manifests import Bookmark, Step
from heap_courier.heap_connect.table_schema import DUMP, Shaped, shaped, table_of
from heap_courier.parallel import ordered_map
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.run_log import MOST_REJECTED, Rejected, TableRun
from heap_courier.warehouse.upsert import Landed, Table, land

FORMAT: Final = FileFormat(AVRO)

_DECIMAL: Final = re.compile(r"\w+\((\d+), ?(\d+)\)")
_PLAIN: Final = (BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING)


@dataclass(frozen=True, slots=True)
class StepRun:
    """What became of a step, or of a manifest that cannot be read.

    Attributes:
        dump_id: None where a manifest cannot be read.
        run: of the domain table, or of none (an empty name) with a manifest; a message says why nothing landed.
        unreadable: how many values of which column could not be read: they are null in the table.
        examples: the first of them; row and column, never the value.
        notice: what a person should know of a step that landed, in a sentence, or None.
    """

    dump_id: int | None
    run: TableRun
    unreadable: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Rejected, ...] = ()
    notice: str | None = None


class File(NamedTuple):
    """A file of a step, fetched; `key` is what errors call it."""

    key: str
    path: Path
    schema: pa.Schema


class Landing:
    """The domain tables of a source, such as `Heap` in `Heap:users`, as they are filled."""

    def __init__(
        self,
        warehouse: Warehouse,
        courier: str,
        source: str,
        *,
        workers: int,
        advance: Callable[[int], None],
        note: Callable[[StepRun], None],
    ) -> None:
        """Does nothing yet.

        Args:
            warehouse: an open connection, used in the thread of the caller alone.
            courier: the name of the one that fills the tables; no other one may.
            source: of the domain tables' names.
            workers: threads that decode.
            advance: told how many more rows have been read.
            note: called with each step that lands, inside its transaction.
        """
        self._warehouse = warehouse
        self._source = source
        self._workers = workers
        self._advance = advance
        self._note = note
        self._bookmarks = Bookmarks(warehouse, courier, source)
        self._stored: dict[str, Mapping[str, str]] = {}  # columns with SQL types, by Heap's names of the tables
        self._others: dict[str, str] = {}
        self._landed: set[Bookmark] = set()

    def begin(self, tables: Iterable[str]) -> set[Bookmark]:
        """Looks at what there is of these tables and others; what has landed of them.

        Of a table that someone has dropped nothing has: it begins anew.
        """
        self._bookmarks.make()
        with self._warehouse.transaction():
            landed = self._bookmarks.read()
            others = self._bookmarks.others()
            known = {mark.table for mark in landed} | others.keys()
            for table in {MIGRATIONS, *tables, *known}:
                self._stored[table] = self._warehouse.columns(self.domain_table(table))
            dropped = {table for table in known if not self._stored[table]}
            for table in dropped:
                self._bookmarks.forget(table)
        self._landed = {mark for mark in landed if mark.table not in dropped}
        self._others = {table: courier for table, courier in others.items() if table not in dropped}
        return set(self._landed)

    def domain_table(self, table: str) -> str:
        """Where a table of Heap's lands."""
        return domain_table(self._source, table)

    def land(self, step: Step, files: Sequence[File]) -> StepRun:
        """Lands a step, whole or not at all.

        Raises:
            FeedError: it cannot land.
            SetupError, LaterError: of the warehouse.
        """
        name = self.domain_table(step.table)
        stored = self._stored[step.table]
        self._refuse_foreign(step.table)
        table = self._table(step, files)
        wanted = {column.name: self._warehouse.sql_type(column.type) for column in table.columns}
        self._refuse_long([name, *wanted])
        changes = wanted != stored
        views = self._views(self._stored if changes and step.table == MIGRATIONS else [step.table])
        reading = _Reading(table, step.dump_id, self._workers, self._advance)
        runs: list[StepRun] = []

        def before() -> None:
            self._expect_no_other_run(step.table)
            if changes:
                drop_views(self._warehouse, self._source, views)
            if stored and step.outdates:
                self._warehouse.execute(f"DELETE FROM {quoted(name)} WHERE {quoted(DUMP)} < {step.dump_id:d}")
            if step.replaces and any(stored.get(column, kind) != kind for column, kind in wanted.items()):
                self._warehouse.execute(f"DROP TABLE {quoted(name)}")  # rows that go need not fit into the new types

        def settle(landed: Landed) -> None:
            make_views(self._warehouse, self._source, {**self._stored, step.table: wanted}, views)
            self._bookmarks.add(step.bookmarks)
            run = TableRun(name, len(files), landed.staged, merged=landed.merged, stored=landed.stored)
            notice = None if views or "user_id" not in wanted else self._no_view(name)
            runs.append(StepRun(step.dump_id, run, dict(reading.unreadable), tuple(reading.examples), notice))
            self._note(runs[0])

        land(self._warehouse, table, reading.batches(files), replace=step.replaces, before=before, settle=settle)
        self._stored[step.table] = wanted
        self._landed.update(step.bookmarks)
        return runs[0]

    def _expect_no_other_run(self, table: str) -> None:
        """What is planned holds only as long as the bookmarks are those that it was planned by."""
        self._bookmarks.lock()
        of_table = {mark for mark in self._landed if mark.table == table}
        if {mark for mark in self._bookmarks.read() if mark.table == table} != of_table:
            raise LaterError(
                f"Another run has landed dumps of the table `{self.domain_table(table)}` meanwhile: run the courier "
                "again."
            )
        if other := self._bookmarks.others().get(table):
            raise SchemaError(
                f"The table `{self.domain_table(table)}` is filled by the courier `{other}`: give the entity another "
                "`heap-connect/source`, or exclude the table."
            )

    def _table(self, step: Step, files: Sequence[File]) -> Table:
        name = self.domain_table(step.table)
        stored = {column: self._field_type(kind) for column, kind in self._stored[step.table].items()}
        has_rows = bool(stored and self._warehouse.query(f"SELECT 1 FROM {quoted(name)} LIMIT 1"))
        return table_of(step, name, stored, [file.schema for file in files], fresh=step.replaces or not has_rows)

    def _field_type(self, sql_type: str) -> FieldType:
        if decimal := _DECIMAL.fullmatch(sql_type):
            return FieldType(Kind.DECIMAL, int(decimal[1]), int(decimal[2]))
        return next((kind for kind in _PLAIN if self._warehouse.sql_type(kind) == sql_type), STRING)

    def _refuse_foreign(self, table: str) -> None:
        name = self.domain_table(table)
        stored = self._stored[table]
        for other, columns in self._stored.items():
            if columns and other != table and other.lower() == table.lower():
                raise SchemaError(
                    f"The tables `{table}` and `{other}` differ in case alone: rename one in Heap, or exclude it."
                )
        owner = f"is filled by the courier `{self._others[table]}`" if table in self._others else None
        if stored and DUMP not in stored:
            owner = "was not made from dumps of Heap Connect"
        if owner:
            raise SchemaError(f"The table `{name}` {owner}: give the entity another `heap-connect/source`, or drop it.")

    def _refuse_long(self, names: Iterable[str]) -> None:
        for name in names:
            if not self._fits(name):
                raise SchemaError(
                    f"The name `{name}` is longer than the {self._warehouse.longest_name} bytes that the warehouse "
                    "takes: rename it in Heap, shorten `heap-connect/source`, or exclude the table."
                )

    def _fits(self, name: str) -> bool:
        return self._warehouse.longest_name is None or len(name.encode()) <= self._warehouse.longest_name

    def _views(self, tables: Iterable[str]) -> list[str]:
        """Those of the tables whose views can have their names."""
        return [table for table in tables if self._fits(view_name(self._source, table))]

    def _no_view(self, name: str) -> str:
        return (
            f"The table `{name}` has no view with resolved users: the view's name would be longer than the "
            f"{self._warehouse.longest_name} bytes that the warehouse takes."
        )


class _Decoded(NamedTuple):
    key: str
    first_row: int
    shaped: Shaped


class _Reading:
    """Files on their way to rows of a table, and what could not be read of them."""

    def __init__(self, table: Table, dump_id: int, workers: int, advance: Callable[[int], None]) -> None:
        self._table = table
        self._dump_id = dump_id
        self._workers = workers
        self._advance = advance
        self._kinds = {column.name: column.type for column in table.columns}
        self.unreadable: Counter[str] = Counter()
        self.examples: list[Rejected] = []

    def batches(self, files: Iterable[File]) -> Iterator[pa.RecordBatch]:
        chunks = ((file.key, chunk) for file in files for chunk in readers.chunks(file.path, FORMAT, file.key))
        for decoded in ordered_map(self._decoded, chunks, workers=self._workers):
            for column, wrong in decoded.shaped.unreadable.items():
                self._count(decoded, column, wrong)
            self._advance(decoded.shaped.batch.num_rows)
            yield decoded.shaped.batch

    def _decoded(self, part: tuple[str, Chunk]) -> _Decoded:
        key, chunk = part
        return _Decoded(key, chunk.first_row, shaped(chunk.decode().batch, self._table, self._dump_id))

    def _count(self, decoded: _Decoded, column: str, wrong: pa.BooleanArray) -> None:
        rows = pc.indices_nonzero(wrong).to_pylist()
        if not rows:
            return
        self.unreadable[column] += len(rows)
        why = f"{reason(self._kinds[column])}; it is null in the table"
        for row in rows[: MOST_REJECTED - len(self.examples)]:
            self.examples.append(Rejected(decoded.key, RejectedRow(decoded.first_row + row, column, why)))
