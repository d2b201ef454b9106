"""Loads the files of one feed into its domain table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.data_types.field_types import DATETIME, STRING, in_utc
from heap_courier.errors import RejectedRow, TooManyRejectsError, failure_of_file
from heap_courier.feeds.column_mapping import ColumnMapping, map_columns
from heap_courier.feeds.model import PRIMARY_KEY, UPDATED, Feed
from heap_courier.files.fileset import FetchedFile
from heap_courier.formats.readers import Chunk, chunks, schema
from heap_courier.parallel import ordered_map
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import MOST_REJECTED, Rejected, TableRun
from heap_courier.warehouse.upsert import LoadResult, Table, TableColumn, load


class Part(NamedTuple):
    """A chunk of a file, cast to the fields of the feed."""

    file: str
    batch: pa.RecordBatch
    rejected: tuple[RejectedRow, ...]


class FeedResult(NamedTuple):
    """The result of a feed: its table, its first rejected rows, ignored columns without a field, and its files."""

    table: TableRun
    rejected: tuple[Rejected, ...]
    ignored: tuple[str, ...]
    files: tuple[str, ...] = ()

    def notices(self, run_id: str) -> Iterator[str]:
        """Sentences for the user; `run_id` is the run in the run log that has the rejected rows."""
        name = self.table.domain_table
        if self.table.rejected:
            rows = "row was" if self.table.rejected == 1 else "rows were"
            yield f"{name}: {self.table.rejected:,} {rows} rejected; `heap-courier runs {run_id}` lists them."
        if self.ignored:
            columns = ", ".join(f"`{column}`" for column in self.ignored)
            yield f"{name}: ignored columns, for which the feed has no field: {columns}."


def target_table(feed: Feed) -> Table:
    """The table of a feed: its fields, `_pk` for a composite key, `_updated` if last-updated is generated."""
    columns = [TableColumn(field.name, field.type) for field in feed.fields]
    if len(feed.primary_key) > 1:
        columns.append(TableColumn(PRIMARY_KEY, STRING))
    if feed.last_updated is None:
        columns.append(TableColumn(UPDATED, DATETIME))
        return Table(feed.domain_table, tuple(columns), feed.primary_key, generated=(UPDATED,))
    return Table(feed.domain_table, tuple(columns), feed.primary_key, newest=(feed.last_updated,))


def ingest(
    warehouse: Warehouse,
    feed: Feed,
    files: Iterable[FetchedFile],
    *,
    truncate: bool,
    now: datetime,
    workers: int,
    advance: Callable[[int], None],
    after: Callable[[FeedResult], None],
    before: Callable[[], None] = lambda: None,
) -> FeedResult:
    """Loads the rows of files into the domain table of a feed, all or none.

    Args:
        warehouse: an open connection without a transaction.
        feed: an active feed.
        files: sorted by day, then by key: of equally new rows, the last one wins.
        truncate: whether to empty the table first.
        now: the value of `_updated`, if the feed generates it.
        workers: the number of chunks to decode in parallel.
        advance: called with the number of rows read.
        after: called with the result inside the transaction.
        before: called inside the transaction before anything is changed.

    Raises:
        FeedError: a file is not valid, or too many rows are rejected. Nothing is loaded then.
    """
    files = tuple(files)
    tally = _Tally(feed)
    ignored: dict[str, None] = {}
    parts = ordered_map(lambda task: _conformed(*task), _tasks(feed, files, ignored), workers=workers)
    batches = (_generated(feed, part.batch, now) for part in tally.checked(parts, advance))
    outcome: list[FeedResult] = []

    def note(loaded: LoadResult) -> None:
        table = TableRun(feed.domain_table, len(files), tally.rows, tally.rejected, loaded.merged, loaded.stored)
        outcome.append(FeedResult(table, tuple(tally.named), tuple(ignored), tuple(file.key for file in files)))
        after(outcome[0])

    load(warehouse, target_table(feed), batches, replace=truncate, before=before, after=note)
    return outcome[0]


class _Tally:
    """Counts rows, and raises after the last one if too many were rejected."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.rows = 0
        self.rejected = 0
        self.named: list[Rejected] = []

    def checked(self, parts: Iterable[Part], advance: Callable[[int], None]) -> Iterator[Part]:
        for part in parts:
            rows = part.batch.num_rows + len(part.rejected)
            self.rows += rows
            self.rejected += len(part.rejected)
            self.named += [Rejected(part.file, row) for row in part.rejected[: MOST_REJECTED - len(self.named)]]
            advance(rows)
            yield part
        if self.rejected * 100 > self.rows * self._feed.error_threshold:
            first = self.named[0]
            column = f"column `{first.row.column}` " if first.row.column else ""
            raise TooManyRejectsError(
                f"{self._feed.domain_table}: {self.rejected:,} of {self.rows:,} rows were rejected, more than "
                f"the error threshold of {self._feed.error_threshold}% allows, so nothing was loaded. The first is row "
                f"{first.row.row:,} of `{first.file}`: {column}{first.row.reason}. Fix the feed or the file, or raise "
                "the threshold.",
                rows=self.rows,
                rejected=self.rejected,
                named=self.named,
            )


def _tasks(feed: Feed, files: Iterable[FetchedFile], ignored: dict[str, None]) -> Iterator[tuple[ColumnMapping, Chunk]]:
    for file in files:
        incoming = schema(file.path, file.format, file.key, file.most)
        with failure_of_file(file.key):
            mapping = map_columns(incoming, feed.fields, key=feed.primary_key, name=file.key)
        ignored.update(dict.fromkeys(mapping.ignored))
        for chunk in chunks(file.path, file.format, file.key, file.most):
            yield mapping, chunk


def _conformed(mapping: ColumnMapping, chunk: Chunk) -> Part:
    decoded = chunk.decode()
    with failure_of_file(mapping.name):
        conformed = mapping.conform(decoded.batch, chunk.first_row, decoded.rejected)
    return Part(mapping.name, conformed.batch, conformed.rejected)


def _generated(feed: Feed, batch: pa.RecordBatch, now: datetime) -> pa.RecordBatch:
    if len(feed.primary_key) > 1:
        keys = [pc.cast(batch.column(name), pa.string()) for name in feed.primary_key]
        batch = batch.append_column(PRIMARY_KEY, pc.binary_join_element_wise(*keys, "|"))
    if feed.last_updated is None:
        updated = pa.repeat(pa.scalar(in_utc(now), pa.timestamp("us")), batch.num_rows)
        batch = batch.append_column(UPDATED, updated)
    return batch
