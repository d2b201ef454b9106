"""Sources: couriers with their health, feeds, and credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from heap_courier.console.editing.credentials import credentials_of
from heap_courier.console.editing.project_edit import ProjectEdit
from heap_courier.console.visit import BUSY, Visit, looking
from heap_courier.couriers.context import Context
from heap_courier.couriers.work_plan import read_work_plan
from heap_courier.errors import BusyWarehouseError, CourierError
from heap_courier.feeds.active import ActiveFeeds
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.groups.presence import daemon_of
from heap_courier.groups.scheduler import upcoming
from heap_courier.project.model import Courier
from heap_courier.project.scaffold import make_project
from heap_courier.warehouse.run_log import COMPLETED, RUNNING, Run, RunLog


@dataclass(frozen=True, slots=True)
class CourierRow:
    """A courier as the screen lists it.

    Attributes:
        courier: the courier.
        last: its latest run.
        next: when a group runs it next, in UTC.
        state: its health: `good`, `busy`, `new`, `unknown` or `bad`.
        health: its health in words.
        loads: whether it has load operations, and is run for days.
    """

    courier: Courier
    last: Run | None
    next: datetime | None
    state: str
    health: str
    loads: bool


def sources(visit: Visit) -> Response:
    """The screen; offers to create a project if there is none."""
    console = visit.console
    if not console.has_project:
        return visit.page("start.html", folder=console.folder.resolve())
    context = console.context()
    trouble: list[str] = []
    feeds, feed_states = _feeds(context, trouble)
    latest: Mapping[str, Run] = {}
    known, busy = False, ""
    try:
        with looking(context) as warehouse:
            known = True
            if warehouse:
                latest = RunLog(warehouse).latest()
                active = ActiveFeeds(warehouse)
                active.make()
                feed_states = {feed.id: _state_of(active, feed) for feed in feeds}
    except BusyWarehouseError:
        busy = f"{BUSY} Runs and the states of feeds appear here as soon as it is free."
    except CourierError as error:
        trouble.append(str(error))
    if not known:
        feed_states = dict.fromkeys(feed_states, "not available now")
    rows = [
        _row(context, courier, latest.get(courier.name), known=known) for courier in context.project.couriers.values()
    ]
    return visit.page(
        "sources.html",
        rows=rows,
        feeds=feeds,
        feed_states=feed_states,
        trouble=trouble,
        busy=busy,
        known=known,
        said=visit.said,
        daemon_missing=any(row.next for row in rows) and not daemon_of(console.folder),
        credentials=credentials_of(ProjectEdit(console.folder), console.environment),
    )


def make(visit: Visit) -> Response:
    """Creates a project in the console's folder, unless another tab has created it."""
    if not visit.console.has_project:
        make_project(visit.console.folder, bare=True)
    return visit.to()


def _feeds(context: Context, trouble: list[str]) -> tuple[tuple[Feed, ...], dict[str, str]]:
    try:
        feeds = read_feeds(context.project.feeds)
    except CourierError as error:
        trouble.append(str(error))
        return (), {}
    return feeds, {feed.id: "not active" for feed in feeds}


def _state_of(active: ActiveFeeds, feed: Feed) -> str:
    if active.has(feed):
        return "active"
    return "changed since it was activated" if active.definition(feed) else "not active"


def _row(context: Context, courier: Courier, last: Run | None, *, known: bool) -> CourierRow:
    now = context.now()
    due = [
        instant
        for group in context.project.groups.values()
        if any(each.courier == courier.name for each in group.couriers) and (instant := upcoming(group, now))
    ]
    state, health = _health(last) if known else ("unknown", "Its runs are not available now.")
    try:
        plan = read_work_plan(context.project, courier)
    except CourierError as error:
        return CourierRow(courier, last, min(due, default=None), "bad", str(error), courier.operations is not None)
    if plan.unknown_feeds and state != "busy":
        state = "new"
        health = f"The load operations refer to feeds that do not exist: {', '.join(plan.unknown_feeds)}."
    elif not plan.heap_connect and not plan.operations and state in ("new", "good", "unknown"):
        state, health = "new", "It has no load operations yet: a run only keeps its files as samples."
    return CourierRow(courier, last, min(due, default=None), state, health, courier.operations is not None)


def _health(last: Run | None) -> tuple[str, str]:
    if last is None:
        return "new", "It has not run yet."
    if last.outcome == RUNNING:
        return "busy", "It is running."
    if last.outcome == COMPLETED:
        return "good", "Its last run completed."
    return "bad", f"Its last run {last.outcome}" + (f": {last.message}" if last.message else ".")
