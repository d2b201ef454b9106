"""Commands of courier groups: `group list`, `run`, `serve`, `runs`."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import click

from heap_courier.cli.terminal import ending, instant, print_table, took
from heap_courier.couriers.context import Context, opened
from heap_courier.couriers.run import run_courier
from heap_courier.errors import FeedError, InterruptedRunError
from heap_courier.files.days import Days
from heap_courier.groups import run as groups
from heap_courier.groups import scheduler as daemon
from heap_courier.groups import slots
from heap_courier.groups.notifications import notifier
from heap_courier.groups.run import End
from heap_courier.progress import NoBar
from heap_courier.project.cron import warnings
from heap_courier.project.model import Group
from heap_courier.signals import ended_by_signals

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
            next_run = daemon.upcoming(each, now)
            local = f"{next_run.astimezone(each.time_zone):%Y-%m-%d %H:%M} {each.time_zone.key}" if next_run else ""
            names = ", ".join(courier.courier for courier in each.couriers)
            rows.append([each.name, names, each.schedule, "enabled" if each.enabled else "disabled", local])
        print_table(["group", "couriers", "schedule", "status", "next run"], rows)
        print_warnings(context)


@group.command(name="run")
@click.argument("name")
@click.option(
    "--slot", type=SLOT, metavar="INSTANT", help="The scheduled instant that it stands for, in UTC: 2026-11-21T08:30."
)
@click.option("--skip-missing", is_flag=True, help="Go on at once without files that are missing.")
@click.pass_obj
def run_group(folder: Path, name: str, slot: datetime | None, *, skip_missing: bool) -> None:
    """Run the group NAME now, enabled or not."""
    stop = threading.Event()
    with opened(folder) as context, ended_by_signals(stop, _say) as came:
        chosen = context.group(name)
        at = slot and slot.replace(tzinfo=timezone.utc)
        ended = groups.run_by_hand(chosen, _means(context, stop), at, skip_missing=skip_missing)
    _end(chosen, ended)
    if came:
        sys.exit(128 + came[0])
    if ended.outcome != "succeeded":
        sys.exit(1)


@group.command(name="serve", short_help="Run the enabled groups at their times.")
@click.pass_obj
def serve_groups(folder: Path) -> None:
    """Run the enabled groups at their times, until ended by Ctrl-C or SIGTERM."""
    with opened(folder) as context:
        stop = threading.Event()
        daemon.serve(context.project.groups.values(), _means(context, stop), stop, _say)


@group.command(name="runs")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many runs.")
@click.pass_obj
def group_runs(folder: Path, name: str, limit: int) -> None:
    """List what became of the runs of a group, newest first."""
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
        click.echo(f"The group `{name}` has not run yet.")


def _means(context: Context, stop: threading.Event) -> groups.Means:
    silent = replace(context, bar=NoBar())  # couriers run side by side, and a terminal has one bar

    def bring(name: str, days: Days, skip_missing: bool) -> None:  # noqa: FBT001  (as groups call it)
        report = run_courier(silent, context.project.couriers[name], days, skip_missing=skip_missing)
        if report.failed:
            raise FeedError("; ".join(f"{table.domain_table} did not land: {table.message}" for table in report.failed))

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise InterruptedRunError("It was asked to end.")

    return groups.Means(
        run_courier=bring,
        open_warehouse=context.warehouse,
        notify=notifier(context.project.notify, _say),
        now=context.now,
        pause=pause,
    )


def _end(group: Group, ended: End) -> None:
    if ended.message and ended.outcome != "failed":  # which was notified, and so said
        click.echo(ended.message)
    click.echo(f"Group `{group.name}` {ended.outcome}.")


def print_warnings(context: Context) -> None:
    """What to know of schedules that clocks being changed upsets."""
    for each in context.project.groups.values():
        for sentence in warnings(each.schedule, each.time_zone, context.now()) if each.schedule else ():
            click.echo(f"{each.name}: {sentence}")


def _say(sentence: str) -> None:
    click.echo(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} {sentence}", err=True)
