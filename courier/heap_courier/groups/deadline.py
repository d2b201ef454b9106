"""The deadlines of a group (`sla`): reports, once each, that a slot is late or is expected to be late.

A slot meets its deadline if a run for it, or for a later slot, has succeeded by then. A run is expected to take the
median of the last successful runs, so that a deadline that will be missed is reported in advance.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, time, timedelta, timezone
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from heap_courier.documents.wording import duration
from heap_courier.groups import slots
from heap_courier.groups.faults import Faults
from heap_courier.groups.run import GroupContext
from heap_courier.groups.run_notices import by_hand, notice, title
from heap_courier.groups.slots import SlotRun
from heap_courier.notices.notice import Notice
from heap_courier.project.cron import instants_of, latest
from heap_courier.project.model import Group

MEASURED: Final = 10  # the number of runs that the median is computed from
LEAST: Final = 3  # the minimum number of runs for an expected duration
_DAY: Final = timedelta(days=1)
_LONGEST_DAY: Final = timedelta(hours=26)  # with clocks that are set back
_MOMENT: Final = timedelta(microseconds=1)


def deadline_of(done_by: time, zone: ZoneInfo, slot: datetime) -> datetime:
    """The first time after a slot at which it is `done_by` in the zone, in UTC.

    A local time that occurs twice, because clocks are set back, counts both times; one that does not exist, because
    clocks are set forward, is when it would have been without the change.
    """
    day = slot.astimezone(zone).date()
    return min(at for days in range(-1, 3) for at in _times(done_by, zone, day + days * _DAY) if at > slot)


def last_deadline(done_by: time, zone: ZoneInfo, now: datetime) -> datetime:
    """The last time, up to now, at which it was `done_by` in the zone."""
    day = now.astimezone(zone).date()
    return max(at for days in range(-2, 2) for at in _times(done_by, zone, day + days * _DAY) if at <= now)


def _times(done_by: time, zone: ZoneInfo, day: object) -> list[datetime]:
    local = datetime.combine(day, done_by)  # type: ignore[arg-type]
    return instants_of(local, zone) or [local.replace(tzinfo=zone).astimezone(timezone.utc)]


def usual_duration(runs: Sequence[SlotRun]) -> timedelta | None:
    """The median duration of the last successful runs, given newest first; None if there are too few."""
    took = [(run.ended - run.started).total_seconds() for run in runs if run.outcome == "succeeded" and run.ended][
        :MEASURED
    ]
    return timedelta(seconds=median(took)) if len(took) >= LEAST else None


def expected_end(now: datetime, runs: Sequence[SlotRun], usual: timedelta) -> datetime:
    """When the slot of these runs is expected to be done: counted from the run in progress, or from now."""
    started = [run.started for run in runs if run.outcome is None]
    return max(now, min(started, default=now) + usual)


class DeadlineWatch:
    """Watches the deadlines of one group that has `done_by` and a schedule."""

    def __init__(self, group: Group, context: GroupContext) -> None:
        self._group = group
        self._context = context
        self._faults = Faults(group, context.report)
        self._done_by: time = group.done_by or time()
        self._began = context.now()
        self._done: set[datetime] = set()  # slots about which there is nothing more to report

    def keep(self, stop: threading.Event) -> None:
        """Checks at each deadline, and regularly in between, until `stop` is set."""
        while not stop.is_set():
            self.look()
            now = self._context.now()
            left = (deadline_of(self._done_by, self._group.time_zone, now) - now).total_seconds()
            stop.wait(min(self._context.lease.total_seconds() / 2, left))

    def look(self) -> None:
        """Reports slots that are late or expected to be late."""
        self._faults.guard(self._look)

    def _look(self) -> None:
        now = self._context.now()
        passed = last_deadline(self._done_by, self._group.time_zone, now)
        due = [self._latest(passed - _LONGEST_DAY, passed - _MOMENT), self._latest(passed - _MOMENT, now)]
        watched = {slot for slot in due if slot}
        self._done &= watched
        for slot in sorted(watched - self._done):
            if found := self._judge(slot, now):
                self._context.report(found)

    def _latest(self, after: datetime, until: datetime) -> datetime | None:
        return latest(str(self._group.schedule), self._group.time_zone, after, until)

    def _judge(self, slot: datetime, now: datetime) -> Notice | None:
        """What to report about a slot now, if anything."""
        group = self._group
        deadline = deadline_of(self._done_by, group.time_zone, slot)
        with self._context.open_warehouse() as warehouse:
            since = slots.schedule_since(warehouse, group.name)
            if since is None:  # the keeper of the schedule has not checked yet
                return None
            runs = slots.runs_since(warehouse, group.name, slot)
            done = min((run.ended for run in runs if run.outcome == "succeeded" and run.ended), default=None)
            unwatched = done is not None and deadline <= self._began
            if slot <= since or (done and done <= deadline) or unwatched:
                self._done.add(slot)
                return None
            if now >= deadline:
                self._done.add(slot)
                is_new = slots.note_report(warehouse, group.name, slot, "late", now)
                return self._late(slot, deadline, runs, done) if is_new else None
            usual = usual_duration(slots.history(warehouse, group.name, MEASURED * 3))
            if usual is None or (end := expected_end(now, runs, usual)) <= deadline:
                return None
            is_new = slots.note_report(warehouse, group.name, slot, "foreseen", now)
            return self._foreseen(slot, deadline, end, usual) if is_new else None

    def _late(self, slot: datetime, deadline: datetime, runs: Sequence[SlotRun], done: datetime | None) -> Notice:
        if done:
            what = f"It succeeded at {self._text(done)}."
        elif any(run.outcome is None for run in runs):
            what = "It is still running."
        else:
            what = f"No run has succeeded. To run it: {by_hand(self._group.name, slot)}."
        text = f"{title(self._group, slot)} is late: it was due by {self._text(deadline)}.\n{what}"
        return notice("error", "group-late", self._group, slot, text, deadline=deadline.isoformat())

    def _foreseen(self, slot: datetime, deadline: datetime, end: datetime, usual: timedelta) -> Notice:
        text = (
            f"{title(self._group, slot)} will probably be late: it is due by {self._text(deadline)}, but expected to "
            f"finish at about {self._text(end)}, because runs take {duration(usual.total_seconds())} (median)."
        )
        return notice("warning", "group-late-expected", self._group, slot, text, deadline=deadline.isoformat())

    def _text(self, instant: datetime) -> str:
        local = instant.astimezone(self._group.time_zone)
        return f"{local:%H:%M} {self._group.time_zone.key} ({instant:%Y-%m-%d %H:%M} UTC)"
