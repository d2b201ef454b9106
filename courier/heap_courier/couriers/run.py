"""One run of a courier: from its bucket to the domain tables, and into the run_log."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import date
from typing import Final, NamedTuple

from filelock import FileLock, Timeout

from heap_courier.couriers.context import Context
from heap_courier.couriers.run_notices import Watch, began, ended, loaded, refused
from heap_courier.couriers.work_plan import WorkPlan, read_work_plan
from heap_courier.data_types.field_types import in_utc
from heap_courier.errors import (
    ChangedFeedError,
    CourierError,
    FeedError,
    InterruptedRunError,
    LaterError,
    MissingFilesError,
    TooManyRejectsError,
    failure_of_feed,
    internal_error,
)
from heap_courier.feeds.active import ActiveFeeds
from heap_courier.feeds.ingest import FeedResult, ingest
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.feeds.samples import folder_of, keep_sample
from heap_courier.files.bucket import Bucket
from heap_courier.files.days import Days
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.files.fileset import (
    UNPACKED,
    FetchedFile,
    Found,
    Missing,
    MissingMember,
    fetch,
    find,
    listed,
    missing_error,
    missing_member_error,
)
from heap_courier.files.room import Room
from heap_courier.heap_connect.loader import StepResult
from heap_courier.heap_connect.pull import manifest_keys, newest_files, pull
from heap_courier.parallel import WORKERS
from heap_courier.project.model import Courier
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import COMPLETED, FAILED, INTERRUPTED, Rejected, Run, RunLog, TableRun

_ALL: Final = "all days"


class RunResult(NamedTuple):
    """How a run finished.

    Attributes:
        run: its entry in the run log.
        samples: the files that were kept, not loaded.
        tables: the result of each domain table, including failed ones.
        notices: sentences for the user.
        seconds: how long it took.
        missing_days: the days that lacked files.
    """

    run: Run
    samples: tuple[FetchedFile, ...]
    tables: tuple[TableRun, ...]
    notices: tuple[str, ...]
    seconds: float
    missing_days: frozenset[date] = frozenset()

    @property
    def failed(self) -> tuple[TableRun, ...]:
        """Tables of which nothing was loaded."""
        return tuple(table for table in self.tables if table.message)


def sample_courier(context: Context, courier: Courier, days: Days) -> tuple[FetchedFile, ...]:
    """Fetches the files of a courier for these days and keeps them as samples, newest first.

    With Heap Connect it is the newest file of each table.

    Raises:
        CourierError: they cannot be fetched.
    """
    work_plan = read_work_plan(context.project, courier)
    bucket = Bucket(courier, context.environment)
    with locked(context, courier):
        if work_plan.heap_connect:
            return _kept(context, bucket, newest_files(bucket, work_plan.heap_connect))
        found = find(bucket, work_plan.entities, days)
        if not found.hits:
            raise missing_error(bucket, found.missing)
        return _kept(context, bucket, found)


def run_courier(
    context: Context,
    courier: Courier,
    days: Days | None,
    *,
    required: Days | None = None,
    skip_missing: bool = False,
    tables: Collection[str] | None = None,
) -> RunResult:
    """Runs a courier.

    Args:
        context: what the run works with.
        courier: one of the project's.
        days: of the files; None: all that there are. Manifests know no days.
        required: those of the days whose files must be there; None: all of them.
        skip_missing: whether files of these may be missing too.
        tables: the domain tables to load, such as those that did not land before; None: all of them. With manifests it
            is always all: what has landed does not land again.

    Raises:
        MissingFilesError: required files are not there, or an archive lacks a member; nothing was loaded or recorded.
        MissingFeedsError: operations name unknown feeds; the files were fetched and are kept as samples.
        CourierError: the run failed. A table that is not loaded does not raise: it is in the result.
    """
    watch = Watch(context.report)
    try:
        return _run(replace(context, report=watch), courier, days, required, tables, skip_missing=skip_missing)
    except CourierError as error:
        if not watch.has_ended:
            context.report(refused(courier.name, error))
        raise


def _run(
    context: Context,
    courier: Courier,
    days: Days | None,
    required: Days | None,
    tables: Collection[str] | None,
    *,
    skip_missing: bool,
) -> RunResult:
    work_plan = read_work_plan(context.project, courier).limited_to(tables)
    bucket = Bucket(courier, context.environment)
    with locked(context, courier):
        if work_plan.heap_connect:
            manifest_keys(bucket)
            with _logged(context, courier, "what is new") as progress:
                _pull(context, bucket, work_plan.heap_connect, progress)
            return progress.result()
        found = find(bucket, work_plan.entities, days)
        absent = [missing for missing in found.missing if _is_required(missing, required)]
        if absent and not skip_missing:
            raise missing_error(bucket, absent)
        with _logged(context, courier, in_words(days)) as progress:
            if found.missing:
                progress.missing_days.update(missing.day for missing in found.missing if missing.day)
                progress.notices.append(f"Missing files were skipped: none matches {listed(found.missing)}.")
            if not work_plan.operations or work_plan.unknown_feeds:
                progress.samples = _kept(context, bucket, found)
                folder = os.path.relpath(folder_of(context.project, courier))
                work_plan.expect_known_feeds(f"The files are kept, {len(progress.samples):,} of them, in `{folder}`.")
            else:
                _ingest(context, bucket, work_plan, found, progress, required=required, skip_missing=skip_missing)
        return progress.result()


def _is_required(missing: Missing, required: Days | None) -> bool:
    """Whether a missing file is that of a required day: one without a date is that of each."""
    return required is None or any(missing.pattern.first_day(day) == missing.day for day in required)


class _RunInProgress:
    """A run in progress, and its result so far."""

    def __init__(self, context: Context, run: Run) -> None:
        self._context = context
        self.run = run
        self.samples: tuple[FetchedFile, ...] = ()
        self.tables: list[TableRun] = []
        self.notices: list[str] = []
        self.missing_days: set[date] = set()
        self.files_with_rejected_rows: list[str] = []

    def result(self) -> RunResult:
        """The end."""
        seconds = (in_utc(self._context.now()) - self.run.started).total_seconds()
        return RunResult(
            self.run,
            self.samples,
            _by_table(self.tables),
            tuple(self.notices),
            seconds,
            frozenset(self.missing_days),
        )


def _pull(context: Context, bucket: Bucket, entity: HeapConnectEntity, progress: _RunInProgress) -> None:
    with context.warehouse() as warehouse:
        run_log = RunLog(warehouse)
        steps = pull(
            warehouse,
            bucket,
            entity,
            context.work(bucket.courier) / "files",
            workers=WORKERS,
            environment=context.environment,
            room=Room(context.project.limits),
            begin=context.bar.stage,
            advance=context.bar.advance,
            note=lambda step: run_log.record_table(progress.run, step.run, step.examples, step.files),
        )
        for step in steps:
            progress.tables.append(step.run)
            progress.files_with_rejected_rows += [each.file for each in step.examples]
            progress.notices += _notices(step, progress.run.id)


def _ingest(
    context: Context,
    bucket: Bucket,
    work_plan: WorkPlan,
    found: Found,
    progress: _RunInProgress,
    *,
    required: Days | None,
    skip_missing: bool,
) -> None:
    """Fetches all files, then loads feed after feed. Files are kept until their feeds are loaded."""
    with context.warehouse() as warehouse:
        work_plan.expect_active_feeds(warehouse)
    folder = context.work(bucket.courier) / "files"
    context.bar.stage(f"Fetching from {bucket.courier.bucket}", found.size)
    fetched = fetch(bucket, found, folder, context.bar.advance, Room(context.project.limits))
    day_of = {hit.object.key: hit.day for hit in found.hits}
    absent = [each for each in fetched.missing if _is_in(day_of[each.archive], required)]
    if absent and not skip_missing:
        raise missing_member_error(bucket, absent[0])
    if fetched.missing:
        progress.missing_days.update(day for each in fetched.missing if (day := day_of[each.archive]))
        progress.notices.append(f"Missing files were skipped: none matches {listed(fetched.missing)}.")
    lacking: list[Missing | MissingMember] = [each for each in found.missing if _is_required(each, required)]
    lacking += absent
    with context.warehouse() as warehouse:
        run_log = RunLog(warehouse)
        for operation in work_plan.operations:
            feed = work_plan.feeds[operation.feed_id]
            context.bar.stage(feed.domain_table)
            try:
                chosen = fetched.tagged(operation.load_tags)
            except FeedError as error:
                progress.tables.append(_failed(run_log, progress.run, TableRun(feed.domain_table, 0, 0), error))
                continue
            if operation.load_tags and not chosen:
                progress.notices.append(f"{feed.domain_table} is unchanged: none of its files was found.")
                continue
            missing = [item for item in lacking if not item.tags.isdisjoint(operation.load_tags)]
            if operation.truncate and missing:
                progress.notices.append(
                    f"{feed.domain_table} is unchanged: it is only truncated if all of its files are found, and no "
                    f"file matches {listed(missing)}."
                )
                continue
            try:
                ingested = _ingest_feed(context, warehouse, progress.run, feed, chosen, truncate=operation.truncate)
            except FeedError as error:
                progress.tables.append(
                    _failed(run_log, progress.run, TableRun(feed.domain_table, len(chosen), 0), error)
                )
            else:
                progress.tables.append(ingested.table)
                progress.files_with_rejected_rows += [each.file for each in ingested.rejected]
                progress.notices += ingested.notices(progress.run.id)
    if not any(table.message for table in progress.tables):
        shutil.rmtree(folder, ignore_errors=True)


def _is_in(day: date | None, days: Days | None) -> bool:
    return day is None or days is None or day in days


def _ingest_feed(
    context: Context,
    warehouse: Warehouse,
    run: Run,
    feed: Feed,
    files: Sequence[FetchedFile],
    *,
    truncate: bool,
) -> FeedResult:
    """Loads files by the definition that the feed is active with, even if it was activated again in the meantime.

    Raises:
        FeedError: the files cannot be loaded, or the feed was changed and is not active as it is now.
    """
    active = ActiveFeeds(warehouse)

    def expect_unchanged() -> None:
        if not active.hold(feed):
            raise ChangedFeedError(
                f"The feed `{feed.domain_table}` changed while its files were being fetched: run "
                f"`heap-courier feed activate {feed.domain_table}`, then the courier again."
            )

    try:
        with failure_of_feed():
            return ingest(
                warehouse,
                feed,
                files,
                truncate=truncate,
                now=context.now(),
                workers=WORKERS,
                advance=context.bar.advance,
                before=expect_unchanged,
                after=lambda done: RunLog(warehouse).record_table(run, done.table, done.rejected, done.files),
            )
    except FeedError:
        changed = next((each for each in read_feeds(context.project.feeds) if each.id == feed.id), feed)
        if active.has(feed) or not active.has(changed):
            raise
    return _ingest_feed(context, warehouse, run, changed, files, truncate=truncate)


def _failed(run_log: RunLog, run: Run, table: TableRun, error: FeedError) -> TableRun:
    """Records that a feed was not loaded, and its rejected rows."""
    table = table._replace(message=str(error))
    named: tuple[Rejected, ...] = ()
    if isinstance(error, TooManyRejectsError):
        table = table._replace(rows=error.rows, rejected=error.rejected)
        named = tuple(map(Rejected._make, error.named))
    run_log.record_table(run, table, named)
    return table


def _kept(context: Context, bucket: Bucket, found: Found) -> tuple[FetchedFile, ...]:
    """Fetches files as samples, named as they are in the bucket; newest first."""
    context.bar.stage(f"Fetching from {bucket.courier.bucket}", found.size)
    folder = context.work(bucket.courier) / "files"
    fetched = fetch(bucket, found, folder, context.bar.advance, Room(context.project.limits))
    for damage in fetched.damaged:
        raise damage.error
    to = folder_of(context.project, bucket.courier)
    kept = tuple(keep_sample(to, file) for file in fetched.files)
    shutil.rmtree(folder, ignore_errors=True)
    return tuple(sorted(kept, key=lambda file: file.modified, reverse=True))


def _notices(step: StepResult, run_id: str) -> Iterator[str]:
    if step.notice:
        yield step.notice
    for column, count in step.unreadable.items():
        values = "value is" if count == 1 else "values are"
        yield (
            f"{step.run.domain_table}, dump {step.dump_id}: {count:,} {values} unreadable in column `{column}`, and "
            f"null in the table; `heap-courier runs {run_id}` lists the rows."
        )


def _by_table(runs: Iterable[TableRun]) -> tuple[TableRun, ...]:
    """One for each domain table: a run loads several dumps of a table one after another."""
    tables: dict[str, TableRun] = {}
    for run in runs:
        before = tables.get(run.domain_table)
        if before:
            run = TableRun(  # noqa: PLW2901
                run.domain_table,
                before.files + run.files,
                before.rows + run.rows,
                before.rejected + run.rejected,
                before.merged + run.merged,
                before.stored if run.stored is None else run.stored,
                run.message,
            )
        tables[run.domain_table] = run
    return tuple(tables.values())


@contextmanager
def locked(context: Context, courier: Courier) -> Iterator[None]:
    """One run of a courier at a time; the lock goes with the process, however that ends."""
    folder = context.work(courier)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LaterError(
            f"Another run of the courier `{courier.name}` is in progress: try again when it has finished."
        ) from None
    try:
        yield
    finally:
        shutil.rmtree(folder / "files" / UNPACKED, ignore_errors=True)
        lock.release()


@contextmanager
def _logged(context: Context, courier: Courier, what: str) -> Iterator[_RunInProgress]:
    """Records the start and the result of a run in the run log; nothing if its files are missing."""
    started = in_utc(context.now())
    run = Run(f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}", courier.name, what, started)
    with context.warehouse() as warehouse:
        run_log = RunLog(warehouse)
        run_log.make()
        run_log.begin(run)
    context.report(began(run))
    progress = _RunInProgress(context, run)
    outcome: str | None = INTERRUPTED
    message: str | None = "It was stopped; what it had loaded is kept."
    try:
        yield progress
        failed = [table.domain_table for table in progress.tables if table.message]
        outcome, message = (FAILED, f"{', '.join(failed)} was not loaded.") if failed else (COMPLETED, None)
    except MissingFilesError:  # it may be tried each minute until they are there
        outcome = None
        raise
    except InterruptedRunError as error:
        message = str(error)
        raise
    except CourierError as error:
        outcome, message = FAILED, str(error)
        raise
    except Exception as error:
        outcome, message = FAILED, internal_error(error)
        raise
    finally:
        first_error_counts = nullcontext() if outcome == COMPLETED else suppress(Exception)
        with first_error_counts, context.warehouse() as warehouse:
            run_log = RunLog(warehouse)
            if outcome:
                run_log.end(run, context.now(), outcome, message)
            else:
                run_log.forget(run)
        if outcome:
            _report(context, progress, outcome, message)


def _report(context: Context, progress: _RunInProgress, outcome: str, message: str | None) -> None:
    tables = _by_table(progress.tables)
    for table in tables:
        context.report(loaded(progress.run, table))
    context.report(
        ended(
            progress.run,
            context.now(),
            outcome,
            message,
            tables=tables,
            notices=progress.notices,
            files=progress.files_with_rejected_rows,
            is_incomplete=bool(progress.missing_days),
        )
    )


def in_words(days: Days | None) -> str:
    """What the run log calls the days of a run."""
    if days is None:
        return _ALL
    return f"{days.start}" if days == Days.of(days.start) else f"{days.start} to {days.end}"


def days_of(run: Run) -> Days | None:
    """The days of a run in the run log: the inverse of `in_words`; None for all, and for what is new."""
    start, _, end = run.what.partition(" to ")
    try:
        first = date.fromisoformat(start)
        return Days(first, date.fromisoformat(end)) if end else Days.of(first)
    except ValueError:
        return None
