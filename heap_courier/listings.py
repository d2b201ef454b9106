"""What the commands print: feeds, runs, samples, rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import orjson

from heap_courier.display import duration, instant, print_rows, print_table, size
from heap_courier.feeds import Feed
from heap_courier.filesets import FetchedFile
from heap_courier.ledger import Rejected, Run, TableRun
from heap_courier.project_file import named
from heap_courier.runs import Report
from heap_courier.warehouse import Warehouse, quoted


def print_domain_tables(warehouse: Warehouse) -> None:
    """All domain tables and views, with their sizes."""
    rows = []
    for name in warehouse.domain_tables():
        count = warehouse.query(f"SELECT count(*) FROM {quoted(name)}")[0][0]
        rows.append([name, count, len(warehouse.columns(name))])
    print_table(["domain table", "rows", "columns"], rows)


def print_domain_table(warehouse: Warehouse, table: str, limit: int, *, as_json: bool = False) -> None:
    """Rows of a domain table, whose name may be written in any case.

    Raises:
        SetupError: there is no such table.
    """
    there = {name.lower(): name for name in warehouse.domain_tables()}
    name = table if table in there.values() else named(there, table.lower(), "The warehouse", "domain table")
    columns = list(warehouse.columns(name))
    rows = warehouse.query(f"SELECT * FROM {quoted(name)} LIMIT {limit:d}")
    if not as_json:
        print_rows(columns, rows)
        return
    for row in rows:
        click.echo(orjson.dumps(dict(zip(columns, row, strict=True)), default=str))


def print_samples(files: Sequence[FetchedFile]) -> None:
    """Fetched files, newest first, and what to do with them."""
    rows = [[instant(file.modified), size(file.size), _shown(file.path)] for file in files]
    print_table(["changed (UTC)", "size", "sample"], rows)
    if files:
        click.echo(f"Next: heap-courier feed add SOURCE:NAME --sample {_shown(files[0].path)}")


def print_feed(feed: Feed) -> None:
    """A feed with its fields and their semantic tags."""
    click.echo(f"Feed {feed.domain_table}, id {feed.id}")
    rows = []
    for field in feed.fields:
        roles = ["primary key"] * (field.name in feed.primary_key) + ["last updated"] * (
            field.name == feed.last_updated
        )
        rows.append([field.name, str(field.type), field.source, field.tag, ", ".join(roles)])
    print_table(["field", "type", "incoming", "tag", ""], rows)
    if feed.last_updated is None:
        click.echo("Last updated: generated (`_updated`, when the row was ingested).")
    stitch = "yes" if feed.stitch else "no"
    click.echo(f"Error threshold: {feed.error_threshold} %. Make available to Stitch: {stitch}.")


def print_feeds(feeds: Iterable[Feed], active: Iterable[str]) -> None:
    """The feeds; `active` are the ids of those that are."""
    active = set(active)
    rows = []
    for feed in feeds:
        status = "active" if feed.id in active else "not active"
        updated = feed.last_updated or "generated"
        rows.append(
            [feed.domain_table, feed.id, status, ", ".join(feed.primary_key), updated, str(feed.stitch).lower()]
        )
    print_table(["feed", "id", "status", "primary key", "last updated", "Stitch"], rows)


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


def print_tables(tables: Iterable[TableRun]) -> None:
    """What a run did to each domain table."""
    rows = []
    for table in tables:
        outcome = f"did not land: {table.message}" if table.message else "landed"
        counts = [table.files, table.rows, table.rejected, table.merged, table.stored]
        rows.append([table.domain_table, *counts, outcome])
    headings = ["domain table", "files", "rows read", "rejected", "added or changed", "rows now", "outcome"]
    print_table(headings, rows)


def print_runs(runs: Iterable[Run]) -> None:
    """Runs, a line each."""
    rows = [
        [run.id, run.courier, run.what, instant(run.started), instant(run.ended), run.outcome, run.message]
        for run in runs
    ]
    print_table(["run", "courier", "files", "started (UTC)", "ended", "outcome", "message"], rows)


def print_rejected(rejected: Iterable[tuple[str, Rejected]]) -> None:
    """Rejected rows: where they stand and why, never what they hold."""
    rows = [[table, each.file, each.row.row, each.row.column, each.row.reason] for table, each in rejected]
    print_table(["domain table", "file", "row", "column", "reason"], rows)


def _shown(path: Path) -> str:
    """A path as a person in the current folder would type it."""
    return os.path.relpath(path)
