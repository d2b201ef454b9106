"""The tables that the courier keeps for itself, beside the domain tables: made where they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from heap_courier.errors import CourierError
from heap_courier.warehouse.base import Warehouse

SCHEMA: Final = "heap_courier"


def make_tables(warehouse: Warehouse, tables: Mapping[str, str]) -> None:
    """Makes tables, given by their names and columns, in the courier's schema. Outside a transaction."""
    try:
        _make(warehouse, tables)
    except CourierError:  # PostgreSQL lets IF NOT EXISTS fail where another connection makes the same just now
        _make(warehouse, tables)


def _make(warehouse: Warehouse, tables: Mapping[str, str]) -> None:
    with warehouse.transaction():
        # (PostgreSQL asks for the right to make schemas even where this one exists)
        if not warehouse.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", (SCHEMA,)):
            warehouse.execute(f"CREATE SCHEMA {SCHEMA}")
        for name, columns in tables.items():
            warehouse.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{name} ({columns})")
