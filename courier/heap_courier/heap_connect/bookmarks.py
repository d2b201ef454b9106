"""What of Heap's dumps has landed: a row per file, and one per table of a dump, written with the rows themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from heap_courier.heap_connect.manifests import Bookmark
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.system_tables import make_tables

_TABLE: Final = "heap_courier.landed_files"
_COLUMNS: Final = "courier text, source text, heap_table text, dump_id bigint, file text, is_full boolean"


class Bookmarks:
    """The bookmarks of a source, such as `Heap` in `Heap:users`. A table of it is filled by one courier."""

    def __init__(self, warehouse: Warehouse, courier: str, source: str) -> None:
        self._warehouse = warehouse
        self._courier = courier
        self._source = source

    def make(self) -> None:
        """Makes the table where it is missing. Outside a transaction."""
        make_tables(self._warehouse, {"landed_files": _COLUMNS})

    def lock(self) -> None:
        """Lets no one else note anything until the transaction ends."""
        self._warehouse.lock(_TABLE)

    def read(self) -> set[Bookmark]:
        """Those of this courier."""
        rows = self._warehouse.query(
            f"SELECT dump_id, heap_table, file, is_full FROM {_TABLE} WHERE source = $1 AND courier = $2",
            (self._source, self._courier),
        )
        return {Bookmark._make(row) for row in rows}

    def others(self) -> dict[str, str]:
        """Tables that another courier fills, and its name."""
        rows = self._warehouse.query(
            f"SELECT DISTINCT heap_table, courier FROM {_TABLE} WHERE source = $1 AND courier <> $2",
            (self._source, self._courier),
        )
        return dict(rows)

    def add(self, marks: Iterable[Bookmark]) -> None:
        """Notes what lands in the transaction that is open."""
        for mark in marks:
            self._warehouse.execute(
                f"INSERT INTO {_TABLE} VALUES ($1, $2, $3, $4, $5, $6)",
                (self._courier, self._source, mark.table, mark.dump_id, mark.file, mark.full),
            )

    def forget(self, table: str) -> None:
        """Lets a table begin anew."""
        self._warehouse.execute(f"DELETE FROM {_TABLE} WHERE source = $1 AND heap_table = $2", (self._source, table))
