"""Output that several commands share: runs, tables, samples, rejected rows, published tables, Stitch, warnings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from heap_courier.cli.log import LOG
from heap_courier.cli.terminal import ending, instant, print_rows, print_table, say, took
from heap_courier.documents.wording import duration, named, size
from heap_courier.notices.notice import Notice
from heap_courier.printable import printable_json
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted
from heap_courier.warehouse.run_log import Rejected, Run, TableRun

if TYPE_CHECKING:  # read-only commands do not import what reads files and buckets
    from heap_courier.couriers.context import Context
    from heap_courier.couriers.logged_run import RunResult
    from heap_courier.delta.publication import Published
    from heap_courier.files.fileset import FetchedFile
    from heap_courier.stitch.run import StitchResult


def print_result(result: RunResult) -> None:
    """The result of a courier's run."""
    if result.samples:
        print_samples(result.samples)
    if result.tables:
        print_tables(result.tables)
    elif not result.samples:
        say("There was nothing new.")
    for notice in result.notices:
        say(notice)
    say(f"{'Failed' if result.failed else 'Completed'} in {duration(result.seconds)}")


def print_samples(files: Sequence[FetchedFile]) -> None:
    """Fetched files, newest first, and what to do with them."""
    rows = [[instant(file.modified), size(file.size), _relative(file.path)] for file in files]
    print_table(["changed (UTC)", "size", "sample"], rows)
    if files:
        say(f"Next: heap-courier feed add SOURCE:NAME --sample {quote(_relative(files[0].path))}")


def print_tables(tables: Iterable[TableRun]) -> None:
    """What a run did to each domain table."""
    rows = []
    for table in tables:
        outcome = f"not loaded: {table.message}" if table.message else "loaded"
        counts = [table.files, table.rows, table.rejected, table.merged, table.stored]
        rows.append([table.domain_table, *counts, outcome])
    headings = ["domain table", "files", "rows read", "rejected", "added or changed", "rows now", "outcome"]
    print_table(headings, rows)


def print_runs(runs: Sequence[Run]) -> None:
    """Runs, one per line; the id of a run begins with its start time."""
    rows = [
        [run.id, run.courier, run.what, took(run.started, run.ended), ending(run.outcome, run.message)] for run in runs
    ]
    print_table(["run (UTC)", "courier", "files", "took", "outcome"], rows)


def print_rejected(rejected: Iterable[tuple[str, Rejected]]) -> None:
    """Rejected rows: where they are and why, never what they contain."""
    rows = [[table, each.file, each.row.row, each.row.column, each.row.reason] for table, each in rejected]
    print_table(["domain table", "file", "row", "column", "reason"], rows)


def print_domain_table(warehouse: Warehouse, table: str, limit: int, *, as_json: bool = False) -> None:
    """Rows of a domain table, whose name may be written in any case.

    Raises:
        SetupError: there is no such table.
    """
    there = {name.lower(): name for name in domain_tables(warehouse)}
    name = table if table in there.values() else named(there, table.lower(), "The warehouse", "domain table")
    columns = list(warehouse.columns(name))
    rows = warehouse.query(f"SELECT * FROM {quoted(name)} ORDER BY 1 LIMIT {limit:d}")
    if not as_json:
        print_rows(columns, rows)
        return
    import orjson  # noqa: PLC0415  (only needed here)

    for row in rows:
        line = orjson.dumps(dict(zip(columns, row, strict=True)), default=str).decode()
        click.echo(printable_json(line))


def print_warnings(context: Context) -> None:
    """Warnings about schedules that are affected when clocks change."""
    from heap_courier.project.cron import warnings  # noqa: PLC0415  (only if there is a schedule to look at)

    for each in context.project.groups.values():
        for sentence in warnings(each.schedule, each.time_zone, context.now()) if each.schedule else ():
            say(f"{each.name}: {sentence}")


def _relative(path: Path) -> str:
    """A path relative to the current folder."""
    return os.path.relpath(path)


def print_published(tables: Iterable[Published]) -> None:
    """What happened to each domain table."""
    rows: list[list[str | int | None]] = [
        [table.table, table.how, table.rows, table.version, table.address] for table in tables
    ]
    if not rows:
        say("There are no domain tables to publish yet.")
        return
    print_table(["domain table", "outcome", "rows written", "version", "address"], rows)
    for table in tables:
        if table.message:
            say(f"{table.table}: {table.message}", err=True)


def print_stitched(result: StitchResult, seconds: float) -> None:
    """The counts of a Stitch run, and how long it took."""
    summary = result.summary
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
    for notice in result.notices:
        say(notice)
    say(f"Completed in {duration(seconds)}")


def print_changed(tables: Iterable[Published], failure: str = "") -> None:
    """What was published after a run: the tables that changed, and what failed."""
    changed = [table for table in tables if table.how not in ("unchanged", "failed")]
    if LOG.is_json:  # failures are in the log already
        for table in changed:
            text = f"{table.table} was published as version {table.version}: {table.how}, {table.rows:,} rows written."
            details: dict[str, str | int | float] = {
                "table": table.table,
                "rows": table.rows,
                "version": table.version or 0,
            }
            LOG(Notice("note", "table-published", text, details=details))
        return
    if changed:
        say("Published:")
        print_published(changed)
    if failure:
        say(failure, err=True)
