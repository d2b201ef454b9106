"""Projects of people on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
import sqlglot
from splink.internals.comparison_level import ComparisonLevel

from courier.unit_tests.stitch.project_of_people import People
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse


@pytest.fixture(scope="session", autouse=True)
def conditions_parsed_once() -> Iterator[None]:
    """Splink parses the conditions of a model in each run, which takes a quarter of the time of a small run."""
    parsed = cache(lambda sql, dialect: sqlglot.parse_one(sql, read=dialect))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ComparisonLevel,
            "_validate_sql",
            lambda self: self._is_else_level or bool(parsed(self.sql_condition, self.sqlglot_dialect)),
        )
        yield


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    """On DuckDB."""
    with closing(DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)) as warehouse:
        yield People(warehouse, tmp_path)


@pytest.fixture
def people_on_either(warehouse: Warehouse, tmp_path: Path) -> People:
    """On DuckDB and on PostgreSQL."""
    return People(warehouse, tmp_path)
