"""Which tables of a source have a history, and up to which load; recorded in the transaction that loads their rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import SetupError
from heap_courier.heap_connect.bookmarks import Version
from heap_courier.heap_connect.names import fits, no_view
from heap_courier.heap_connect.table_schema import DUMP
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.system_tables import make_tables
from heap_courier.warehouse.upsert import Table
from heap_courier.warehouse.versions import HISTORY, VERSIONS, Versions

_NAME: Final = "histories"
_TABLE: Final = f"heap_courier.{_NAME}"
_COLUMNS: Final = "source text, heap_table text, number bigint"


def versions_of(table: str) -> str:
    """The name of the table with the versions of one of Heap's tables, without the source: `users:versions`."""
    return table + VERSIONS


class Histories:
    """The histories of a source, such as `Heap` in `Heap:users`.

    A history is complete if its recorded number equals the version number of the table's bookmarks.
    """

    def __init__(self, warehouse: Warehouse, source: str, patterns: Collection[str]) -> None:
        """`patterns` are names of tables, and may contain `*`. Call `read` before using the histories."""
        self._warehouse = warehouse
        self._source = source
        self._patterns = patterns
        self._numbers: dict[str, int] = {}
        self._written: Mapping[int, datetime] = {}

    def read(self) -> None:
        """Reads the records; creates their table if it is missing. Call it outside a transaction."""
        make_tables(self._warehouse, {_NAME: _COLUMNS})
        rows = self._warehouse.query(f"SELECT heap_table, number FROM {_TABLE} WHERE source = $1", (self._source,))
        self._numbers = dict(rows)

    def set_dates(self, written: Mapping[int, datetime]) -> None:
        """Sets the times at which the manifests of dumps were written."""
        self._written = written

    @property
    def recorded(self) -> frozenset[str]:
        """The tables that have, or once had, a history."""
        return frozenset(self._numbers)

    def keeps(self, table: str) -> bool:
        """Whether the settings require a history of a table."""
        return any(fnmatchcase(table, pattern) for pattern in self._patterns)

    def expect_tables(self, tables: Iterable[str]) -> None:
        """Refuses a name that no table has, because versions that are not recorded now are lost.

        Raises:
            SetupError: there is no such table; suggests the nearest name.
        """
        names = list(tables)
        for pattern in self._patterns:
            if "*" not in pattern and pattern not in names:
                raise SetupError(
                    f"`heap-connect/history`: there is no table `{pattern}`{did_you_mean(pattern, names)}, or the "
                    "entity excludes it."
                )

    def of(self, table: str, target: Table) -> Versions | None:
        """The versions of a table; None if it has no history.

        Raises:
            SchemaError: it has a column whose name the history needs.
        """
        if not self.keeps(table) or not target.key or not fits(self._warehouse, target.name + VERSIONS):
            return None
        return Versions(self._warehouse, target)

    def notice(self, table: str, target: Table) -> str | None:
        """A sentence for the user if a history is required but cannot be kept, or exists but is no longer kept."""
        if not self.keeps(table):
            if table not in self._numbers or not self._warehouse.columns(target.name + VERSIONS):
                return None
            return (
                f"The history `{target.name}{HISTORY}` is no longer kept and lacks this dump: restore "
                f"`heap-connect/history`, or drop the view and the table `{target.name}{VERSIONS}`."
            )
        if not target.key:
            return f"The table `{target.name}` has no history, because it has no key."
        if not fits(self._warehouse, target.name + VERSIONS):
            return no_view(self._warehouse, f"The table `{target.name}` has no history")
        return None

    def is_behind(self, table: str, name: str, version: Version | None) -> bool:
        """Whether the history of a table (`name` in the warehouse) lacks some of its loads."""
        number = version.number if version else None
        return self._numbers.get(table) != number or not self._warehouse.columns(name + VERSIONS)

    def catch_up(self, versions: Versions, name: str, floor: int | None) -> int:
        """Adds the current rows of a table to its versions; returns their number. Call it inside a transaction.

        Args:
            versions: the versions of the table.
            name: the name of the table in the warehouse.
            floor: the newest full dump of the table.
        """
        dumps = {row[0] for row in self._warehouse.query(f"SELECT DISTINCT {quoted(DUMP)} FROM {quoted(name)}")}
        dumps |= set() if floor is None else {floor}
        return versions.catch_up({number: self.written_at(number) for number in sorted(dumps)}, floor)

    def written_at(self, dump_id: int) -> datetime:
        """When a dump was complete; if its manifest is gone, when the next dump was, or else the last one."""
        later = [dump for dump in self._written if dump >= dump_id]
        return self._written[min(later) if later else max(self._written)]

    def record(self, table: str, version: Version) -> None:
        """Records that a history has all loads up to a version. Call it inside the transaction that adds the rows."""
        where = (self._source, table)
        self._warehouse.execute(f"DELETE FROM {_TABLE} WHERE source = $1 AND heap_table = $2", where)
        self._warehouse.execute(f"INSERT INTO {_TABLE} VALUES ($1, $2, $3)", (*where, version.number))

    def remember(self, table: str, version: Version) -> None:
        """Updates this object with what was recorded, once the transaction has committed."""
        self._numbers[table] = version.number
