"""One run of a courier: from its bucket to the domain tables and the run log."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import closing

from heap_courier.couriers.context import Context
from heap_courier.couriers.feed_loads import is_required, load_feeds
from heap_courier.couriers.lock import locked
from heap_courier.couriers.logged_run import ALL_NEW, RunInProgress, RunResult, in_words, logged, record_refusal
from heap_courier.couriers.run_notices import refused
from heap_courier.couriers.samples import keep_files
from heap_courier.couriers.work_plan import read_work_plan
from heap_courier.errors import CourierError
from heap_courier.feeds.samples import folder_of
from heap_courier.files.bucket import Bucket
from heap_courier.files.days import Days
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.files.fileset import find, listed, missing_error
from heap_courier.files.room import Room
from heap_courier.heap_connect.pull import manifest_keys, pull
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.parallel import WORKERS
from heap_courier.project.model import Courier
from heap_courier.warehouse.run_log import RunLog


def run_courier(
    context: Context,
    courier: Courier,
    days: Days | None,
    *,
    required: Days | None = None,
    skip_missing: bool = False,
    tables: Collection[str] | None = None,
    is_retried: bool = False,
) -> RunResult:
    """Runs a courier.

    Args:
        context: what the run depends on.
        courier: a courier of the project.
        days: the days of the files; None: all days. Ignored for Heap Connect.
        required: the days whose files must exist; None: all of `days`.
        skip_missing: whether to continue without missing files of the required days.
        tables: the domain tables to load, such as those that failed before; None: all. Ignored for Heap Connect, which
            loads everything that is not loaded yet.
        is_retried: whether the caller retries a run that cannot start, and itself records when it gives up.

    Raises:
        MissingFilesError: required files are missing, or a member of an archive is; nothing was loaded.
        MissingFeedsError: feeds of load operations do not exist; the files were fetched and kept as samples.
        CourierError: the run failed. A table that cannot be loaded does not raise: the result has the reason.
    """
    started = context.now()
    try:
        return _run(context, courier, days, required, tables, skip_missing=skip_missing)
    except CourierError as error:
        if not error.is_logged:
            run = None if is_retried else record_refusal(context, courier, days, started, error)
            context.report(refused(courier.name, error, run))
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
            with logged(context, courier, ALL_NEW) as progress:
                _pull(context, bucket, work_plan.heap_connect, progress)
            return progress.result()
        found = find(bucket, work_plan.entities, days)
        absent = [missing for missing in found.missing if is_required(missing, required)]
        if absent and not skip_missing:
            raise missing_error(bucket, absent)
        with logged(context, courier, in_words(days)) as progress:
            if found.missing:
                progress.missing_days.update(missing.day for missing in found.missing if missing.day)
                progress.notices.append(f"Skipped missing files: no file matches {listed(found.missing)}.")
            if not work_plan.operations or work_plan.unknown_feeds:
                progress.samples = keep_files(context, bucket, found)
                folder = os.path.relpath(folder_of(context.project, courier))
                work_plan.expect_known_feeds(f"The fetched files ({len(progress.samples):,}) were kept in `{folder}`.")
            else:
                load_feeds(context, bucket, work_plan, found, progress, required=required, skip_missing=skip_missing)
        return progress.result()


def _pull(context: Context, bucket: Bucket, entity: HeapConnectEntity, progress: RunInProgress) -> None:
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
        with closing(steps):
            for step in steps:
                progress.tables.append(step.run)
                progress.files_with_rejected_rows += [each.file for each in step.examples]
                progress.notices += _notices(step, progress.run.id)


def _notices(step: StepResult, run_id: str) -> Iterator[str]:
    if step.notice:
        yield step.notice
    for column, count in step.unreadable.items():
        values = "unreadable value" if count == 1 else "unreadable values"
        yield (
            f"{step.run.domain_table}, dump {step.dump_id}: {count:,} {values} in column `{column}` loaded as null; "
            f"`heap-courier runs {run_id}` lists the rows."
        )
