"""Commands of Stitch: `stitch check`, `run`, `explain`, `label`, `report`, `train`, `export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heap_courier.cli.log import reporting
from heap_courier.cli.printing import print_changed, print_stitched
from heap_courier.cli.terminal import print_table, say
from heap_courier.couriers.context import Context, opened

if TYPE_CHECKING:
    from heap_courier.stitch.customer import Link
    from heap_courier.stitch.explain import Explanation
    from heap_courier.stitch.run import StitchContext


class _Stitch(click.Group):
    """Commands that need the extra `stitch`, and report if it is not installed."""

    def invoke(self, ctx: click.Context) -> object:
        from heap_courier.stitch.extra import require_extra  # noqa: PLC0415  (other commands do not need the package)

        require_extra()
        return super().invoke(ctx)


@click.group(cls=_Stitch)
def stitch() -> None:
    """Stitch: link each customer's records across all feeds."""


@stitch.command(name="check", short_help="Show which feeds take part, and what is missing.")
@click.pass_obj
def check_stitch(folder: Path) -> None:
    """Show which feeds take part, the semantic tags of each, and what is missing for a good result."""
    from heap_courier.feeds.reader import read_feeds  # noqa: PLC0415  (linking records is slow to import)
    from heap_courier.stitch.check import check  # noqa: PLC0415

    with opened(folder) as context, context.warehouse() as warehouse:
        checked = check(warehouse, read_feeds(context.project.feeds))
    print_table(
        ["domain table", "records", "keys", "profile"],
        [[each.table, each.records, ", ".join(each.keys), ", ".join(each.profile)] for each in checked.inputs],
    )
    for advice in checked.advice:
        say(advice)


@stitch.command(name="run", short_help="Link the records of all feeds that take part.")
@click.option(
    "--scores",
    type=click.Path(exists=True, path_type=Path),
    help="Use the scores that Spark computed from `stitch export`, instead of comparing records here.",
)
@click.pass_obj
def run_stitch(folder: Path, scores: Path | None) -> None:
    """Link the records of all feeds that take part, and write the tables of customers."""
    from heap_courier.delta.after_runs import publish_after_run  # noqa: PLC0415
    from heap_courier.stitch.run import stitch as run  # noqa: PLC0415

    with opened(folder) as silent, reporting(silent) as context:
        started = context.now()
        result = run(_context(context), scores)
        print_stitched(result, (context.now() - started).total_seconds())
        afterwards = publish_after_run(context, "Stitch")
    print_changed(*afterwards)
    if afterwards.failure:
        sys.exit(1)


@stitch.command(name="explain", short_help="Explain why records are or are not one customer.")
@click.argument("first")
@click.argument("second", required=False)
@click.option(
    "--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Also write a diagram to this HTML file."
)
@click.pass_obj
def explain_records(folder: Path, first: str, second: str | None, page: Path | None) -> None:
    """Explain why the records FIRST and SECOND are or are not one customer, or what links the customer FIRST.

    Write a record as TABLE/KEY, such as CRM:Customers/1001, and a customer as its id.
    """
    from heap_courier.stitch.picture import picture  # noqa: PLC0415  (as above)
    from heap_courier.stitch.run import explained  # noqa: PLC0415

    with opened(folder) as context:
        explanation = explained(_context(context), first, second)
    print_explanation(explanation)
    if page:
        page.write_text(picture(explanation), encoding="utf-8")
        say(f"Wrote {page}")


@stitch.command(name="report", short_help="Show quality benchmarks, and customers to review.")
@click.pass_obj
def report_quality(folder: Path) -> None:
    """Show quality benchmarks, and the customers most worth reviewing."""
    from heap_courier.stitch.report import report  # noqa: PLC0415  (as above)

    with opened(folder) as context, context.warehouse(read_only=True) as warehouse:
        found = report(warehouse)
    rows = []
    for each in found.benchmarks:
        best = "" if each.best is None else f"at most {each.best:.3%}"
        rows.append([each.name, f"{each.share:.3%}", best])
    print_table(["share of", "result", "best range"], rows)
    if found.suspects:
        say("")
        print_table(
            ["customer", "records", "given names", "surnames", "postal codes", ""],
            [[*each[:5], "supersized" if each.supersized else ""] for each in found.suspects],
        )
        say(f"Next: heap-courier stitch explain {found.suspects[0].customer_id}")


@stitch.command(name="train", short_help="Train the model on this project's records.")
@click.option(
    "--no-relatives",
    is_flag=True,
    help="Assume that no customers are relatives in one household (refused if the records show otherwise): records can "
    "then be one customer although their given names or birthdates differ.",
)
@click.pass_obj
def train_model(folder: Path, *, no_relatives: bool) -> None:
    """Estimate the weights of all fields from this project's records, and write them to stitch/model.json."""
    from heap_courier.stitch.run import trained  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        path = trained(_context(context), relatives=not no_relatives)
    say(f"Wrote {path}: the next run uses it. To use the shipped model again, remove the file.")


@stitch.command(name="export", short_help="Export the records for scoring on Spark.")
@click.argument("target", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def export_for_spark(folder: Path, target: Path) -> None:
    """Write what Spark needs to score the records to FOLDER: model, SQL of the inputs, records, script."""
    from heap_courier.stitch.run import exported  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        for path in exported(_context(context), target):
            say(f"Wrote {path}")
    say(
        f"Next: `spark-submit score_on_spark.py` in {target}, then `heap-courier stitch run --scores "
        f"{target / 'scored.parquet'}`"
    )


def _context(context: Context) -> StitchContext:
    from heap_courier.stitch.run import StitchContext  # noqa: PLC0415  (as above)

    return StitchContext(context.project, context.warehouse, context.now, context.bar)


def print_explanation(explanation: Explanation) -> None:
    """Links and their evidence, one per line; never what records contain."""
    from heap_courier.stitch.customer import name_of  # noqa: PLC0415  (as above)
    from heap_courier.stitch.explain import bits_in_words  # noqa: PLC0415  (as above)

    if len(explanation.customers) == 1:
        count = len(explanation.records)
        say(f"Customer {explanation.customers[0]}, {count:,} record{'' if count == 1 else 's'}")
    else:
        say(f"Two customers: {' and '.join(explanation.customers)}")
    links = {(link.first, link.second) for link in (*explanation.path, *explanation.refused)}
    rows = [_row(explanation, link) for link in explanation.path]
    if rows:
        print_table(["from", "to", "evidence", "score", "bits"], rows)
    for pair in explanation.weights:
        if pair not in links:
            say(f"{name_of(pair[0])} and {name_of(pair[1])} compared: {bits_in_words(explanation, pair)}")
    if explanation.refused:
        say("Kept apart:")
        print_table(
            ["from", "to", "evidence", "score", "bits", "why"],
            [[*_row(explanation, link), link.apart] for link in explanation.refused],
        )


def _row(explanation: Explanation, link: Link) -> list[str | int | None]:
    from heap_courier.stitch.customer import name_of  # noqa: PLC0415  (as above)
    from heap_courier.stitch.explain import SCORING, bits_in_words  # noqa: PLC0415  (as above)

    bits = bits_in_words(explanation, (link.first, link.second)) if link.evidence == SCORING else ""
    return [name_of(link.first), name_of(link.second), link.evidence, round(link.score), bits]


@stitch.command(name="label", short_help="Import decisions about which records are one customer.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def label_records(folder: Path, file: Path) -> None:
    """Import decisions from FILE about which records are one customer and which are not.

    FILE is a CSV with the columns row_id,label_id,partition_id,datasource,semantic,value. Records with the same label
    and partition are one customer; different partitions of a label are different customers. From the next run on,
    labels override all other evidence.
    """
    from heap_courier.stitch.labels import read_labels, store_labels  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        labels = read_labels(file)
        with context.warehouse() as warehouse:
            new, there = store_labels(warehouse, labels)
    say(f"{new:,} of {len(labels):,} labels are new; there are {there:,} now. Next: heap-courier stitch run")
