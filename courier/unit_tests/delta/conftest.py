"""A project that publishes to a folder, and what readers see there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from heap_courier.couriers.context import Context
from heap_courier.delta.names import folder_name
from heap_courier.delta.publication import Published, publish
from heap_courier.progress import NoBar
from heap_courier.project.model import DeltaSettings, Project, WarehouseSettings
from heap_courier.warehouse.base import Warehouse


class Publisher:
    """A project, its warehouse, and the published tables as their readers see them."""

    def __init__(self, folder: Path, settings: WarehouseSettings, views: tuple[str, ...] = ()) -> None:
        self.place = folder / "published"
        project = Project(folder, settings, {}, folder / "feeds", {}, delta=DeltaSettings(self.place, views=views))
        self.context = Context(project, {}, lambda: datetime(2026, 3, 1, tzinfo=timezone.utc), NoBar())

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        with self.context.warehouse() as warehouse:
            yield warehouse

    def execute(self, *statements: str) -> None:
        with self.warehouse() as warehouse, warehouse.transaction():
            for statement in statements:
                warehouse.execute(statement)

    def publish(self) -> dict[str, Published]:
        return {result.table: result for result in publish(self.context)}

    def how(self) -> dict[str, str]:
        return {name: result.how for name, result in self.publish().items()}

    def table(self, name: str) -> DeltaTable:
        return DeltaTable(str(self.place / folder_name(name)))

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = self.table(name).to_pyarrow_table().to_pylist()
        return rows


def same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are the same rows, in any order; NaN equals NaN."""
    return Counter(map(repr, one)) == Counter(map(repr, other))


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path, WarehouseSettings("duckdb", path=tmp_path / "heap.duckdb"))
