"""Bookmarks: which files and tables of Heap's dumps were loaded; recorded in the transaction that loads their rows.

A bookmark without a table records that a dump is finished: each of its tables was loaded or is excluded by the entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import orjson

from heap_courier.heap_connect.manifests import Bookmark
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.system_tables import make_tables

_TABLE: Final = "heap_courier.landed_files"
_VERSIONS: Final = "heap_courier.landed_tables"
_TABLES: Final = {
    "landed_files": "courier text, source text, heap_table text, dump_id bigint, file text, is_full boolean",
    "landed_tables": "source text, heap_table text, courier text, number bigint",
}
_AT_ONCE: Final = 500  # rows of an INSERT
_WHOLE_DUMP: Final = ""  # in place of a table


class Version(NamedTuple):
    """The version of a table's bookmarks, to detect changes by another run: which courier wrote them, and how often."""

    courier: str
    number: int


class Bookmarks:
    """The bookmarks of a source, such as `Heap` in `Heap:users`. Only one courier loads a table."""

    def __init__(self, warehouse: Warehouse, courier: str, source: str) -> None:
        self._warehouse = warehouse
        self._courier = courier
        self._source = source

    def make(self) -> None:
        """Creates the tables that do not exist yet. Call it outside a transaction."""
        make_tables(self._warehouse, _TABLES)

    def lock(self) -> None:
        """Locks bookmarks against other writers until the transaction ends."""
        self._warehouse.lock(_TABLE)

    def read(self) -> set[Bookmark]:
        """The bookmarks of this courier."""
        rows = self._warehouse.query(
            f"SELECT dump_id, heap_table, file, is_full FROM {_TABLE} "
            "WHERE source = $1 AND courier = $2 AND heap_table <> $3",
            (self._source, self._courier, _WHOLE_DUMP),
        )
        return {Bookmark._make(row) for row in rows}

    def versions(self) -> dict[str, Version]:
        """The version of each table that has one. Read it before the bookmarks; compare it to `version` on use."""
        rows = self._warehouse.query(
            f"SELECT heap_table, courier, number FROM {_VERSIONS} WHERE source = $1", (self._source,)
        )
        return {table: Version(courier, number) for table, courier, number in rows}

    def version(self, table: str) -> Version | None:
        """The version of one table, without reading its bookmarks, which become more with each dump."""
        rows = self._warehouse.query(
            f"SELECT courier, number FROM {_VERSIONS} WHERE source = $1 AND heap_table = $2", (self._source, table)
        )
        return Version._make(rows[0]) if rows else None

    def advance(self, table: str, before: Version | None) -> Version:
        """Records a new version of a table's bookmarks. Call it inside the transaction that locked them."""
        after = Version(self._courier, before.number + 1 if before else 1)
        changed = self._warehouse.execute(
            f"UPDATE {_VERSIONS} SET courier = $1, number = $2 WHERE source = $3 AND heap_table = $4",
            (*after, self._source, table),
        )
        if not changed:
            self._warehouse.execute(f"INSERT INTO {_VERSIONS} VALUES ($1, $2, $3, $4)", (self._source, table, *after))
        return after

    def others(self) -> dict[str, str]:
        """The tables that other couriers have loaded, with the names of these couriers."""
        rows = self._warehouse.query(
            f"SELECT DISTINCT heap_table, courier FROM {_TABLE} "
            "WHERE source = $1 AND courier <> $2 AND heap_table <> $3",
            (self._source, self._courier, _WHOLE_DUMP),
        )
        return dict(rows)

    def add(self, marks: Iterable[Bookmark]) -> None:
        """Adds bookmarks. Call it inside the transaction that loads the rows."""
        self._insert((mark.dump_id, mark.table, mark.file, mark.full) for mark in marks)

    def forget(self, table: str, dump_id: int | None = None) -> None:
        """Removes the bookmarks of a table, or of one dump of it, so that it is loaded again."""
        if dump_id is None:
            self._warehouse.execute(
                f"DELETE FROM {_TABLE} WHERE source = $1 AND heap_table = $2", (self._source, table)
            )
            self._warehouse.execute(
                f"DELETE FROM {_TABLE} WHERE source = $1 AND heap_table = $2", (self._source, _WHOLE_DUMP)
            )
        else:
            self._warehouse.execute(
                f"DELETE FROM {_TABLE} WHERE source = $1 AND heap_table = $2 AND dump_id = $3",
                (self._source, table, dump_id),
            )

    def finished(self) -> dict[int, frozenset[str]]:
        """Finished dumps, each with the tables that the entity excluded at the time."""
        rows = self._warehouse.query(
            f"SELECT dump_id, file FROM {_TABLE} WHERE source = $1 AND courier = $2 AND heap_table = $3",
            (self._source, self._courier, _WHOLE_DUMP),
        )
        return {dump_id: frozenset(orjson.loads(excluded)) for dump_id, excluded in rows}

    def finish(self, dumps: Iterable[tuple[int, frozenset[str]]]) -> None:
        """Records that dumps are finished."""
        self._insert((dump, _WHOLE_DUMP, orjson.dumps(sorted(excluded)).decode(), False) for dump, excluded in dumps)

    def _insert(self, rows: Iterable[tuple[object, ...]]) -> None:
        for chunk in _chunks(rows):
            places = ", ".join(
                f"($1, $2, ${at}, ${at + 1}, ${at + 2}, ${at + 3})" for at in range(3, 3 + 4 * len(chunk), 4)
            )
            values = (value for dump_id, table, file, full in chunk for value in (table, dump_id, file, full))
            self._warehouse.execute(f"INSERT INTO {_TABLE} VALUES {places}", (self._courier, self._source, *values))


def _chunks(rows: Iterable[tuple[object, ...]]) -> Iterator[Sequence[tuple[object, ...]]]:
    rest = iter(rows)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk
