"""Starts the courier without the time that its imports take: `heap-courier` or a function, in a fork.

Arrow and Polars start threads on import, which a fork does not have: they only return memory to the system.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

import heap_courier.cli
from fork_server import Fork, ForkServer

PACKAGES: Final = (
    "adbc_driver_postgresql.dbapi",
    "boto3.s3.inject",
    "botocore.endpoint_provider",
    "duckdb",
    "fastavro",
    "filelock",
    "heap_courier.couriers.run",
    "heap_courier.feeds.ingest",
    "heap_courier.groups.scheduler",
    "heap_courier.heap_connect.pull",
    "heap_courier.warehouse.duckdb_engine",
    "heap_courier.warehouse.postgresql_engine",
    "orjson",
)
"""What commands import, in addition to `heap_courier.cli`."""


def command(*words: str) -> None:
    """`heap-courier` as the shell starts it."""
    from heap_courier.__main__ import main  # noqa: PLC0415  (as late as the command does)

    sys.argv = ["heap-courier", *words]
    main()


@cache
def _server() -> ForkServer:
    modules = (f"heap_courier.cli.{module.name}" for module in iter_modules(heap_courier.cli.__path__))
    server = ForkServer(__name__, *modules, *PACKAGES)
    atexit.register(server.close)
    return server


def forked(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    program: Callable[..., object] = command,
    merged: bool = False,
) -> Fork:
    """Starts it. `merged`: whether to merge standard error into standard output."""
    stderr = subprocess.STDOUT if merged else subprocess.PIPE
    return _server().start(program, *words, stderr=stderr, text=True, environment=environment, folder=folder)
