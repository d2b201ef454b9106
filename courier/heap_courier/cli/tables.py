"""Commands that inspect the warehouse: `tables`, `show`, `runs`."""

from __future__ import annotations

from pathlib import Path

import click

from heap_courier.cli.printing import print_domain_table, print_rejected, print_runs, print_tables
from heap_courier.cli.terminal import print_table, say
from heap_courier.couriers.context import opened
from heap_courier.warehouse.base import domain_tables, quoted
from heap_courier.warehouse.run_log import RunLog


@click.command()
@click.pass_obj
def tables(folder: Path) -> None:
    """List the domain tables."""
    with opened(folder) as context, context.warehouse(read_only=True) as warehouse:
        rows = []
        for name in domain_tables(warehouse):
            count = warehouse.query(f"SELECT count(*) FROM {quoted(name)}")[0][0]
            rows.append([name, count, len(warehouse.columns(name))])
    print_table(["domain table", "rows", "columns"], rows)


@click.command()
@click.argument("table")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of rows to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per row.")
@click.pass_obj
def show(folder: Path, table: str, limit: int, *, as_json: bool) -> None:
    """Show rows of a domain table, such as "Heap:Users"."""
    with opened(folder) as context, context.warehouse(read_only=True) as warehouse:
        print_domain_table(warehouse, table, limit, as_json=as_json)


@click.command()
@click.argument("run_id", required=False, metavar="[RUN]")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of runs to list.")
@click.pass_obj
def runs(folder: Path, run_id: str | None, limit: int) -> None:
    """List the runs, newest first; with RUN, its outcome, domain tables and rejected rows."""
    with opened(folder) as context, context.warehouse(read_only=True) as warehouse:
        run_log = RunLog(warehouse)
        if run_id is None:
            found = run_log.runs(limit)
            loaded, rejected = [], []
        else:
            found = [run_log.run(run_id)]
            loaded, rejected = run_log.run_tables(run_id), run_log.rejected(run_id)
    if not found:
        say("No run yet: start one with `heap-courier run COURIER`.")
        return
    print_runs(found)
    if loaded:
        say("")
        print_tables(loaded)
    if rejected:
        say("")
        print_rejected(rejected)
