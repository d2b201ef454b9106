"""Failpoints: a warehouse that stops answering at a chosen statement, as if the process had been killed there."""

from __future__ import annotations

from typing import Any

from heap_courier.warehouse.base import Warehouse


class BrokenOffError(Exception):
    """As if the process had been killed."""


class BreaksOff:
    """A warehouse that answers no more from one statement on."""

    def __init__(self, warehouse: Warehouse, statements: int) -> None:
        self._warehouse = warehouse
        self._left = statements

    def execute(self, sql: str, parameters: Any = ()) -> int:
        self._count()
        return self._warehouse.execute(sql, parameters)

    def query(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        self._count()
        return self._warehouse.query(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise BrokenOffError
