"""A daemon whose only courier records that it ran, with a clock of its own: for test_daemon.py.

The clock starts when the daemon has looked for slots, however long that takes on a slow machine.

The warehouse is given as the path of a DuckDB file or the connection string of a PostgreSQL. While there is a file
`hold` in the folder the courier does not end; while there is one called `deaf` it cannot be asked to end either.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

from courier.unit_tests.groups.examples import DAILY
from heap_courier.errors import InterruptedRunError
from heap_courier.files.days import Days
from heap_courier.groups.run import GroupContext
from heap_courier.groups.scheduler import serve
from heap_courier.notices.notice import Notice
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse


def serve_days(place: str, warehouse: str, begin: str, schedule: str, lease: str) -> None:
    """Keeps a daily schedule in a folder, from an instant on, until it is stopped; the lease is in seconds."""
    folder = Path(place)
    closings: list[float] = []
    stop = threading.Event()

    def report(notice: Notice) -> None:
        print(notice.text, flush=True)  # noqa: T201  (a program)

    def now() -> datetime:
        passed = time.monotonic() - closings[1] if len(closings) > 1 else 0
        return datetime.fromisoformat(begin) + timedelta(seconds=passed)

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise InterruptedRunError("The run was stopped.")

    def run_courier(courier: str, days: Days, _required: Days, _skip_missing: bool) -> Collection[date]:
        line = f"{courier} {days.start} {days.end} {os.getpid()}\n"
        with (folder / "runs").open("a", encoding="utf-8") as runs:
            runs.write(line)
        while (folder / "hold").exists():
            time.sleep(0.01)
            if not (folder / "deaf").exists():
                pause(0)
        return ()

    @contextmanager
    def open_warehouse() -> Iterator[Warehouse]:
        opened: Warehouse
        if warehouse.startswith("postgresql:"):
            opened = PostgreSQLWarehouse(warehouse)
        else:
            opened = DuckDBWarehouse(Path(warehouse), wait=time.sleep)
        try:
            yield opened
        finally:
            opened.close()
            closings.append(time.monotonic())
            with (folder / f"closed-{os.getpid()}").open("a") as closed:
                closed.write("x")

    serve(
        [replace(DAILY, schedule=schedule)],
        GroupContext(run_courier, open_warehouse, report, now, pause, lease=timedelta(seconds=float(lease))),
        stop,
    )
