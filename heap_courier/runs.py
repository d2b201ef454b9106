"""One run of a courier: from its bucket to the domain tables, and into the ledger."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from filelock import FileLock, Timeout

from heap_courier.activation import is_active
from heap_courier.bucket import Bucket
from heap_courier.days import Days
from heap_courier.display import Bar
from heap_courier.engines import open_warehouse
from heap_courier.entities import Entity, HeapConnectEntity, read_entities
from heap_courier.errors import CourierError, FeedError, LaterError, MissingFeedsError, SetupError
from heap_courier.feed_files import read_feeds
from heap_courier.feeds import Feed
from heap_courier.filesets import FetchedFile, fetch, find
from heap_courier.heap_connect import newest_files, pull
from heap_courier.ingest import ingest
from heap_courier.ledger import COMPLETED, FAILED, INTERRUPTED, Ledger, Run, TableRun
from heap_courier.operations import Operations, read_operations
from heap_courier.project import Courier, Project
from heap_courier.warehouse import Warehouse

WORKERS: Final = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Context:
    """What runs work with.

    Attributes:
        project: the project.
        environment: where credentials and the warehouse's address are found.
        now: the time, with UTC for its zone.
        bar: where a run tells how far it is.
    """

    project: Project
    environment: Mapping[str, str]
    now: Callable[[], datetime]
    bar: Bar

    def warehouse(self, *, read_only: bool = False) -> AbstractContextManager[Warehouse]:
        """The project's warehouse, for a block: a DuckDB file is not to be held for longer than need be."""
        return open_warehouse(self.project.warehouse, self.environment, read_only=read_only)

    def samples(self, courier: Courier) -> Path:
        """Where files are kept that no feed has taken yet."""
        return self.project.folder / "samples" / courier.name

    def work(self, courier: Courier) -> Path:
        """Where files lie between the bucket and the tables."""
        return self.project.folder / ".heap-courier" / courier.name


class Report(NamedTuple):
    """How a run ended. `tables` holds those that did not land too; `samples` the files that were kept, not loaded."""

    run: Run
    samples: tuple[FetchedFile, ...]
    tables: tuple[TableRun, ...]
    seconds: float

    @property
    def failed(self) -> tuple[TableRun, ...]:
        """Tables of which nothing landed."""
        return tuple(table for table in self.tables if table.message)


class Assignment(NamedTuple):
    """What a courier is to do, as its two lists and the feeds have it."""

    entities: tuple[Entity, ...]
    operations: tuple[Operations, ...]
    feeds: Mapping[str, Feed]  # by id

    @property
    def heap_connect(self) -> HeapConnectEntity | None:
        """Set where the manifests of Heap Connect are followed."""
        first = self.entities[0]
        return first if isinstance(first, HeapConnectEntity) else None


def check_courier(context: Context, courier: Courier) -> str:
    """Looks whether a courier could run; a sentence on what it found.

    Raises:
        CourierError: it could not.
    """
    assignment = read_assignment(context.project, courier)
    bucket = Bucket(courier, context.environment)
    bucket.check()
    _know_feeds(assignment)
    with context.warehouse() as warehouse:
        _active_feeds(Ledger(warehouse), assignment)
    ...


def sample_courier(context: Context, courier: Courier, days: Days) -> tuple[FetchedFile, ...]:
    """Fetches the files of a courier and keeps them as samples, newest first.

    Raises:
        CourierError: they cannot be fetched.
    """
    assignment = read_assignment(context.project, courier)
    with _alone(context, courier):
        return _samples(context, courier, assignment, days)


def run_courier(context: Context, courier: Courier, days: Days | None, *, skip_missing: bool = False) -> Report:
    """Runs a courier.

    Args:
        context: what the run works with.
        courier: one of the project's.
        days: of the files; None: all that there are. Manifests know no days.
        skip_missing: whether required files may be missing.

    Raises:
        MissingFilesError: required files are not there; nothing was fetched or noted.
        MissingFeedsError: operations name unknown feeds; the files were fetched and are kept as samples.
        CourierError: the run failed. A table that does not land is no such error: it is in the report.
    """
    assignment = read_assignment(context.project, courier)
    with _alone(context, courier):
        if assignment.heap_connect:
            with _noted(context, courier, "what is new") as run:
                tables = pull()
                return Report(run, (), tables, _seconds(context, run))
        with context.warehouse() as warehouse:
            _active_feeds(Ledger(warehouse), assignment)
        bucket = Bucket(courier, context.environment)
        found = find(bucket, assignment.entities, days)
        if not skip_missing:
            found.require()
        with _noted(context, courier, _what(days)) as run:
            if not assignment.operations:
                return Report(run, _samples(context, courier, assignment, days), (), _seconds(context, run))
            ...


def read_assignment(project: Project, courier: Courier) -> Assignment:
    """Reads what a courier is to do.

    Raises:
        SetupError: one of the files is not as it has to be.
    """
    entities = read_entities(courier.entities)
    feeds = {feed.id: feed for feed in read_feeds(project.feeds)}
    operations: tuple[Operations, ...] = ()
    if isinstance(entities[0], HeapConnectEntity):
        if courier.operations:
            raise SetupError(
                f"The courier `{courier.name}` follows Heap Connect, whose manifests say how tables land: remove its "
                "`load-operations` from heap-courier.yaml."
            )
    elif courier.operations:
        operations = read_operations(courier.operations, tags_of(entities))
    return Assignment(entities, operations, feeds)


@contextmanager
def _alone(context: Context, courier: Courier) -> Iterator[None]:
    """One run of a courier at a time; the lock goes with the process, however that ends."""
    folder = context.work(courier)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise LaterError(f"Another run of the courier `{courier.name}` is going on: try again when it is done.") from None


@contextmanager
def _noted(context: Context, courier: Courier, what: str) -> Iterator[Run]:
    """Notes in the ledger that a run begins, and how it ends."""
    started = context.now().replace(tzinfo=None)
    run = Run(f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}", courier.name, what, started)
    with context.warehouse() as warehouse:
        ledger = Ledger(warehouse)
        ledger.make()
        ledger.begin(run)
    outcome, message = INTERRUPTED, None
    try:
        yield run
        outcome = COMPLETED
    except CourierError as error:
        outcome, message = FAILED, str(error)
        raise
    except Exception:
        outcome, message = FAILED, "A fault of heap-courier itself."
        raise
    finally:
        with suppress(CourierError), context.warehouse() as warehouse:
            Ledger(warehouse).end(run, context.now().replace(tzinfo=None), outcome, message)
