"""The command that creates a project: `init`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from heap_courier.cli.terminal import say
from heap_courier.project.scaffold import make_project


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--empty", is_flag=True, help="Leave out the example couriers and groups; add your own in the console.")
@click.option(
    "--engine", type=click.Choice(["duckdb", "postgresql"]), default="duckdb", show_default=True, help="The warehouse."
)
def init(folder: Path, *, empty: bool, engine: Literal["duckdb", "postgresql"]) -> None:
    """Create a project in FOLDER: heap-courier.yaml, entities, load operations."""
    for path in make_project(folder, bare=empty, engine=engine):
        say(f"Wrote {path}")
    if engine == "postgresql":
        say("Set HEAP_WAREHOUSE to the address of the database: postgresql://user:password@host/database.")
    if empty:
        say("Next: add a courier with `heap-courier console`.")
    else:
        say("Next: set your bucket in heap-courier.yaml, then run `heap-courier check`.")
