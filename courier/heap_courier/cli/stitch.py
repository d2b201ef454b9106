"""Commands of Stitch: `stitch check`, `run`, `label`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from heap_courier.cli.terminal import print_table, say
from heap_courier.couriers.context import Context, opened
from heap_courier.documents.wording import duration
from heap_courier.errors import SetupError

if TYPE_CHECKING:
    from heap_courier.stitch.run import Means, Report

_EXTRA: Final = ("splink", "anyascii")


class _Stitch(click.Group):
    """Commands that need the extra, and say so."""

    def invoke(self, ctx: click.Context) -> object:
        if missing := [name for name in _EXTRA if find_spec(name) is None]:
            raise SetupError(
                f"Stitch needs the Python package `{missing[0]}`: install the extra with "
                "`pip install './courier[stitch]'` in the checkout."
            )
        return super().invoke(ctx)


@click.group(cls=_Stitch)
def stitch() -> None:
    """Stitch: one customer across all feeds."""


@stitch.command(name="check")
@click.pass_obj
def check_stitch(folder: Path) -> None:
    """Show which feeds take part, which semantic tags each has, and what a good result still needs."""
    from heap_courier.feeds.reader import read_feeds  # noqa: PLC0415  (what links records takes long to import)
    from heap_courier.stitch.check import check  # noqa: PLC0415

    with opened(folder) as context, context.warehouse() as warehouse:
        checked = check(warehouse, read_feeds(context.project.feeds))
    print_table(
        ["takes part", "records", "keys", "profile"],
        [[each.table, each.records, ", ".join(each.keys), ", ".join(each.profile)] for each in checked.inputs],
    )
    for advice in checked.advice:
        say(advice)


@stitch.command(name="run")
@click.pass_obj
def run_stitch(folder: Path) -> None:
    """Link the records of all feeds that take part, and write the tables of customers."""
    from heap_courier.stitch.run import stitch as run  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        started = context.now()
        report = run(means(context))
        seconds = (context.now() - started).total_seconds()
    print_stitched(report)
    say(f"Completed in {duration(seconds)}")


@stitch.command(name="label")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def label_records(folder: Path, file: Path) -> None:
    """Take the decisions in FILE: which records are one customer, and which are not.

    FILE is a CSV with row_id,label_id,partition_id,datasource,semantic,value. Records with the same label and
    partition are one customer, other partitions of the label are others. Labels win over all other evidence, from
    the next run on.
    """
    from heap_courier.stitch.labels import read_labels, store_labels  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        labels = read_labels(file)
        with context.warehouse() as warehouse:
            new, there = store_labels(warehouse, labels)
    say(f"{new:,} of {len(labels):,} labels are new; there are {there:,} now. Next: heap-courier stitch run")


def means(context: Context) -> Means:
    """What a run of Stitch works with."""
    from heap_courier.stitch.run import Means  # noqa: PLC0415  (as above)

    return Means(context.project, context.warehouse, context.now, context.bar)


def print_stitched(report: Report) -> None:
    """A run of Stitch in numbers."""
    summary = report.summary
    print_table(
        ["records", "customers", "new", "updated", "merged", "split", "deleted", "unchanged", "suspicious"],
        [
            [
                summary.records,
                summary.customers,
                summary.new,
                summary.updated,
                summary.merged,
                summary.split,
                summary.deleted,
                summary.unchanged,
                summary.suspicious,
            ]
        ],
    )
    for notice in report.notices:
        say(notice)
