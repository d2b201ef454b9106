"""Bookmarks: which files and tables of Heap's dumps were loaded, recorded in the transaction of their rows.

A row without a table records that a dump is finished: all its tables were loaded, or are excluded by the entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import orjson

from heap_courier.heap_connect.manifests import Bookmark
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.system_tables import make_tables

_TABLE: Final = "heap_courier.landed_files"
_COLUMNS: Final = "courier text, source text, heap_table text, dump_id bigint, file text, is_full boolean"
_AT_ONCE: Final = 500  # rows of an INSERT
_WHOLE_DUMP: Final = ""  # in place of a table


class Bookmarks:
    """The bookmarks of a source, such as `Heap` in `Heap:users`. A table of it is filled by one courier."""

    def __init__(self, warehouse: Warehouse, courier: str, source: str) -> None:
        self._warehouse = warehouse
        self._courier = courier
        self._source = source

    def make(self) -> None:
        """Creates the table if it is missing. Outside a transaction."""
        make_tables(self._warehouse, {"landed_files": _COLUMNS})

    def lock(self) -> None:
        """Locks bookmarks against other writers until the transaction ends."""
        self._warehouse.lock(_TABLE)

    def read(self) -> set[Bookmark]:
        """Those of this courier."""
        rows = self._warehouse.query(
            f"SELECT dump_id, heap_table, file, is_full FROM {_TABLE} "
            "WHERE source = $1 AND courier = $2 AND heap_table <> $3",
            (self._source, self._courier, _WHOLE_DUMP),
        )
        return {Bookmark._make(row) for row in rows}

    def fingerprints(self) -> dict[str, str]:
        """Of each table that has bookmarks, what tells whether another run has changed them since."""
        rows = self._warehouse.query(
            f"SELECT heap_table, {_FINGERPRINT} FROM {_TABLE} WHERE source = $1 AND heap_table <> $2 GROUP BY 1",
            (self._source, _WHOLE_DUMP),
        )
        return dict(rows)

    def fingerprint(self, table: str) -> str | None:
        """The same of one table; None if it has no bookmarks. Reads no more of them than it has to."""
        rows = self._warehouse.query(
            f"SELECT {_FINGERPRINT} FROM {_TABLE} WHERE source = $1 AND heap_table = $2 HAVING count(*) > 0",
            (self._source, table),
        )
        return rows[0][0] if rows else None

    def others(self) -> dict[str, str]:
        """Tables that another courier fills, and its name."""
        rows = self._warehouse.query(
            f"SELECT DISTINCT heap_table, courier FROM {_TABLE} "
            "WHERE source = $1 AND courier <> $2 AND heap_table <> $3",
            (self._source, self._courier, _WHOLE_DUMP),
        )
        return dict(rows)

    def other(self, table: str) -> str | None:
        """The other courier that fills a table, if there is one."""
        rows = self._warehouse.query(
            f"SELECT courier FROM {_TABLE} WHERE source = $1 AND heap_table = $2 AND courier <> $3 LIMIT 1",
            (self._source, table, self._courier),
        )
        return rows[0][0] if rows else None

    def add(self, marks: Iterable[Bookmark]) -> None:
        """Records what the open transaction loads."""
        self._insert((mark.dump_id, mark.table, mark.file, mark.full) for mark in marks)

    def forget(self, table: str, dump_id: int | None = None) -> None:
        """Removes the bookmarks of a table, or of a table of one dump. Its dumps are then read again."""
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
        """Finished dumps, and the tables of each that the entity excluded then."""
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


_FINGERPRINT: Final = (
    "CAST(count(*) AS text) || ' ' || CAST(sum(dump_id) AS text) || ' ' || CAST(sum(length(file)) AS text)"
)


def _chunks(rows: Iterable[tuple[object, ...]]) -> Iterator[Sequence[tuple[object, ...]]]:
    rest = iter(rows)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk
