"""Creates the courier's own tables, which are beside the domain tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from heap_courier.errors import CourierError
from heap_courier.warehouse.base import Warehouse

SCHEMA: Final = "heap_courier"


def make_tables(warehouse: Warehouse, tables: Mapping[str, str]) -> None:
    """Creates missing tables, given by name and columns, in the courier's schema. Call it outside a transaction."""
    try:
        _make(warehouse, tables)
    except CourierError:  # IF NOT EXISTS fails on PostgreSQL if another connection creates the same table now
        _make(warehouse, tables)


def _make(warehouse: Warehouse, tables: Mapping[str, str]) -> None:
    with warehouse.transaction():
        # (PostgreSQL requires the privilege to create schemas even if this one exists)
        if not warehouse.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", (SCHEMA,)):
            warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
        for name, columns in tables.items():
            warehouse.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{name} ({columns})")
