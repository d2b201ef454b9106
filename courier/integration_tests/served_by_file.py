"""`heap-courier group serve --wait` that reads the time from a file: for test_console.py.

`python served_by_file.py FOLDER`: the time is in `FOLDER/clock`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from heap_courier.cli import groups
from heap_courier.cli.main import cli
from heap_courier.couriers.context import Context, opened


@contextmanager
def opened_with_clock(folder: Path) -> Iterator[Context]:
    """A project with the time of the file."""
    with opened(folder) as context:
        yield replace(context, now=lambda: datetime.fromisoformat((folder / "clock").read_text()))


if __name__ == "__main__":
    groups.opened = opened_with_clock
    cli(["--project", sys.argv[1], "group", "serve", "--wait"])
