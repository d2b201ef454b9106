"""The command that removes expired data: `prune`."""

from __future__ import annotations

from pathlib import Path

import click

from heap_courier.cli.terminal import say
from heap_courier.couriers.context import opened


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.pass_obj
def prune(folder: Path, *, dry_run: bool) -> None:
    """Remove samples, runs and kept files that are older than `retention` in heap-courier.yaml allows.

    The daemon does it once a day.
    """
    from heap_courier.retention import prune as pruned  # noqa: PLC0415  (what reads feeds takes long to import)

    with opened(folder) as context:
        found = pruned(context, dry_run=dry_run)
    say(f"{'Would remove' if dry_run else 'Removed'} {found}.")
