"""Publishes domain tables: writes what has changed since the last published version, as one new version per table.

A published table is opened before the warehouse is read, and a version is written only if no one else has written one
since then. So an older state never replaces a newer one, and rows are never added twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

import pyarrow as pa
from filelock import FileLock, Timeout

from heap_courier.couriers.context import Context
from heap_courier.delta.columns import PublishedColumn, converted, published_columns, schema_of
from heap_courier.delta.names import folder_name
from heap_courier.delta.place import Place
from heap_courier.delta.published import ConflictError, PublishedTable, Record
from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import CourierError, InterruptedRunError, LaterError, SetupError
from heap_courier.original_errors import original_errors
from heap_courier.parallel import result_of
from heap_courier.project.model import DeltaSettings
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted

How = Literal["unchanged", "created", "added rows", "rewritten", "failed"]

_ATTEMPTS: Final = 3  # if others write the same tables
_PATIENCE: Final = 600.0  # seconds to wait for another publication of this project
_CONTENDED: Final = "Other writers keep changing this published table: let only one project publish there."


class Published(NamedTuple):
    """The outcome for a domain table.

    Attributes:
        table: its name.
        how: what was done.
        rows: the number of rows written.
        version: the version that readers see now; None: there is none.
        address: the address of the published table.
        message: why it failed, or what failed after it was published; empty if nothing did.
    """

    table: str
    how: How
    rows: int
    version: int | None
    address: str
    message: str = ""


def publish(context: Context) -> tuple[Published, ...]:
    """Publishes all domain tables that have changed, independently of each other: one that fails stops no other.

    Returns:
        The outcome for each domain table.

    Raises:
        SetupError: the project is not set up to publish, or the place cannot be used.
        LaterError: the warehouse or the place is unavailable, or another publication takes too long.
    """
    settings = context.project.delta
    if settings is None:
        raise SetupError(
            "The project has no place to publish to: add `delta` with a `bucket` or a `folder` to heap-courier.yaml."
        )
    with _locked(context):
        place = Place(settings, context.environment)
        with context.warehouse() as warehouse:
            results = _Publication(context, settings, place, warehouse).run()
        return tuple(_tidied(*result, settings) for result in results)


@contextmanager
def _locked(context: Context) -> Iterator[None]:
    folder = context.project.folder / ".heap-courier"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "_delta.lock", timeout=_PATIENCE)  # no courier's name starts with `_`
    try:
        lock.acquire()
    except Timeout:
        raise LaterError(
            "Another publication of this project is in progress: try again when it has finished."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _tidied(result: Published, opened: PublishedTable | None, settings: DeltaSettings) -> Published:
    if opened is None or result.how in ("created", "failed"):
        return result
    try:
        opened.remove_old_files(settings.keep)
    except CourierError as error:
        return result._replace(message=f"Old files were not removed: {error}")
    return result


def _continue_unless(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise InterruptedRunError("The publication was stopped.")


class _Publication:
    """One publication."""

    def __init__(self, context: Context, settings: DeltaSettings, place: Place, warehouse: Warehouse) -> None:
        self._context = context
        self._settings = settings
        self._place = place
        self._warehouse = warehouse

    def run(self) -> list[tuple[Published, PublishedTable | None]]:
        """Publishes all tables. Retries a table that someone else was writing, with the then current rows."""
        names: Sequence[str] = self._names()
        results: dict[str, tuple[Published, PublishedTable | None]] = {}
        for _ in range(_ATTEMPTS):
            opened = {name: self._opened(name) for name in names}
            conflicts = []
            with self._warehouse.snapshot():
                for name in names:
                    result = self._one(name, opened[name])
                    if result is None:
                        conflicts.append(name)
                    results[name] = result or (Published(name, "failed", 0, None, "", _CONTENDED), None)
            names = conflicts
        return list(results.values())

    def _names(self) -> list[str]:
        tables, views = domain_tables(self._warehouse, views=False), domain_tables(self._warehouse)
        for view in self._settings.views:
            if view not in views:
                raise SetupError(
                    f"`heap-courier.yaml`: delta.views: there is no view `{view}`{did_you_mean(view, views)}."
                )
        return list(dict.fromkeys([*tables, *self._settings.views]))

    def _opened(self, name: str) -> PublishedTable | CourierError:
        try:
            return PublishedTable(self._place, name, folder_name(name))
        except CourierError as error:
            return error

    def _one(self, name: str, opened: PublishedTable | CourierError) -> tuple[Published, PublishedTable | None] | None:
        """Publishes a table. Returns None if someone else was writing it."""
        if isinstance(opened, CourierError):
            return Published(name, "failed", 0, None, "", str(opened)), None
        try:
            return self._published(name, opened), opened
        except ConflictError:
            return None
        except CourierError as error:
            return Published(name, "failed", 0, opened.version, opened.address, str(error)), None

    def _published(self, name: str, opened: PublishedTable) -> Published:
        known, record = opened.record, self._record(name)
        if known and (known.columns, known.fingerprint) == (record.columns, record.fingerprint):
            return Published(name, "unchanged", 0, opened.version, opened.address)
        how: How = "created" if opened.version is None else "rewritten"
        where = ""
        if known and known.columns == record.columns and known.next_row is not None and record.next_row is not None:
            number = quoted(self._warehouse.row_number or "")
            if self._fingerprint(name, record, f"WHERE {number} < {known.next_row:d}") == known.fingerprint:
                how, where = "added rows", f"WHERE {number} >= {known.next_row:d}"
        columns = published_columns(record.columns)
        count = self._write(name, opened, record, columns, where, append=bool(where))
        return Published(name, how, count, opened.version, opened.address)

    def _record(self, name: str) -> Record:
        columns = dict(self._warehouse.columns(name))
        record = Record(name, columns, "", None)
        next_row = None
        number = self._warehouse.row_number
        if number and number not in map(str.lower, columns) and name not in self._settings.views:
            next_row = int(
                self._warehouse.query(f"SELECT coalesce(max({quoted(number)}) + 1, 0) FROM {quoted(name)}")[0][0]
            )
        return Record(name, columns, self._fingerprint(name, record), next_row)

    def _fingerprint(self, name: str, record: Record, where: str = "") -> str:
        aggregate = self._warehouse.fingerprint(list(record.columns))
        return str(self._warehouse.query(f"SELECT {aggregate} FROM {quoted(name)} {where}")[0][0])

    def _write(
        self,
        name: str,
        opened: PublishedTable,
        record: Record,
        columns: list[PublishedColumn],
        where: str,
        *,
        append: bool,
    ) -> int:
        """Writes in another thread, so that this one receives signals. Returns the number of rows written."""
        schema, count, stopped = schema_of(columns), 0, threading.Event()
        selected = ", ".join(f"{column.select} AS {quoted(column.name)}" for column in columns)
        self._context.bar.stage(f"Publishing {name}")

        def rows() -> Iterator[pa.RecordBatch]:
            nonlocal count
            for batch in self._warehouse.batches(f"SELECT {selected} FROM {quoted(name)} {where}"):
                _continue_unless(stopped)
                yield converted(batch, columns, schema)
                count += batch.num_rows
                self._context.bar.advance(batch.num_rows)

        with original_errors(rows()) as stream, ThreadPoolExecutor(1, thread_name_prefix="delta") as thread:
            writing = thread.submit(opened.write, "append" if append else "overwrite", record, schema, stream)
            try:
                result_of(writing)
            except BaseException:
                stopped.set()
                raise
        return count
