"""The command that publishes domain tables: `publish`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heap_courier.cli.log import LOG
from heap_courier.cli.terminal import print_table, say
from heap_courier.couriers.context import opened
from heap_courier.notices.notice import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heap_courier.delta.publication import Published


@click.command()
@click.pass_obj
def publish(folder: Path) -> None:
    """Publish the domain tables that have changed as Delta tables, where `delta` in heap-courier.yaml says."""
    from heap_courier.delta.extra import require_extra  # noqa: PLC0415  (an extra)

    require_extra()
    from heap_courier.delta.publication import publish as published  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        tables = published(context)
    if LOG.is_json:
        print_changed(tables)
        for table in tables:
            if table.message:
                LOG(Notice("error", "publication-failed", f"{table.table}: {table.message}"))
    else:
        print_published(tables)
    if any(table.how == "failed" for table in tables):
        sys.exit(1)


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


def print_changed(tables: Iterable[Published], failure: str = "") -> None:
    """What was published after a run: the tables that changed, and what failed."""
    changed = [table for table in tables if table.how not in ("unchanged", "failed")]
    if LOG.is_json:  # what failed is in the log already
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
