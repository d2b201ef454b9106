"""Commands of couriers: `check`, `sample`, `run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from heap_courier.cli.groups import print_warnings
from heap_courier.cli.tables import print_tables
from heap_courier.cli.terminal import instant, print_table, size
from heap_courier.couriers.context import Context, opened
from heap_courier.couriers.run import Report, check_courier, run_courier, sample_courier
from heap_courier.documents.wording import duration
from heap_courier.errors import CourierError, MissingFilesError
from heap_courier.files.days import Days
from heap_courier.files.fileset import FetchedFile
from heap_courier.project.model import Courier

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("courier", required=False)
@click.pass_obj
def check(folder: Path, courier: str | None) -> None:
    """Check the bucket, the credential, the files of the project and the feeds of COURIER, or of all."""
    with opened(folder) as context:
        couriers = [context.courier(courier)] if courier else context.project.couriers.values()
        good = [_is_good(context, each) for each in couriers]
        print_warnings(context)
    if not all(good):
        sys.exit(1)


def _is_good(context: Context, courier: Courier) -> bool:
    try:
        click.echo(f"{courier.name}: good. {check_courier(context, courier)}")
    except CourierError as error:
        click.echo(f"{courier.name}: {error}")
        return False
    return True


@click.command()
@click.argument("courier")
@click.option("--day", type=DAY, metavar="DAY", help="The day of the files, such as 2026-11-21; else today (UTC).")
@click.pass_obj
def sample(folder: Path, courier: str, day: datetime | None) -> None:
    """Bring files of COURIER and keep them as samples, without loading them."""
    with opened(folder) as context:
        days = Days.of((day or context.now()).date())
        files = sample_courier(context, context.courier(courier), days)
    print_samples(files)


@click.command()
@click.argument("courier")
@click.option("--day", type=DAY, metavar="DAY", help="A day, such as 2026-11-21.")
@click.option("--from", "start", type=DAY, metavar="DAY", help="The first day.")
@click.option("--to", "end", type=DAY, metavar="DAY", help="The day after the last one.")
@click.option("--all", "everything", is_flag=True, help="All days that there are.")
@click.option("--skip-missing", is_flag=True, help="Go on without required files that are missing.")
@click.pass_obj
def run(folder: Path, /, courier: str, *, skip_missing: bool, **days: Any) -> None:
    """Run COURIER: bring its files and land them in their domain tables.

    Which files is said by --day, by --from with --to, or by --all. A courier that follows Heap Connect needs none of
    them: it brings what is new.
    """
    with opened(folder) as context:
        chosen = context.courier(courier)
        if chosen.operations is None and any(days.values()):
            raise click.UsageError(
                f"The courier `{chosen.name}` has no `load-operations`, so it follows Heap Connect and brings what is "
                "new: leave the days out."
            )
        selected = _days(**days) if chosen.operations else None
        try:
            report = run_courier(context, chosen, selected, skip_missing=skip_missing)
        except MissingFilesError as error:
            remedy = " Or go on without, by --skip-missing." if chosen.operations is not None else ""
            raise MissingFilesError(f"{error}{remedy}") from None
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


def print_report(report: Report) -> None:
    """How a run ended."""
    if report.samples:
        print_samples(report.samples)
    if report.tables:
        print_tables(report.tables)
    elif not report.samples:
        click.echo("There was nothing new.")
    for notice in report.notices:
        click.echo(notice.replace(" RUN`", f" {report.run.id}`"))
    click.echo(f"{'Failed' if report.failed else 'Completed'} in {duration(report.seconds)}")


def print_samples(files: Sequence[FetchedFile]) -> None:
    """Fetched files, newest first, and what to do with them."""
    rows = [[instant(file.modified), size(file.size), _shown(file.path)] for file in files]
    print_table(["changed (UTC)", "size", "sample"], rows)
    if files:
        click.echo(f"Next: heap-courier feed add SOURCE:NAME --sample {_shown(files[0].path)}")


def _shown(path: Path) -> str:
    """A path as a person in the current folder would type it."""
    return os.path.relpath(path)
