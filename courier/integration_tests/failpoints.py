"""Failpoints: a warehouse that stops answering at a chosen point, as if the process had been killed there.

A point is a statement, a query, the staging of rows, or a commit, before and after it takes effect. Up to there all is
done as usual; from there on nothing reaches the database, which rolls the open transaction back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from heap_courier.warehouse.base import Warehouse


class BrokenOffError(Exception):
    """As if the process had been killed."""


class BreaksOff:
    """A warehouse that answers no more from one point on.

    Args:
        warehouse: that does the work.
        points: how many points it passes before.
    """

    def __init__(self, warehouse: Warehouse, points: int) -> None:
        self._warehouse = warehouse
        self._left = points

    def execute(self, sql: str, parameters: Any = ()) -> int:
        self._pass()
        return self._warehouse.execute(sql, parameters)

    def query(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        self._pass()
        return self._warehouse.query(sql, parameters)

    def stage(self, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        self._pass()
        self._warehouse.stage(table, schema, batches)

    def fill(
        self, table: str, columns: Mapping[str, str], schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> str | None:
        self._pass()
        return self._warehouse.fill(table, columns, schema, batches)

    def columns(self, table: str) -> Mapping[str, str]:
        self._pass()
        return self._warehouse.columns(table)

    def lock(self, table: str) -> None:
        self._pass()
        self._warehouse.lock(table)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._pass()
        with self._warehouse.transaction():
            yield
            self._pass()
        self._pass()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def _pass(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise BrokenOffError
