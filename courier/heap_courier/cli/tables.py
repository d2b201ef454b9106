"""Commands that look at what there is: `tables`, `show`, `runs`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import orjson

from heap_courier.cli.terminal import ending, print_rows, print_table, took
from heap_courier.couriers.context import opened
from heap_courier.documents.wording import named
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted
from heap_courier.warehouse.run_log import Rejected, Run, RunLog, TableRun


@click.command()
@click.pass_obj
def tables(folder: Path) -> None:
    """List the domain tables."""
    with opened(folder) as context, context.warehouse(read_only=True) as warehouse:
        print_domain_tables(warehouse)


@click.command()
@click.argument("table")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many rows.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each row.")
@click.pass_obj
def show(folder: Path, table: str, limit: int, *, as_json: bool) -> None:
    """Show rows of a domain table, such as "Heap:Users"."""
    with opened(folder) as context, context.warehouse(read_only=True) as warehouse:
        print_domain_table(warehouse, table, limit, as_json=as_json)


@click.command()
@click.argument("run_id", required=False, metavar="[RUN]")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many runs.")
@click.pass_obj
def runs(folder: Path, run_id: str | None, limit: int) -> None:
    """List the runs, newest first; of RUN the domain tables and the rejected rows."""
    with opened(folder) as context, context.warehouse(read_only=True) as warehouse:
        run_log = RunLog(warehouse)
        if run_id is None:
            print_runs(run_log.runs(limit))
            return
        run_log.expect_run(run_id)
        print_tables(run_log.run_tables(run_id))
        if rejected := run_log.rejected(run_id):
            click.echo("")
            print_rejected(rejected)


def print_domain_tables(warehouse: Warehouse) -> None:
    """All domain tables and views, with their sizes."""
    rows = []
    for name in domain_tables(warehouse):
        count = warehouse.query(f"SELECT count(*) FROM {quoted(name)}")[0][0]
        rows.append([name, count, len(warehouse.columns(name))])
    print_table(["domain table", "rows", "columns"], rows)


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
    for row in rows:
        click.echo(orjson.dumps(dict(zip(columns, row, strict=True)), default=str))


def print_tables(tables: Iterable[TableRun]) -> None:
    """What a run did to each domain table."""
    rows = []
    for table in tables:
        outcome = f"did not land: {table.message}" if table.message else "landed"
        counts = [table.files, table.rows, table.rejected, table.merged, table.stored]
        rows.append([table.domain_table, *counts, outcome])
    headings = ["domain table", "files", "rows read", "rejected", "added or changed", "rows now", "outcome"]
    print_table(headings, rows)


def print_runs(runs: Sequence[Run]) -> None:
    """Runs, a line each; a run's name is the instant of its start."""
    if not runs:
        click.echo("There is no run yet: `heap-courier run COURIER` is one.")
        return
    rows = [
        [run.id, run.courier, run.what, took(run.started, run.ended), ending(run.outcome, run.message)] for run in runs
    ]
    print_table(["run (UTC)", "courier", "files", "took", "outcome"], rows)


def print_rejected(rejected: Iterable[tuple[str, Rejected]]) -> None:
    """Rejected rows: where they stand and why, never what they hold."""
    rows = [[table, each.file, each.row.row, each.row.column, each.row.reason] for table, each in rejected]
    print_table(["domain table", "file", "row", "column", "reason"], rows)
