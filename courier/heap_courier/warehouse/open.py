"""Opens the warehouse of a project."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from heap_courier.errors import SetupError
from heap_courier.project.model import WarehouseSettings
from heap_courier.warehouse.base import Warehouse


@contextmanager
def open_warehouse(
    settings: WarehouseSettings,
    environment: Mapping[str, str],
    *,
    read_only: bool = False,
    patience: float | None = None,
) -> Iterator[Warehouse]:
    """A connection that is closed at the end of the block. Imports only the library of the engine that is used.

    `patience` is how many seconds to wait while another process has a DuckDB file open; None: half a minute.

    Raises:
        SetupError: the environment variable with the address is not set, or the engine refuses the connection.
        LaterError: the engine does not respond, or another process has the file open.
    """
    with closing(_opened(settings, environment, read_only=read_only, patience=patience)) as warehouse:
        yield warehouse


def _opened(
    settings: WarehouseSettings, environment: Mapping[str, str], *, read_only: bool, patience: float | None
) -> Warehouse:
    if settings.path:
        from heap_courier.warehouse.duckdb_engine import PATIENCE, DuckDBWarehouse  # noqa: PLC0415

        return DuckDBWarehouse(
            settings.path,
            memory=settings.memory,
            read_only=read_only,
            patience=PATIENCE if patience is None else patience,
            wait=time.sleep,
        )
    from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse  # noqa: PLC0415

    dsn = settings.dsn or environment.get(settings.dsn_env or "")
    if not dsn:
        raise SetupError(
            f"The environment variable `{settings.dsn_env}` (`dsn-env` in heap-courier.yaml) is not set: set it to the "
            "warehouse's address, such as postgresql://user:password@host/database."
        )
    return PostgreSQLWarehouse(dsn)
