"""Courier groups: couriers that run as one unit, on a schedule or by hand.

A run has a slot, the scheduled time it is for. Which days it covers, and whether another group may start, depends only
on the slot, never on who started the run or when. So a manual run for a slot that failed repairs it: groups that wait
for the slot start, and its days count as covered. It is recorded in addition to the scheduled run of the slot and does
not replace it: the schedule waits until the manual run has finished, and then runs the slot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple, TypeVar

from heap_courier.errors import (
    CourierError,
    InterruptedRunError,
    LaterError,
    MissingFilesError,
    SetupError,
    internal_error,
)
from heap_courier.files.days import Days
from heap_courier.groups import run_notices, slots
from heap_courier.groups.covered_days import days_of, too_late, with_late_days
from heap_courier.groups.run_notices import by_hand, in_words
from heap_courier.groups.slots import Claim, Outcome
from heap_courier.notices.notice import Notice, Report
from heap_courier.project.model import Constraint, Group, GroupCourier
from heap_courier.warehouse.base import Warehouse

POLL: Final = 60.0  # seconds between two checks for files or for another group
LEASE: Final = timedelta(minutes=2)  # a run without a heartbeat for this long counts as aborted
RECORDING_TIMEOUT: Final = timedelta(minutes=10)  # how long to try to record the result of a run

RunCourier = Callable[[str, Days, Days, bool], Collection[date]]
"""Runs a courier: its name, the days to load, those of them that are required, whether to skip missing files.

Days that are not required are earlier ones, retried because files were missing. Returns the days with missing files.
Raises CourierError.
"""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class GroupContext:
    """What runs of groups depend on. Everything is called from several threads.

    Attributes:
        run_courier: fetches the files of a courier and loads them.
        open_warehouse: to hold open only briefly, because one process at a time can use a DuckDB file.
        report: logs a notice, and sends it if the project says so.
        now: returns the current time.
        pause: waits for a number of seconds; raises InterruptedRunError as soon as the run is stopped.
        stitch: links the records of customers; raises CourierError.
        give_up: records that a courier could not run for days, after all retries.
        publish: publishes changed tables, if the project says so; raises CourierError.
        lease: a run without a heartbeat for this long counts as aborted.
    """

    run_courier: RunCourier
    open_warehouse: Callable[[], AbstractContextManager[Warehouse]]
    report: Report
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    stitch: Callable[[], None] = lambda: None
    give_up: Callable[[str, Days, CourierError], None] = lambda _courier, _days, _error: None
    publish: Callable[[], None] = lambda: None
    lease: timedelta = LEASE


class GroupResult(NamedTuple):
    """The outcome of a run, and notes about it, one sentence per line."""

    outcome: Outcome
    message: str


def run_by_hand(
    group: Group, context: GroupContext, slot: datetime | None = None, *, skip_missing: bool = False
) -> GroupResult:
    """Runs a group now, enabled or not.

    Args:
        group: the group.
        context: what the run depends on.
        slot: the slot to run for; None: the current minute, without waiting for other groups, which have no such slot.
        skip_missing: whether to continue without missing files instead of waiting for them.

    Raises:
        LaterError: the group is already running, or the warehouse does not respond.
        SetupError: the slot is in the future, or the warehouse is not set up correctly.
    """
    now = context.now()
    if slot is None:
        group, slot = replace(group, constraints=()), now.replace(second=0, microsecond=0)
    if skip_missing:
        couriers = (replace(courier, missing="notify", wait=timedelta()) for courier in group.couriers)
        group = replace(group, couriers=tuple(couriers))
    if slot > now:
        raise SetupError(f"The slot {in_words(slot)} is in the future: choose a past slot, or none to run now.")
    claim = None
    with context.open_warehouse() as warehouse:
        slots.prepare(warehouse)
        broken = mark_aborted(warehouse, group, context)
        slots.release_early(warehouse, group.name, now)
        if slots.running(warehouse, group.name) is None:
            claim = slots.claim(warehouse, group.name, slot, now, by_hand=True)
    for notice in broken:
        context.report(notice)
    if claim is None:
        raise LaterError(f"Group `{group.name}` is already running: try again when it has finished.")
    return carry_out(group, claim, context)


def mark_aborted(warehouse: Warehouse, group: Group, context: GroupContext) -> list[Notice]:
    """Records runs whose process is gone as interrupted; returns notices to report once the warehouse is closed."""
    now = context.now()
    message = "The run was aborted: its process is gone."
    broken = slots.mark_aborted(warehouse, group.name, now - context.lease, message, no_later_than=now + context.lease)
    return [run_notices.aborted(group, slot, message) for slot in broken]


def carry_out(group: Group, claim: Claim, context: GroupContext) -> GroupResult:
    """Runs a group for a claimed slot, and records the result.

    Raises:
        CourierError: the result could not be recorded.
        Exception: an internal error; the run is recorded as failed.
    """
    started = context.now()
    late = started - claim.slot > context.lease and claim.attempt == slots.SCHEDULED
    context.report(run_notices.started(group, claim.slot, late=late))
    try:
        with _heartbeat(group, claim, context):
            result = _Run(group, claim, context).run()
    except Exception as error:
        result = GroupResult("failed", internal_error(error))
        _record_result(claim, context, result)
        context.report(run_notices.finished(group, claim.slot, *result, context.now() - started))
        raise
    _record_result(claim, context, result)
    context.report(run_notices.finished(group, claim.slot, *result, context.now() - started))
    return result


class _Run:
    """One run of a group."""

    def __init__(self, group: Group, claim: Claim, context: GroupContext) -> None:
        self._group = group
        self._claim = claim
        self._context = context
        self._started = context.now()
        self._stopped = threading.Event()  # set by a courier that fails the run, for those that are still waiting
        self._errors: list[CourierError] = []
        self._notes: list[str] = []

    def run(self) -> GroupResult:
        """Runs the couriers, then Stitch and the publication."""
        try:
            for constraint in self._group.constraints:
                self._await_group(constraint)
        except CourierError as error:
            self._note(error)
        else:
            with ThreadPoolExecutor(max(1, len(self._group.couriers)), thread_name_prefix="courier") as threads:
                list(threads.map(self._run_courier, self._group.couriers))
            if self._group.stitch:
                self._stitch()
            self._publish()
        message = "\n".join(self._notes)
        if self._errors and all(isinstance(error, InterruptedRunError) for error in self._errors):
            return GroupResult("interrupted", f"{message}\n{run_notices.what_follows(self._group, self._claim.slot)}")
        return GroupResult("failed" if self._errors else "succeeded", message)

    def _note(self, error: CourierError, who: str = "") -> None:
        self._errors.append(error)
        self._notes.append(f"{who}{error}")

    def _await_group(self, constraint: Constraint) -> None:
        slot = self._claim.slot

        def look() -> None:
            with self._context.open_warehouse() as warehouse:
                if slots.has_succeeded(warehouse, constraint.group, slot - constraint.offset, slot):
                    return
            which = in_words(slot)
            if constraint.offset:
                which = f"from {in_words(slot - constraint.offset)} to {which}"
            raise LaterError(
                f"Group `{constraint.group}`, which this one waits for, has no successful run for {which}: "
                f"fix it, then run {by_hand(constraint.group, slot)} and {by_hand(self._group.name, slot)}."
            )

        self._patiently(look, self._started + constraint.wait)

    def _run_courier(self, courier: GroupCourier) -> None:
        who = f"Courier `{courier.courier}`: "
        required = days_of(self._group, courier.offset, self._claim.slot, self._claim.since)
        days = with_late_days(self._group, required, self._claim.missing.get(courier.courier, ()))
        run = partial(self._context.run_courier, courier.courier, days, required)
        try:
            try:
                missing = self._patiently(lambda: run(False), self._context.now() + courier.wait)  # noqa: FBT003
            except MissingFilesError as error:
                if courier.missing == "stop":
                    raise
                self._notes.append(f"{who}{error} Continued without them.")
                self._context.report(
                    run_notices.continues(self._group, self._claim.slot, courier.courier, f"{who}{error}")
                )
                missing = run(True)  # noqa: FBT003
            self._note_missing(courier.courier, required, days, missing)
        except MissingFilesError as error:
            self._stopped.set()
            self._note(error, who)
            self._context.give_up(courier.courier, days, error)
            again = by_hand(self._group.name, self._claim.slot, skip_missing=True)
            self._notes.append(f"To continue without them: {again}.")
        except CourierError as error:
            self._note(error, who)
            self._context.give_up(courier.courier, days, error)
        except Exception:
            self._stopped.set()
            raise

    def _stitch(self) -> None:
        """Links records, unless a courier failed."""
        if self._errors:
            self._notes.append("Stitch did not run because not all couriers succeeded.")
            return
        try:
            self._patiently(self._context.stitch, self._context.now() + RECORDING_TIMEOUT)
        except CourierError as error:
            self._note(error, "Stitch: ")

    def _publish(self) -> None:
        """Publishes what was loaded, even if some couriers failed: the rows of the others are committed."""
        if any(isinstance(error, InterruptedRunError) for error in self._errors):
            return
        try:
            self._patiently(self._context.publish, self._context.now() + RECORDING_TIMEOUT)
        except CourierError as error:
            self._note(error, "Not published: ")

    def _note_missing(self, courier: str, required: Days, days: Days, missing: Collection[date]) -> None:
        noted = self._claim.missing.get(courier, ())
        given_up = too_late(required, noted)
        if given_up and not self._group.past_day_only:
            self._context.report(run_notices.files_given_up(self._group, self._claim.slot, courier, given_up))
        if not missing and not noted:
            return
        since = min([days.start, *given_up])

        def note() -> None:
            with self._context.open_warehouse() as warehouse:
                slots.note_missing_days(warehouse, self._group.name, courier, Days(since, days.end), missing)

        _patiently(note, self._context.now() + RECORDING_TIMEOUT, self._context.now, self._context.pause)

    def _patiently(self, attempt: Callable[[], Result], deadline: datetime) -> Result:
        def pause(seconds: float) -> None:
            self._context.pause(seconds)
            if self._stopped.is_set():
                raise InterruptedRunError("Stopped waiting because the run of the group has already failed.")

        return _patiently(attempt, deadline, self._context.now, pause)


def _patiently(
    attempt: Callable[[], Result], deadline: datetime, now: Callable[[], datetime], pause: Callable[[float], None]
) -> Result:
    """Retries what may succeed later, until the deadline; raises the last error, and any other at once."""
    while True:
        try:
            return attempt()
        except (MissingFilesError, LaterError):
            left = (deadline - now()).total_seconds()
            if left <= 0:
                raise
        pause(min(POLL, left))


def _record_result(claim: Claim, context: GroupContext, result: GroupResult) -> None:
    def record() -> None:
        with context.open_warehouse() as warehouse:
            slots.finish(warehouse, claim, context.now(), *result)

    _patiently(record, context.now() + RECORDING_TIMEOUT, context.now, context.pause)


@contextmanager
def _heartbeat(group: Group, claim: Claim, context: GroupContext) -> Iterator[None]:
    """Records heartbeats while the block runs, and warns once if it takes too long."""
    ended = threading.Event()
    started = context.now()
    warned = threading.Event()

    def warn() -> None:
        limit = group.warn_after
        if limit and context.now() - started > limit and not warned.is_set():
            warned.set()
            context.report(run_notices.slow(group, claim.slot, limit))

    def live() -> None:
        while not ended.wait(context.lease.total_seconds() / 4):
            with suppress(CourierError), context.open_warehouse() as warehouse:
                slots.beat(warehouse, claim, context.now())
            warn()

    thread = threading.Thread(target=live, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        warn()
