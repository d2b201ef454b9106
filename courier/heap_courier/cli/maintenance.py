"""Commands that maintain the project's data: `backup`, `restore`, `publish`, `prune`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heap_courier.cli.log import LOG
from heap_courier.cli.printing import print_changed, print_published
from heap_courier.cli.terminal import say
from heap_courier.couriers.context import opened
from heap_courier.documents.wording import size
from heap_courier.notices.notice import Notice

if TYPE_CHECKING:
    from heap_courier.warehouse.backup import Backup

WAIT = click.option(
    "--wait",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="MINUTES",
    help="How long to wait for other processes to finish writing.",
)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@WAIT
@click.pass_obj
def backup(folder: Path, file: Path, *, overwrite: bool, wait: int) -> None:
    """Write a consistent copy of the DuckDB warehouse to FILE; the daemon may be running."""
    from heap_courier.warehouse.backup import back_up  # noqa: PLC0415  (only this command needs it)

    with opened(folder) as context:
        written = back_up(context.project.warehouse, file, overwrite=overwrite, patience=wait * 60)
    say(f"Wrote {file}: {_described(written)}.")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace an existing warehouse, which is kept under another name.")
@WAIT
@click.pass_obj
def restore(folder: Path, file: Path, *, replace: bool, wait: int) -> None:
    """Restore the DuckDB warehouse from FILE, which `backup` wrote. Fails while a courier is running.

    Whatever was loaded after the backup is loaded again by the next runs, because bookmarks are restored with the rows.
    """
    from heap_courier.couriers.lock import locked  # noqa: PLC0415  (as above)
    from heap_courier.warehouse.backup import restore as restored  # noqa: PLC0415

    with opened(folder) as context, ExitStack() as stack:
        for courier in context.project.couriers.values():
            stack.enter_context(locked(context, courier))
        found, kept = restored(context.project.warehouse, file, context.now(), replace=replace, patience=wait * 60)
    say(f"Restored {file}: {_described(found)}.")
    if kept:
        say(f"The previous warehouse was moved to {kept}: remove it when you no longer need it.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.pass_obj
def prune(folder: Path, *, dry_run: bool) -> None:
    """Remove samples, runs and kept files that are older than `retention` in heap-courier.yaml allows.

    The daemon does this once a day.
    """
    from heap_courier.retention import prune as pruned  # noqa: PLC0415  (what reads feeds takes long to import)

    with opened(folder) as context:
        found = pruned(context, dry_run=dry_run)
    say(f"{'Would remove' if dry_run else 'Removed'} {found}.")


@click.command()
@click.pass_obj
def publish(folder: Path) -> None:
    """Publish changed domain tables as Delta tables, to the location set by `delta` in heap-courier.yaml."""
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


def _described(found: Backup) -> str:
    return f"{found.tables:,} tables, {found.rows:,} rows, {size(found.size)}"
