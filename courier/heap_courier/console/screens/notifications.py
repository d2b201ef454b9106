"""Notifications: the outcomes of runs of couriers and groups, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from starlette.responses import Response

from heap_courier.console.visit import Visit, looking, path
from heap_courier.documents.wording import duration
from heap_courier.groups import slots
from heap_courier.groups.slots import SlotRun
from heap_courier.notices.channels import host_of
from heap_courier.notices.notice import KINDS
from heap_courier.project.model import Notify
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import COMPLETED, RUNNING, Run, RunLog

_LISTED: Final = 200


class Notice(NamedTuple):
    """A notification.

    Attributes:
        kind: one of KINDS.
        when: the time, in UTC.
        title: the courier or group, and what it ran for.
        lines: the details.
        address: the address of the page with more details.
    """

    kind: str
    when: datetime
    title: str
    lines: tuple[str, ...]
    address: str


def notifications(visit: Visit) -> Response:
    """The list of notifications, of all kinds or of one."""
    context = visit.console.context()
    kind = visit.parameter("kind")
    found: list[Notice] = []
    with looking(context) as warehouse:
        if warehouse:
            found = [*_of_runs(warehouse), *_of_groups(warehouse, list(context.project.groups))]
    shown = sorted((each for each in found if kind in ("", each.kind)), key=lambda each: each.when, reverse=True)
    return visit.page(
        "notifications.html",
        notices=shown[:_LISTED],
        kinds=KINDS,
        kind=kind,
        limit=_LISTED,
        sent=_sent(context.project.notify),
    )


def _sent(notify: Notify) -> list[str]:
    """Where notifications of each kind are sent, one line per kind, without secrets."""
    return [
        f"{kind}: "
        + ", ".join(
            [f"command `{command}`" for command in to.command[:1]]
            + ([f"webhook {host_of(to.webhook)}"] if to.webhook else [])
            + [f"e-mail to {', '.join(to.email)}"] * bool(to.email)
        )
        for kind in KINDS
        if (to := notify.channels.get(kind))
    ]


def _of_runs(warehouse: Warehouse) -> list[Notice]:
    log = RunLog(warehouse)
    rejected = log.rejected_counts(_LISTED)
    return [_of_run(run, rejected.get(run.id, 0)) for run in log.runs(_LISTED)]


def _of_run(run: Run, rejected: int) -> Notice:
    title, address = f"Courier {run.courier}, {run.what}", path("runs", run.id)
    if run.outcome == RUNNING or run.ended is None:
        return Notice("running", run.started, title, ("It is running.",), address)
    took = duration((run.ended - run.started).total_seconds())
    if run.outcome != COMPLETED:
        lines = tuple((run.message or "").split("\n"))
        return Notice("error", run.ended, title, (f"{run.outcome.capitalize()} after {took}.", *lines), address)
    if rejected:
        rows = "1 row was" if rejected == 1 else f"{rejected:,} rows were"
        return Notice("warning", run.ended, title, (f"Completed in {took}; {rows} rejected.",), address)
    return Notice("completed", run.ended, title, (f"Completed in {took}.",), address)


def _of_groups(warehouse: Warehouse, names: list[str]) -> list[Notice]:
    slots.prepare(warehouse)
    return [_of_slot(run) for name in names for run in slots.history(warehouse, name, _LISTED)]


def _of_slot(run: SlotRun) -> Notice:
    title = f"Courier group {run.group}, {run.slot:%Y-%m-%d %H:%M} UTC"
    address = path("groups", run.group, "edit")
    lines = tuple(line for line in run.message.split("\n") if line)
    started, ended = run.started.replace(tzinfo=None), run.ended and run.ended.replace(tzinfo=None)
    if run.outcome is None or ended is None:
        return Notice("running", started, title, ("It is running.", *lines), address)
    took = duration((ended - started).total_seconds())
    if run.outcome != "succeeded":
        return Notice("error", ended, title, (f"{run.outcome.capitalize()} after {took}.", *lines), address)
    return Notice("warning" if lines else "completed", ended, title, (f"Completed in {took}.", *lines), address)
