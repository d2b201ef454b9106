"""Records a run in the run log and reports it in notices: its start, its progress, its result."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import date, datetime
from typing import Final, NamedTuple

from heap_courier.couriers.context import Context
from heap_courier.couriers.lock import locked
from heap_courier.couriers.run_notices import began, ended, loaded
from heap_courier.data_types.field_types import in_utc
from heap_courier.errors import (
    BusyCourierError,
    BusyWarehouseError,
    CourierError,
    InterruptedRunError,
    MissingFilesError,
    internal_error,
)
from heap_courier.files.days import Days
from heap_courier.files.fileset import FetchedFile
from heap_courier.project.model import Courier
from heap_courier.warehouse.run_log import COMPLETED, FAILED, INTERRUPTED, Run, RunLog, TableRun

_ALL: Final = "all days"
_PATIENCE: Final = 5.0  # seconds to wait for the warehouse to record a run that could not start
ALL_NEW: Final = "new dumps"  # what a courier that follows Heap Connect loads


class RunResult(NamedTuple):
    """The result of a run.

    Attributes:
        run: its entry in the run log.
        samples: the files that were kept instead of loaded.
        tables: the result of each domain table, including failed ones.
        notices: sentences for the user.
        seconds: how long it took.
        missing_days: the days with missing files.
    """

    run: Run
    samples: tuple[FetchedFile, ...]
    tables: tuple[TableRun, ...]
    notices: tuple[str, ...]
    seconds: float
    missing_days: frozenset[date] = frozenset()

    @property
    def failed(self) -> tuple[TableRun, ...]:
        """Tables into which nothing was loaded."""
        return tuple(table for table in self.tables if table.message)


class RunInProgress:
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
        """The result, now that the run has finished."""
        seconds = (in_utc(self._context.now()) - self.run.started).total_seconds()
        return RunResult(
            self.run,
            self.samples,
            _by_table(self.tables),
            tuple(self.notices),
            seconds,
            frozenset(self.missing_days),
        )


@contextmanager
def logged(context: Context, courier: Courier, what: str) -> Iterator[RunInProgress]:
    """Records the start and the result of a run in the run log; removes the entry if its files are missing."""
    run = _new_run(courier, what, context.now())
    with context.warehouse() as warehouse:
        run_log = RunLog(warehouse)
        run_log.make()
        run_log.begin(run)
    context.report(began(run))
    progress = RunInProgress(context, run)
    outcome: str | None = INTERRUPTED
    message: str | None = "The run was stopped; what it had loaded is kept."
    try:
        yield progress
        failed = [table.domain_table for table in progress.tables if table.message]
        outcome, message = (FAILED, f"Not loaded: {', '.join(failed)}.") if failed else (COMPLETED, None)
    except MissingFilesError:  # the run may be retried every minute until they arrive
        outcome = None
        raise
    except InterruptedRunError as error:
        message = str(error)
        error.is_logged = True
        raise
    except CourierError as error:
        outcome, message = FAILED, str(error)
        error.is_logged = True
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


def record_refusal(
    context: Context, courier: Courier, days: Days | None, started: datetime, error: CourierError
) -> Run | None:
    """Records a run that could not start, for example because files are missing, as failed.

    Returns None if it is not recorded, because the run log cannot be opened, another run of the courier is in progress,
    or somebody stopped the run.
    """
    if isinstance(error, (BusyCourierError, BusyWarehouseError, InterruptedRunError)):
        return None
    run = _new_run(courier, ALL_NEW if courier.operations is None else in_words(days), started)
    try:
        with locked(context, courier), context.warehouse(patience=_PATIENCE) as warehouse:
            run_log = RunLog(warehouse)
            run_log.make()
            run_log.begin(run)
            run_log.end(run, context.now(), FAILED, str(error))
    except CourierError:
        return None
    return run


def _new_run(courier: Courier, what: str, now: datetime) -> Run:
    started = in_utc(now)
    return Run(f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}", courier.name, what, started)


def _report(context: Context, progress: RunInProgress, outcome: str, message: str | None) -> None:
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


def _by_table(runs: Iterable[TableRun]) -> tuple[TableRun, ...]:
    """One result per domain table, because a run may load several dumps of a table."""
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


def in_words(days: Days | None) -> str:
    """The days of a run, as the run log has them."""
    if days is None:
        return _ALL
    return f"{days.start}" if days == Days.of(days.start) else f"{days.start} to {days.end}"


def days_of(run: Run) -> Days | None:
    """The days of a run in the run log: the inverse of `in_words`. None for all days, and for new dumps."""
    start, _, end = run.what.partition(" to ")
    try:
        first = date.fromisoformat(start)
        return Days(first, date.fromisoformat(end)) if end else Days.of(first)
    except ValueError:
        return None
