"""The warehouse of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from heap_courier.errors import SetupError
from heap_courier.project.model import WarehouseSettings
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.open import open_warehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse


def test_a_file_is_opened_by_duckdb_and_closed_after_the_block(tmp_path: Path) -> None:
    settings = WarehouseSettings("duckdb", tmp_path / "heap.duckdb")
    with open_warehouse(settings, {}) as warehouse:
        assert isinstance(warehouse, DuckDBWarehouse)
    with pytest.raises(SetupError, match="closed"):
        warehouse.query("SELECT 1")
    with open_warehouse(settings, {}, read_only=True) as warehouse, pytest.raises(SetupError):
        warehouse.execute("CREATE TABLE t (a int)")


def test_an_address_is_opened_by_postgresql_whether_literal_or_in_a_variable(postgresql: str) -> None:
    for settings in [
        WarehouseSettings("postgresql", dsn=postgresql),
        WarehouseSettings("postgresql", dsn_env="HEAP_WAREHOUSE"),
    ]:
        with open_warehouse(settings, {"HEAP_WAREHOUSE": postgresql}) as warehouse:
            assert isinstance(warehouse, PostgreSQLWarehouse)
            assert warehouse.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("environment", [{}, {"HEAP_WAREHOUSE": ""}])
def test_a_variable_without_an_address_is_reported(environment: dict[str, str]) -> None:
    settings = WarehouseSettings("postgresql", dsn_env="HEAP_WAREHOUSE")
    with pytest.raises(SetupError) as refused, open_warehouse(settings, environment):
        pass
    assert str(refused.value) == (
        "The environment variable `HEAP_WAREHOUSE` (`dsn-env` in heap-courier.yaml) is not set: set it to the "
        "warehouse's address, such as postgresql://user:password@host/database."
    )
