"""Loads the files of a run by its feeds: which files each table gets, and when it stays unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date

from heap_courier.couriers.context import Context
from heap_courier.couriers.load_operations import Operations
from heap_courier.couriers.logged_run import RunInProgress
from heap_courier.couriers.work_plan import WorkPlan
from heap_courier.errors import ChangedFeedError, FeedError, TooManyRejectsError, failure_of_feed
from heap_courier.feeds.active import ActiveFeeds
from heap_courier.feeds.ingest import FeedResult, ingest
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.files.bucket import Bucket
from heap_courier.files.days import Days
from heap_courier.files.fileset import (
    Fetched,
    FetchedFile,
    Found,
    Missing,
    MissingMember,
    fetch,
    listed,
    missing_member_error,
)
from heap_courier.files.room import Room
from heap_courier.parallel import WORKERS
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import Rejected, Run, RunLog, TableRun


def load_feeds(
    context: Context,
    bucket: Bucket,
    work_plan: WorkPlan,
    found: Found,
    progress: RunInProgress,
    *,
    required: Days | None,
    skip_missing: bool,
) -> None:
    """Fetches all files, then loads one feed after another. Files are kept until all feeds are loaded.

    Raises:
        MissingFilesError: an archive of a required day has no file for a member.
        CourierError: the files cannot be fetched. A feed that cannot be loaded does not raise: `progress` says why.
    """
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
        progress.notices.append(f"Skipped missing files: no file matches {listed(fetched.missing)}.")
    lacking: list[Missing | MissingMember] = [each for each in found.missing if is_required(each, required)]
    lacking += absent
    with context.warehouse() as warehouse:
        for operations in work_plan.operations:
            feed = work_plan.feeds[operations.feed_id]
            context.bar.stage(feed.domain_table)
            missing = [item for item in lacking if not item.tags.isdisjoint(operations.load_tags)]
            _load_feed(context, warehouse, progress, feed, operations, fetched=fetched, missing=missing)
    if not any(table.message for table in progress.tables):
        shutil.rmtree(folder, ignore_errors=True)


def _load_feed(
    context: Context,
    warehouse: Warehouse,
    progress: RunInProgress,
    feed: Feed,
    operations: Operations,
    *,
    fetched: Fetched,
    missing: Sequence[Missing | MissingMember],
) -> None:
    """Loads the files of one feed; adds the result, or why its table is unchanged or was not loaded, to `progress`."""
    files = 0
    try:
        chosen = fetched.tagged(operations.load_tags)
        files = len(chosen)
        if why := _why_unchanged(operations, chosen, missing):
            progress.notices.append(f"{feed.domain_table} is unchanged: {why}.")
            return
        ingested = _ingest_feed(context, warehouse, progress.run, feed, chosen, truncate=operations.truncate)
    except FeedError as error:
        table = TableRun(feed.domain_table, files, 0)
        progress.tables.append(_failed(RunLog(warehouse), progress.run, table, error))
        return
    progress.tables.append(ingested.table)
    progress.files_with_rejected_rows += [each.file for each in ingested.rejected]
    progress.notices += ingested.notices(progress.run.id)


def _why_unchanged(
    operations: Operations, chosen: Sequence[FetchedFile], missing: Sequence[Missing | MissingMember]
) -> str | None:
    """Why the table of a feed stays unchanged; None if its files are to be loaded."""
    if operations.load_tags and not chosen:
        return "none of its files were found"
    if operations.truncate and missing:
        return f"it is truncated only if all of its files are found, but no file matches {listed(missing)}"
    return None


def _ingest_feed(
    context: Context,
    warehouse: Warehouse,
    run: Run,
    feed: Feed,
    files: Sequence[FetchedFile],
    *,
    truncate: bool,
) -> FeedResult:
    """Loads files by the active definition of the feed, even if it was activated again in the meantime.

    Raises:
        FeedError: the files cannot be loaded, or the feed was changed and not activated again.
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


def is_required(missing: Missing, required: Days | None) -> bool:
    """Whether a missing file belongs to a required day; a file without a date belongs to every day."""
    return required is None or any(missing.pattern.first_day(day) == missing.day for day in required)


def _is_in(day: date | None, days: Days | None) -> bool:
    return day is None or days is None or day in days
