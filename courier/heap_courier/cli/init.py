"""The command that makes a project: `init`."""

from __future__ import annotations

from pathlib import Path

import click

from heap_courier.cli.terminal import say
from heap_courier.project.scaffold import make_project


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Create a project in FOLDER: heap-courier.yaml, entities, load operations."""
    for path in make_project(folder):
        say(f"Wrote {path}")
    say("Next: name your bucket in heap-courier.yaml, then `heap-courier check`.")
