"""A project of people on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from courier.unit_tests.stitch.project_of_people import People
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    """On DuckDB."""
    with closing(DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)) as warehouse:
        yield People(warehouse, tmp_path)


@pytest.fixture
def people_on_either(warehouse: Warehouse, tmp_path: Path) -> People:
    """On DuckDB and on PostgreSQL."""
    return People(warehouse, tmp_path)
