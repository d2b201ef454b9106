"""Commands of courier groups: `group list`, `run`, `serve`, `runs`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heap_courier.cli.log import LOG, reporting, reporting_until_replaced
from heap_courier.cli.printing import print_changed, print_result, print_stitched, print_warnings
from heap_courier.cli.terminal import ending, instant, print_table, say, say_lines, took
from heap_courier.couriers.context import Context, opened
from heap_courier.errors import CourierError, InterruptedRunError, internal_error
from heap_courier.group_work import Audience, group_context
from heap_courier.groups import run as groups
from heap_courier.groups import scheduler, slots
from heap_courier.groups.run import GroupResult
from heap_courier.notices.notice import Notice, note, trouble
from heap_courier.project.model import Group
from heap_courier.project.reader import read_project
from heap_courier.project.watch import ProjectWatch
from heap_courier.signals import stopped_by_signals

if TYPE_CHECKING:
    from heap_courier.couriers.logged_run import RunResult
    from heap_courier.delta.publication import Published
    from heap_courier.groups.group_metrics import GroupMetrics
    from heap_courier.stitch.run import StitchResult

SLOT = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])


@click.group()
def group() -> None:
    """Courier groups: couriers that run together, by hand or on a schedule."""


@group.command(name="list")
@click.pass_obj
def list_groups(folder: Path) -> None:
    """List the groups, and when each runs next."""
    with opened(folder) as context:
        now = context.now()
        rows = []
        for each in context.project.groups.values():
            next_run = scheduler.upcoming(each, now)
            local = f"{next_run.astimezone(each.time_zone):%Y-%m-%d %H:%M} {each.time_zone.key}" if next_run else ""
            names = ", ".join(courier.courier for courier in each.couriers)
            rows.append([each.name, names, each.schedule, "enabled" if each.enabled else "disabled", local])
        print_table(["group", "couriers", "schedule", "status", "next run"], rows)
        print_warnings(context)


@group.command(name="run")
@click.argument("name")
@click.option(
    "--slot", type=SLOT, metavar="TIME", help="The scheduled time to run for, in UTC, such as 2026-11-21T08:30."
)
@click.option("--skip-missing", is_flag=True, help="Continue without missing files instead of waiting for them.")
@click.pass_obj
def run_group(folder: Path, name: str, slot: datetime | None, *, skip_missing: bool) -> None:
    """Run the group NAME now, enabled or not."""
    stop = threading.Event()
    with opened(folder) as silent, reporting(silent, _unless_printed) as context:
        chosen = context.group(name)
        at = slot and slot.replace(tzinfo=timezone.utc)
        with stopped_by_signals(stop, lambda sentence: LOG(note(sentence, "stopping"))) as came:
            result = groups.run_by_hand(chosen, _group_context(context, stop), at, skip_missing=skip_missing)
    if not LOG.is_json:
        _end(chosen, result)
    if came:
        sys.exit(128 + came[0])
    if result.outcome != "succeeded":
        sys.exit(1)


@group.command(name="serve", short_help="Run the enabled groups on their schedules.")
@click.option("--wait", is_flag=True, help="Start even if no group is enabled, and wait for one.")
@click.option(
    "--health-port", type=click.IntRange(0, 65535), metavar="PORT", help="Serve /health and /metrics on this port."
)
@click.option("--health-host", default="127.0.0.1", show_default=True, help="The address to serve them on.")
@click.pass_obj
def serve_groups(folder: Path, health_port: int | None, health_host: str, *, wait: bool) -> None:
    """Run the enabled groups on their schedules until stopped with Ctrl-C or SIGTERM.

    A changed heap-courier.yaml takes effect within a minute, or immediately after SIGHUP; each run reads all other
    files again.
    """
    from heap_courier.couriers.work_plan import problems_of  # noqa: PLC0415  (what reads files takes long to import)
    from heap_courier.groups.group_metrics import GroupMetrics  # noqa: PLC0415  (for this command alone)
    from heap_courier.groups.health import Health, health_served  # noqa: PLC0415
    from heap_courier.groups.presence import present  # noqa: PLC0415
    from heap_courier.notices.metrics import Metrics  # noqa: PLC0415

    with ExitStack() as stack:
        silent = stack.enter_context(opened(folder))
        replaced = stack.enter_context(reporting_until_replaced())
        hold = stack.enter_context(present(folder, silent.now()))
        stop, health, watch = threading.Event(), Health(), ProjectWatch(folder)
        metrics, schedules = Metrics(), GroupMetrics(silent.now)
        metrics.registry.register(schedules)
        LOG.listeners[:] = [metrics, schedules]
        context = replaced(silent)
        current = [context]
        _follow(schedules, context)

        def changed(asked: bool) -> scheduler.Change | None:  # noqa: FBT001  (whether by SIGHUP)
            hold()
            if not (watch.has_changed() or asked):
                return None
            try:
                project = read_project(folder)
            except CourierError as error:
                text = f"The changed project is not valid, so the previous settings stay in effect. {error}"
                LOG(trouble(text, "reload-failed"))
                return None
            if asked:
                for problem in problems_of(project):
                    LOG(trouble(problem, "reload-warning"))
            LOG(note("Reloaded the project.", "reloaded"))
            context = replaced(replace(silent, project=project))
            current[:] = [context]
            _follow(schedules, context)
            return project.groups.values(), _group_context(context, stop)

        if health_port is not None:
            address = stack.enter_context(health_served(health_host, health_port, health, metrics.exposed))
            LOG(note(f"Serving {address}/health and {address}/metrics.", "health-served"))
        stack.enter_context(_pruned_daily(lambda: current[-1], stop))
        groups_now = context.project.groups.values()
        scheduler.serve(groups_now, _group_context(context, stop), stop, changed, health, wait=wait)


@contextmanager
def _pruned_daily(current: Callable[[], Context], stop: threading.Event) -> Iterator[None]:
    """Removes expired data at the start and once a day; retries after an hour if it fails."""

    def keep() -> None:
        pause = 0.0
        while not stop.wait(pause):
            pause = 86_400.0 if _pruned(current()) else 3_600.0

    thread = threading.Thread(target=keep, name="retention", daemon=True)
    thread.start()
    yield
    if stop.is_set():
        thread.join()


def _pruned(context: Context) -> bool:
    from heap_courier.retention import prune  # noqa: PLC0415  (what reads feeds takes long to import)

    try:
        found = prune(context)
    except CourierError as error:
        LOG(trouble(f"Could not remove expired data: {error}", "retention-failed"))
        return False
    except Exception as error:  # noqa: BLE001  (the daemon works without it)
        LOG(trouble(f"Could not remove expired data: {internal_error(error)}", "retention-failed"))
        return False
    if found:
        LOG(note(f"Removed expired data: {found}.", "retention"))
    return True


def _follow(schedules: GroupMetrics, context: Context) -> None:
    schedules.follow(context.project.groups.values())
    with suppress(CourierError), context.warehouse(patience=1) as warehouse:
        slots.prepare(warehouse)
        schedules.seed(slots.last_successes(warehouse))


@group.command(name="runs")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of runs to list.")
@click.pass_obj
def group_runs(folder: Path, name: str, limit: int) -> None:
    """List the runs of a group and their outcomes, newest first."""
    with opened(folder) as context, context.warehouse() as warehouse:
        slots.prepare(warehouse)
        rows = []
        for each in slots.history(warehouse, context.group(name).name, limit):
            who = "by hand" if each.attempt else "schedule"
            outcome = ending(each.outcome or "running", each.message)
            rows.append([instant(each.slot), who, instant(each.started), took(each.started, each.ended), outcome])
    if rows:
        print_table(["slot (UTC)", "by", "started", "took", "outcome"], rows)
    else:
        say(f"The group `{name}` has not run yet.")


class _Terminal(Audience):
    """Prints what runs of groups did, one after another."""

    def __init__(self) -> None:
        self._printing = threading.Lock()

    def loaded(self, courier: str, result: RunResult) -> None:
        if LOG.is_json:
            return
        with self._printing:
            say(f"Courier `{courier}`, run {result.run.id}:")
            print_result(result)
            sys.stdout.flush()

    def stitched(self, result: StitchResult, seconds: float) -> None:
        if LOG.is_json:
            text = "\n".join([f"Stitch linked {result.summary.records:,} records.", *result.notices])
            LOG(Notice("note", "stitched", text, details={"seconds": round(seconds, 3)}))
            return
        with self._printing:
            say("Stitch:")
            print_stitched(result, seconds)
            sys.stdout.flush()

    def published(self, tables: Sequence[Published]) -> None:
        with self._printing:
            print_changed(tables)
            sys.stdout.flush()

    def heard(self, notice: Notice) -> None:
        LOG(notice)


def _group_context(context: Context, stop: threading.Event) -> groups.GroupContext:
    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise InterruptedRunError("Stopped on request.")

    return group_context(context, _Terminal(), pause)


def _end(group: Group, result: GroupResult) -> None:
    if result.message and result.outcome != "failed":  # already reported by a notification
        say_lines(result.message)
    say(f"Group `{group.name}` {result.outcome}.")


def _unless_printed(notice: Notice) -> bool:
    """Whether to log a notice of a manual run: its progress and its outcome are printed."""
    return LOG.is_json or notice.event not in ("group-started", "group-succeeded", "group-interrupted")
