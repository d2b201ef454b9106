"""The DuckDB in which linking runs, beside the warehouse: a file that is removed when the run is over."""

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
    """A DuckDB database of a single run, within the memory limit of the warehouse.

    It has the warehouse's own SQL and errors. It holds rows of people, so that its folder is readable by its
    owner alone, and it is removed at the end of the run.
    """

    memory_of = "Stitch's temporary database"
    memory_under = "stitch"

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection itself, for splink."""
        return self._connection


@contextmanager
def scratch(folder: Path, memory: str) -> Iterator[Scratch]:
    """An empty scratch for the length of a block. Leftovers of a killed run are removed first."""
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
