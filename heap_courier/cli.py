"""`heap-courier`: the way from a bucket to tables, a command for each step."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from heap_courier import activation, daemon, groups, samples, slots
from heap_courier.days import Days
from heap_courier.display import instant, print_table, progress_bar
from heap_courier.entities import CONTENT_TYPES, FileFormat
from heap_courier.errors import CourierError, FeedError, InterruptedRunError
from heap_courier.feed_files import read_feeds, write_feed
from heap_courier.feeds import Feed
from heap_courier.groups import End
from heap_courier.ledger import Ledger
from heap_courier.listings import (
    print_domain_table,
    print_domain_tables,
    print_feed,
    print_feeds,
    print_rejected,
    print_report,
    print_runs,
    print_samples,
    print_tables,
)
from heap_courier.notices import notifier
from heap_courier.project import Courier, Group
from heap_courier.project_file import named, read_project
from heap_courier.runs import WORKERS, Context, check_courier, run_courier, sample_courier
from heap_courier.scaffold import make_project
from heap_courier.schedule import warnings

DAY = click.DateTime(["%Y-%m-%d"])
SLOT = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])
FOLDER = click.Path(file_okay=False, path_type=Path)


def main() -> NoReturn:
    """Runs the command line. An error is a sentence and exit code 1; after Ctrl-C it is 130, after SIGTERM 143."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CourierError as error:
        click.echo(f"Error: {error}" if "\n" not in str(error) else str(error), err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: what had landed has landed, the rest comes with the next run.", err=True)
        sys.exit(128 + signal.SIGINT)
    sys.exit(0)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    click.echo("Terminated: what had landed has landed, the rest comes with the next run.", err=True)
    sys.exit(128 + signal.SIGTERM)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--project", "folder", type=FOLDER, default=Path(), help="The project's folder; else the current one.")
@click.pass_context
def cli(context: click.Context, folder: Path) -> None:
    """Pulls Heap's exports (Heap Connect for S3) into tables."""
    context.obj = folder


@cli.command()
@click.argument("folder", type=FOLDER, default=Path())
def init(folder: Path) -> None:
    """Make a project in FOLDER: heap-courier.yaml, entities, load operations."""
    for path in make_project(folder):
        click.echo(f"Wrote {path}")
    click.echo("Next: name your bucket in heap-courier.yaml, then `heap-courier check`.")


@cli.command()
@click.argument("courier", required=False)
@click.pass_obj
def check(folder: Path, courier: str | None) -> None:
    """Check the bucket, the credential, the files of the project and the feeds of COURIER, or of all."""
    with _context(folder) as context:
        couriers = [_courier(context, courier)] if courier else context.project.couriers.values()
        good = [_is_good(context, each) for each in couriers]
        _print_warnings(context)
    if not all(good):
        sys.exit(1)


def _is_good(context: Context, courier: Courier) -> bool:
    try:
        click.echo(f"{courier.name}: good. {check_courier(context, courier)}")
    except CourierError as error:
        click.echo(f"{courier.name}: {error}")
        return False
    return True


@cli.command()
@click.argument("courier")
@click.option("--day", type=DAY, help="The day of the files, such as 2026-11-21; else today (UTC).")
@click.pass_obj
def sample(folder: Path, courier: str, day: datetime | None) -> None:
    """Bring files of COURIER and keep them as samples, without loading them."""
    with _context(folder) as context:
        days = Days.of((day or context.now()).date())
        print_samples(sample_courier(context, _courier(context, courier), days))


@cli.group()
def feed() -> None:
    """Feeds: how the rows of a file become rows of a domain table."""


@feed.command(name="add")
@click.argument("name", metavar="SOURCE:NAME")
@click.option("--sample", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A file.")
@click.option("--content-type", type=click.Choice(CONTENT_TYPES), help="Of the file; else what its name says.")
@click.option("--header-rows", type=click.IntRange(0, 1), default=1, help="0 where the first line is data already.")
@click.option("--separator", help="Between the values of a line.")
@click.option("--quote", help="Around values.")
@click.option("--escape", help="Before a sign that is meant as it is.")
@click.pass_obj
def add_feed(folder: Path, /, name: str, path: Path, content_type: str | None, **signs: Any) -> None:
    """Propose a feed from a sample and write it into a file to be edited."""
    with _context(folder) as context:
        given = FileFormat(content_type, **signs) if content_type else None
        proposed = samples.propose_feed(context.project, name, samples.sample_of(context.project, path, given))
        written = samples.path_of(context.project, proposed)
        write_feed(proposed, written)
    print_feed(proposed)
    click.echo(f"Wrote {written}: edit it, then `heap-courier feed activate {proposed.domain_table}`.")


@feed.command(name="activate")
@click.argument("name", metavar="SOURCE:NAME")
@click.option("--no-sample", is_flag=True, help="Make the domain table and leave it empty.")
@click.option("--truncate", is_flag=True, help="Empty the domain table first: for another primary key or type.")
@click.pass_obj
def activate_feed(folder: Path, name: str, *, no_sample: bool, truncate: bool) -> None:
    """Validate a feed, make its domain table, load the sample and show it."""
    with _context(folder) as context:
        chosen = _feed(context, name)
        file = None if no_sample else samples.file_of(context.project, chosen)
        with context.warehouse() as warehouse:
            activation.activate(warehouse, chosen, file, now=context.now(), truncate=truncate, workers=WORKERS)
            click.echo(f"The feed {chosen.domain_table} is active. Load operations call it {chosen.id}.")
            if file:
                print_domain_table(warehouse, chosen.domain_table, limit=10)


@feed.command(name="list")
@click.pass_obj
def list_feeds(folder: Path) -> None:
    """List the feeds, with their ids and whether they are active."""
    with _context(folder) as context:
        feeds = read_feeds(context.project.feeds)
        with context.warehouse() as warehouse:
            ledger = Ledger(warehouse)
            ledger.make()
            print_feeds(feeds, [each.id for each in feeds if activation.is_active(ledger, each)])


@feed.command(name="show")
@click.argument("name", metavar="SOURCE:NAME")
@click.pass_obj
def show_feed(folder: Path, name: str) -> None:
    """Show the fields of a feed with their semantic tags."""
    with _context(folder) as context:
        print_feed(_feed(context, name))


@cli.command()
@click.argument("courier")
@click.option("--day", type=DAY, help="A day, such as 2026-11-21.")
@click.option("--from", "start", type=DAY, help="The first day.")
@click.option("--to", "end", type=DAY, help="The day after the last one.")
@click.option("--all", "everything", is_flag=True, help="All days that there are.")
@click.option("--skip-missing", is_flag=True, help="Go on without required files that are missing.")
@click.pass_obj
def run(folder: Path, /, courier: str, *, skip_missing: bool, **days: Any) -> None:
    """Run COURIER: bring its files and land them in their domain tables.

    Which files is said by --day, by --from with --to, or by --all. A courier that follows Heap Connect needs none of
    them: it brings what is new.
    """
    with _context(folder) as context:
        chosen = _courier(context, courier)
        selected = None if chosen.operations is None else _days(**days)
        report = run_courier(context, chosen, selected, skip_missing=skip_missing)
        print_report(report)
    if report.failed:
        sys.exit(1)


def _days(*, day: datetime | None, start: datetime | None, end: datetime | None, everything: bool) -> Days | None:
    if [day is not None, start is not None or end is not None, everything].count(True) != 1:
        raise click.UsageError("Say which files to bring by one of --day, --from with --to, or --all.")
    if everything:
        return None
    if day:
        return Days.of(day.date())
    if not (start and end and start < end):
        raise click.UsageError(
            "--from is the first day, --to the day after the last one: give both, the earlier first."
        )
    return Days(start.date(), end.date())


@cli.group()
def group() -> None:
    """Courier groups: couriers that run together, by hand or on a schedule."""


@group.command(name="list")
@click.pass_obj
def list_groups(folder: Path) -> None:
    """List the groups, and when each runs next."""
    with _context(folder) as context:
        now = context.now()
        rows = []
        for each in context.project.groups.values():
            next_run = daemon.upcoming(each, now)
            local = f"{next_run.astimezone(each.time_zone):%Y-%m-%d %H:%M} {each.time_zone.key}" if next_run else ""
            names = ", ".join(courier.courier for courier in each.couriers)
            rows.append([each.name, names, each.schedule, "enabled" if each.enabled else "disabled", local])
        print_table(["group", "couriers", "schedule", "status", "next run"], rows)
        _print_warnings(context)


@group.command(name="run")
@click.argument("name")
@click.option("--slot", type=SLOT, help="The scheduled instant that it stands for, in UTC: 2026-11-21T08:30.")
@click.pass_obj
def run_group(folder: Path, name: str, slot: datetime | None) -> None:
    """Run the group NAME now, enabled or not."""
    with _context(folder) as context, _stoppable() as stop:
        chosen = _named_group(context, name)
        ended = groups.run_by_hand(chosen, _means(context, stop), slot and slot.replace(tzinfo=timezone.utc))
    _end(chosen, ended)


@group.command(name="serve")
@click.pass_obj
def serve_groups(folder: Path) -> None:
    """Run the enabled groups at their times, until ended by Ctrl-C or SIGTERM."""
    with _context(folder) as context:
        stop = threading.Event()
        daemon.serve(context.project.groups.values(), _means(context, stop), stop, _say)


@group.command(name="runs")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1), default=20)
@click.pass_obj
def group_runs(folder: Path, name: str, limit: int) -> None:
    """List what became of the runs of a group, newest first."""
    with _context(folder) as context, context.warehouse() as warehouse:
        slots.prepare(warehouse)
        rows = []
        for each in slots.history(warehouse, _named_group(context, name).name, limit):
            who = "by hand" if each.attempt else "schedule"
            instants = [instant(when) for when in (each.started, each.ended)]
            rows.append([instant(each.slot), who, *instants, each.outcome or "running", each.message])
    print_table(["slot (UTC)", "by", "started", "ended", "outcome", "message"], rows)


@cli.command()
@click.pass_obj
def tables(folder: Path) -> None:
    """List the domain tables."""
    with _context(folder) as context, context.warehouse(read_only=True) as warehouse:
        print_domain_tables(warehouse)


@cli.command()
@click.argument("table")
@click.option("--limit", type=click.IntRange(1), default=20, help="So many rows.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each row.")
@click.pass_obj
def show(folder: Path, table: str, limit: int, *, as_json: bool) -> None:
    """Show rows of a domain table, such as "Heap:Users"."""
    with _context(folder) as context, context.warehouse(read_only=True) as warehouse:
        print_domain_table(warehouse, table, limit, as_json=as_json)


@cli.command()
@click.argument("run_id", required=False, metavar="[RUN]")
@click.option("--limit", type=click.IntRange(1), default=20, help="So many runs.")
@click.pass_obj
def runs(folder: Path, run_id: str | None, limit: int) -> None:
    """List the runs, newest first; of RUN the domain tables and the rejected rows."""
    with _context(folder) as context, context.warehouse() as warehouse:
        ledger = Ledger(warehouse)
        ledger.make()
        if run_id is None:
            print_runs(ledger.runs(limit))
            return
        print_tables(ledger.run_tables(run_id))
        if rejected := ledger.rejected(run_id):
            click.echo("")
            print_rejected(rejected)


@contextmanager
def _context(folder: Path) -> Iterator[Context]:
    with progress_bar() as bar:
        yield Context(read_project(folder), os.environ, lambda: datetime.now(timezone.utc), bar)


def _courier(context: Context, name: str) -> Courier:
    courier: Courier = named(context.project.couriers, name, "heap-courier.yaml", "courier")
    return courier


def _named_group(context: Context, name: str) -> Group:
    chosen: Group = named(context.project.groups, name, "heap-courier.yaml", "group")
    return chosen


def _feed(context: Context, name: str) -> Feed:
    feeds = read_feeds(context.project.feeds)
    by_name = {feed.domain_table.lower(): feed for feed in feeds} | {feed.id: feed for feed in feeds}
    chosen: Feed = named(by_name, name if name in by_name else name.lower(), "The project", "feed")
    return chosen


def _means(context: Context, stop: threading.Event) -> groups.Means:
    def bring(name: str, days: Days, skip_missing: bool) -> None:  # noqa: FBT001  (as groups call it)
        report = run_courier(context, context.project.couriers[name], days, skip_missing=skip_missing)
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


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM."""
    stop = threading.Event()
    yield stop


def _end(group: Group, ended: End) -> None:
    if ended.message:
        click.echo(ended.message)
    click.echo(f"Group `{group.name}` {ended.outcome}.")
    if ended.outcome != "succeeded":
        sys.exit(1)


def _print_warnings(context: Context) -> None:
    for each in context.project.groups.values():
        for sentence in warnings(each.schedule, each.time_zone, context.now()) if each.schedule else ():
            click.echo(f"{each.name}: {sentence}")


def _say(sentence: str) -> None:
    click.echo(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} {sentence}", err=True)
