"""Fixtures for tests that must pass on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse


@pytest.fixture(params=["duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    opened: Warehouse
    if request.param == "duckdb":
        opened = DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)
    else:
        opened = PostgreSQLWarehouse(request.getfixturevalue("postgresql"))
    with closing(opened):
        yield opened
