"""The temporary DuckDB database in which records are linked; it is removed at the end of the run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

if TYPE_CHECKING:
    import duckdb

_FILE: Final = "scratch.duckdb"


class Scratch(DuckDBWarehouse):
    """A DuckDB database for a single run, with its own memory limit.

    It has the same methods and errors as a DuckDB warehouse. It contains personal data, so only the owner can read its
    folder, and it is removed at the end of the run.
    """

    memory_of = "Stitch's temporary database"
    memory_under = "stitch"

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection, for splink."""
        return self._connection


@contextmanager
def scratch(folder: Path, memory: str) -> Iterator[Scratch]:
    """Opens an empty scratch database within a `with` block, after removing leftovers of a killed run."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove(folder)
    try:
        with closing(Scratch(folder / _FILE, memory=memory, wait=time.sleep)) as opened:
            opened.execute("SET enable_progress_bar = false")
            yield opened
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    for path in folder.glob(f"{_FILE}*"):
        if path.is_dir():
            for part in path.iterdir():
                part.unlink()
            path.rmdir()
        else:
            path.unlink()
