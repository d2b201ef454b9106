"""Creates the courier's own tables, in a schema of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from heap_courier.errors import CourierError
from heap_courier.warehouse.base import Warehouse

SCHEMA: Final = "heap_courier"


def make_tables(warehouse: Warehouse, tables: Mapping[str, str]) -> None:
    """Creates the tables that do not exist, given as columns by name. Call it outside a transaction."""
    try:
        _make(warehouse, tables)
    except CourierError:  # on PostgreSQL, IF NOT EXISTS fails while another connection creates the same table
        _make(warehouse, tables)


def _make(warehouse: Warehouse, tables: Mapping[str, str]) -> None:
    with warehouse.transaction():
        # (PostgreSQL requires the privilege to create schemas even if this one exists)
        if not warehouse.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", (SCHEMA,)):
            warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
        for name, columns in tables.items():
            warehouse.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{name} ({columns})")
