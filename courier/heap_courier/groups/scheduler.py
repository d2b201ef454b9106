"""`heap-courier group serve`: runs each enabled group on its schedule until stopped.

What is due is not kept in memory but looked up, at each scheduled time and regularly in between: the last scheduled
time that has passed since the last slot in the warehouse. So slots that passed while no daemon was running, the group
was still busy, the machine asleep or the warehouse unreachable are caught up with one late run, for the last of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from heap_courier.errors import CourierError, InterruptedRunError, LaterError, SetupError
from heap_courier.groups import slots
from heap_courier.groups.deadline import DeadlineWatch
from heap_courier.groups.faults import Faults
from heap_courier.groups.health import Health
from heap_courier.groups.run import GroupContext, carry_out, mark_aborted
from heap_courier.groups.run_notices import title
from heap_courier.notices.notice import Notice, note, trouble
from heap_courier.project.cron import instants, latest, warnings
from heap_courier.project.model import Group
from heap_courier.signals import hangups, stopped_by_signals

TICK: Final = 1.0  # seconds between two checks for a SIGHUP

Change = tuple[Iterable[Group], GroupContext]
"""All groups of a changed project, and what their runs depend on from then on."""


def serve(
    groups: Iterable[Group],
    context: GroupContext,
    stop: threading.Event,
    changed: Callable[[bool], Change | None] = lambda _asked: None,
    health: Health | None = None,
    *,
    wait: bool = False,
) -> None:
    """Keeps the schedules of all enabled groups until `stop` is set, or the first SIGTERM or Ctrl-C.

    Then waits for the runs in progress, which `context.pause` and other users of `stop` ask to stop; a second signal
    exits immediately. Called in the main thread.

    Args:
        groups: all groups of the project.
        context: what their runs depend on.
        stop: the event that `context` reacts to.
        changed: called regularly, and with True after each SIGHUP; returns the groups if the project has changed or is
            to be reloaded. Runs in progress finish with the settings they started with.
        health: receives the threads that must be alive.
        wait: whether to start without an enabled group, and wait for one.

    Raises:
        SetupError: no group is enabled and has a schedule, and `wait` is false; or the warehouse is not set up
            correctly.
    """
    kept = _scheduled(groups)
    if not kept and not wait:
        raise SetupError(
            "There is nothing to run: no group is enabled and has a `schedule`. Enable one, or start with --wait."
        )
    health = health or Health()
    with hangups() as hung_up, stopped_by_signals(stop, lambda text: context.report(note(text, "stopping"))):
        try:
            _prepare(kept, context)
        except InterruptedRunError:
            return
        threads: list[threading.Thread] = []
        replaced = _keep(kept, context, threads, health)
        while (asked := _next_look(stop, hung_up, _interval(context))) is not None:
            if change := changed(asked):
                replaced.set()
                kept, context = _scheduled(change[0]), change[1]
                _prepare_changed(kept, context)
                replaced = _keep(kept, context, threads, health)
        health.is_stopping = True
        replaced.set()
        for thread in threads:
            thread.join()


def _next_look(stop: threading.Event, hung_up: list[int], seconds: float) -> bool | None:
    """Waits for a SIGHUP (returns True), for a number of seconds (False), or until `stop` is set (None)."""
    left = seconds
    while left > 0 and not hung_up:
        if stop.wait(min(left, TICK)):
            return None
        left -= TICK
    asked = bool(hung_up)
    hung_up.clear()
    return None if stop.is_set() else asked


def _scheduled(groups: Iterable[Group]) -> list[Group]:
    return [group for group in groups if group.enabled and group.schedule]


def _keep(kept: list[Group], context: GroupContext, threads: list[threading.Thread], health: Health) -> threading.Event:
    """Starts the threads of each group; returns the event that stops them, without interrupting runs."""
    replaced = threading.Event()
    if not kept:
        context.report(note("Nothing is scheduled: no group is enabled and has a `schedule`."))
    for group in kept:
        for sentence in warnings(str(group.schedule), group.time_zone, context.now()):
            context.report(about(group, "schedule-warning", f"Group `{group.name}`: {sentence}"))
        context.report(about(group, "group-scheduled", next_run(group, context.now())))
    threads[:] = [thread for thread in threads if thread.is_alive()]
    keepers = [
        threading.Thread(target=Keeper(group, context).keep, args=(replaced,), name=f"group {group.name}")
        for group in kept
    ]
    keepers += [
        threading.Thread(target=DeadlineWatch(group, context).keep, args=(replaced,), name=f"deadlines {group.name}")
        for group in kept
        if group.done_by
    ]
    for thread in keepers:
        thread.start()
    threads += keepers
    health.keepers = keepers
    return replaced


def _prepare_changed(kept: list[Group], context: GroupContext) -> None:
    try:
        with context.open_warehouse() as warehouse:
            slots.prepare(warehouse)
            slots.forget_others(warehouse, [group.name for group in kept])
    except CourierError as error:
        context.report(trouble(str(error), "warehouse-unavailable"))


def about(group: Group, event: str, text: str) -> Notice:
    """A sentence about a group, for the log only."""
    return Notice("note", event, text, group=group.name)


def upcoming(group: Group, now: datetime) -> datetime | None:
    """When the schedule runs a group next, in UTC; None if it does not."""
    if not (group.schedule and group.enabled):
        return None
    return next(instants(group.schedule, group.time_zone, now), None)


def next_run(group: Group, now: datetime) -> str:
    """A sentence that says when a group runs next."""
    slot = upcoming(group, now)
    if slot is None:
        return f"Group `{group.name}` has no schedule in effect; run it by hand."
    local = slot.astimezone(group.time_zone)
    return f"Group `{group.name}` runs next on {local:%A %Y-%m-%d at %H:%M} {group.time_zone.key} ({slot:%H:%M} UTC)."


class Keeper:
    """Keeps the schedule of one group."""

    def __init__(self, group: Group, context: GroupContext) -> None:
        self._group = group
        self._context = context
        self._floor: datetime | None = None  # slots after it are due; None: not looked up yet
        self._faults = Faults(group, context.report)

    def keep(self, stop: threading.Event) -> None:
        """Checks at each scheduled time, and regularly in between, until `stop` is set.

        Waits are short and use the monotonic clock, because the machine's clock may be set in the meantime.
        """
        while not stop.is_set():
            self.look()
            now = self._context.now()
            slot = upcoming(self._group, now)
            stop.wait(min(_interval(self._context), (slot - now).total_seconds() if slot else _interval(self._context)))

    def look(self) -> None:
        """Runs the slot that is due, if there is one. An error that repeats is reported once."""
        self._faults.guard(self._look)

    def _look(self) -> None:
        if self._floor and self._floor <= self._context.now() and not self._due(self._floor):
            return
        claim = self._claim()
        if claim is None:
            return
        carry_out(self._group, claim, self._context)
        self._context.report(about(self._group, "group-scheduled", next_run(self._group, self._context.now())))

    def _claim(self) -> slots.Claim | None:
        self._floor = None
        now = self._context.now()
        claim = None
        with self._context.open_warehouse() as warehouse:
            broken = mark_aborted(warehouse, self._group, self._context)
            early = slots.release_early(warehouse, self._group.name, now)
            floor = slots.kept_since(warehouse, self._group, now)
            if slots.running(warehouse, self._group.name) is None:
                slot = self._due(floor)
                self._floor = slot or floor
                if slot:
                    claim = slots.claim(warehouse, self._group.name, slot, now, by_hand=False)
        for notice in broken:
            self._context.report(notice)
        for slot in early:
            sentence = f"{title(self._group, slot)} ran early because the clock was ahead: it will run again on time."
            self._context.report(about(self._group, "clock-ahead", sentence))
        return claim

    def _due(self, floor: datetime) -> datetime | None:
        return latest(str(self._group.schedule), self._group.time_zone, floor, self._context.now())


def _interval(context: GroupContext) -> float:
    """Seconds between two checks of what is due."""
    return context.lease.total_seconds() / 2


def _prepare(kept: list[Group], context: GroupContext) -> None:
    while True:
        try:
            with context.open_warehouse() as warehouse:
                slots.prepare(warehouse)
                slots.forget_others(warehouse, [group.name for group in kept])
                return
        except LaterError as error:
            context.report(trouble(str(error), "warehouse-unavailable"))
        context.pause(_interval(context))
