"""The history of a domain table: its rows as each load found them, and a view of their versions with validity periods.

    Heap:users:versions   observations: a row as a load found it; `_is_deleted` if it is missing in a complete load
    Heap:users:history    versions: `_valid_from`, `_valid_to` (null for the current one), `_is_current`

Only observations are stored, and the view derives the versions from them. So the history does not depend on the order
in which observations arrive, and a late one changes no other. An observation equal to the previous one adds no version.
The view is a slowly changing dimension of type 2, as in dbt's snapshots
(https://docs.getdbt.com/docs/build/snapshots). All SQL works on both DuckDB and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from heap_courier.data_types.field_types import BOOLEAN, DATETIME, FLOAT, INTEGER, STRING, in_utc
from heap_courier.errors import SchemaError
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.upsert import MOST_EXACT, Table, alter, cast_of, is_newer
from heap_courier.warehouse.views import DroppedViews

VERSIONS: Final = ":versions"
HISTORY: Final = ":history"
"""The suffixes of the names of the table with observations, and of the view with versions."""

_SEEN_AT: Final = "_seen_at"
_IS_DELETED: Final = "_is_deleted"
_OWN: Final = frozenset({_SEEN_AT, _IS_DELETED, "_valid_from", "_valid_to", "_is_current"})
_BEFORE: Final = "heap_courier_before"


def history(versions: str, columns: Iterable[str], key: Sequence[str], order: str) -> str:
    """The query of the history view; `versions` is the table of observations, with these columns."""
    names = [quoted(name) for name in columns if name not in (_SEEN_AT, _IS_DELETED)]
    keys = list(map(quoted, key))
    place = f"PARTITION BY {', '.join(keys)} ORDER BY {quoted(order)}"
    compared = [_IS_DELETED, *(name for name in names if name not in (*keys, quoted(order)))]
    same = " AND ".join(f"lag({name}) OVER place IS NOT DISTINCT FROM {name}" for name in compared)
    listed = ", ".join(names)
    return f"""
        SELECT _valid_from, _valid_to, _valid_to IS NULL AS _is_current, {listed}
        FROM (
            SELECT {listed}, {_IS_DELETED}, _valid_from, lead(_valid_from) OVER ({place}) AS _valid_to
            FROM (
                SELECT {listed}, {_IS_DELETED}, row_number() OVER place > 1 AND {same} AS "is:same",
                    min({_SEEN_AT}) OVER ({place} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS _valid_from
                FROM {quoted(versions)} WINDOW place AS ({place})
            ) AS observation WHERE NOT "is:same"
        ) AS version WHERE NOT {_IS_DELETED}"""


class Versions:
    """The history of a domain table that has a key.

    The first column in `newest` orders the observations of a row; of two that are equal in it, the other columns decide
    which one is kept. Call each method inside a transaction.
    """

    def __init__(self, warehouse: Warehouse, table: Table) -> None:
        """Sends no statement.

        Raises:
            SchemaError: the table has a column with the name of one that the history adds.
        """
        self._warehouse = warehouse
        self._table = table
        self._kinds: Mapping[str, str] = {}
        self.name = table.name + VERSIONS
        self.view = table.name + HISTORY
        self._stored = quoted(self.name)
        self._order = quoted(table.newest[0])
        self._key = ", ".join(map(quoted, table.key))
        self._names = ", ".join(map(quoted, table.schema.names))
        self._same_key = " AND ".join(f"t.{quoted(column)} = w.{quoted(column)}" for column in table.key)
        self._same = f"{self._same_key} AND t.{self._order} = w.{self._order}"
        columns = [*map(quoted, table.key), self._order]
        self._latest = " AND ".join(f"t.{column} = b.{column}" for column in columns)
        if taken := [column.name for column in table.columns if column.name.lower() in _OWN]:
            raise SchemaError(
                f"The table `{table.name}` has a column `{taken[0]}`, but its history adds a column of that name: "
                "rename the column, or do not keep the table's history."
            )

    def add(self, rows: str, seen_at: datetime, *, complete: int | None = None) -> None:
        """Adds the rows of a load as observations.

        Args:
            rows: a query that returns the rows, one per key; those whose key is null have no history.
            seen_at: the time in UTC from which they are valid, unless a later observation has an earlier one.
            complete: set if the load contains all rows of the table, so that missing rows are deleted: the value that
                all of them have in the column that orders observations. They replace observations with the same value,
                and no observation that precedes them is added later.
        """
        dropped = self._widen(rows)
        incoming = self._converted(rows)
        seen = self._literal(seen_at)
        if complete is not None:
            self._add_all(incoming, complete, seen)
        else:
            within = [quoted(column) for column in self._table.newest[1:]]
            older = f" AND NOT ({is_newer(within)})" if within else ""
            self._execute(f"DELETE FROM {self._stored} AS t USING ({incoming}) AS w WHERE {self._same}{older}")
            self._insert(incoming, seen, f"SELECT 1 FROM {self._stored} AS t WHERE {self._same}")
        dropped.create(self._view())

    def catch_up(self, seen_at: Mapping[int, datetime], complete: int | None) -> int:
        """Adds the stored rows of the table as observations, after loads whose history was not kept.

        Args:
            seen_at: for each value of the column that orders observations, the time in UTC from which its rows are
                valid.
            complete: the newest of these values whose load contained all rows: rows that the table lacks were deleted
                then.

        Returns:
            How many rows the table has.
        """
        table = quoted(self._table.name)
        rows = f"SELECT {self._names} FROM {table}"
        dropped = self._widen(rows)
        incoming = self._converted(rows)
        self._execute(f"DELETE FROM {self._stored} AS t USING ({incoming}) AS w WHERE {self._same}")
        if seen_at:
            cases = " ".join(f"WHEN {value:d} THEN {self._literal(instant)}" for value, instant in seen_at.items())
            self._insert(incoming, f"CASE w.{self._order} {cases} END", None)
        if complete is not None:
            gone = f"NOT EXISTS (SELECT 1 FROM ({incoming}) AS w WHERE {self._same_key})"
            self._execute(f"DELETE FROM {self._stored} AS t WHERE t.{self._order} >= {complete:d} AND {gone}")
            self._note_before(complete)
            self._end(incoming, complete, self._literal(seen_at[complete]))
        dropped.create(self._view())
        return int(self._warehouse.query(f"SELECT count(*) FROM {table}")[0][0])

    def _add_all(self, incoming: str, value: int, seen: str) -> None:
        """Adds a complete load. A row equal to its previous observation needs none: no other can come between them."""
        self._execute(f"DELETE FROM {self._stored} WHERE {self._order} = {value:d}")
        self._note_before(value)
        loaded = set(self._table.schema.names)
        alike = [
            f"t.{quoted(name)} IS NOT DISTINCT FROM w.{quoted(name)}" if name in loaded else f"t.{quoted(name)} IS NULL"
            for name in self._kinds
            if name not in (*self._table.key, self._table.newest[0], *_OWN)
        ]
        stored = (
            f"SELECT 1 FROM {_BEFORE} AS b JOIN {self._stored} AS t ON {self._latest} "
            f"WHERE {' AND '.join([self._same_key, f'NOT t.{_IS_DELETED}', *alike])}"
        )
        self._insert(incoming, seen, stored)
        self._end(incoming, value, seen)

    def _note_before(self, value: int) -> None:
        """Creates a temporary table of the latest observation of each row before a value."""
        self._execute(
            f"CREATE TEMPORARY TABLE {_BEFORE} AS SELECT {self._key}, max({self._order}) AS {self._order} "
            f"FROM {self._stored} WHERE {self._order} < {value:d} GROUP BY {self._key}"
        )

    def _end(self, present: str, value: int, seen: str) -> None:
        """Adds observations of deletion for rows that existed before a value and are not among the present ones."""
        key = ", ".join(f"t.{quoted(column)}" for column in self._table.key)
        self._execute(
            f"INSERT INTO {self._stored} ({self._key}, {self._order}, {_SEEN_AT}, {_IS_DELETED}) "
            f"SELECT {key}, {value:d}, {seen}, true FROM {_BEFORE} AS b JOIN {self._stored} AS t ON {self._latest} "
            f"WHERE NOT t.{_IS_DELETED} AND NOT EXISTS (SELECT 1 FROM ({present}) AS w WHERE {self._same_key})"
        )
        self._execute(f"DROP TABLE {_BEFORE}")

    def _insert(self, incoming: str, seen: str, unless: str | None) -> None:
        """Adds rows `w` as observations, except those for which the query `unless` returns a row."""
        where = f" WHERE NOT EXISTS ({unless})" if unless else ""
        self._execute(
            f"INSERT INTO {self._stored} ({self._names}, {_SEEN_AT}, {_IS_DELETED}) "
            f"SELECT {self._names}, {seen}, false FROM ({incoming}) AS w{where}"
        )

    def _widen(self, rows: str) -> DroppedViews:
        """Adds the table's columns to those of the observations, and widens types to fit the values of both."""
        stored = self._warehouse.columns(self.name)
        lower = {name.lower(): name for name in stored}
        for column in self._table.columns:
            other = lower.get(column.name.lower(), column.name)
            if column.name not in stored and other != column.name:  # names in DuckDB are case-insensitive
                for old, new in ((other, _BEFORE), (_BEFORE, column.name)):
                    self._execute(f"ALTER TABLE {self._stored} RENAME COLUMN {quoted(old)} TO {quoted(new)}")
        stored = self._warehouse.columns(self.name)
        sql_type = self._warehouse.sql_type
        wanted = {column.name: sql_type(column.type) for column in self._table.columns}
        wider = {name: self._wider(name, kind, wanted.get(name, kind), rows) for name, kind in stored.items()}
        self._kinds = wider | {name: kind for name, kind in wanted.items() if name not in stored}
        self._kinds |= {_SEEN_AT: sql_type(DATETIME), _IS_DELETED: sql_type(BOOLEAN)}
        return alter(self._warehouse, self.name, self._kinds, (*self._table.key, self._table.newest[0]))

    def _wider(self, column: str, stored: str, wanted: str, rows: str) -> str:
        integer, real, text = map(self._warehouse.sql_type, (INTEGER, FLOAT, STRING))
        if stored == wanted or not self._finds(f"({rows})", f"{quoted(column)} IS NOT NULL"):
            return stored
        if not self._finds(self._stored, f"{quoted(column)} IS NOT NULL"):
            return wanted
        if {stored, wanted} != {integer, real}:
            return text
        integers = self._stored if stored == integer else f"({rows})"
        far = f"{quoted(column)} NOT BETWEEN {-MOST_EXACT:d} AND {MOST_EXACT:d}"
        return text if self._finds(integers, far) else real

    def _finds(self, relation: str, condition: str) -> bool:
        return bool(self._warehouse.query(f"SELECT 1 FROM {relation} AS r WHERE {condition} LIMIT 1"))

    def _converted(self, rows: str) -> str:
        """A query that returns the rows with a key, cast to the types of the observations."""
        values = []
        for column in self._table.columns:
            kind, stored = self._warehouse.sql_type(column.type), self._kinds[column.name]
            name = quoted(column.name)
            values.append(
                name if kind == stored else f"{cast_of(self._warehouse, column.name, kind, stored)} AS {name}"
            )
        has_key = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in self._table.key)
        return f"SELECT {', '.join(values)} FROM ({rows}) AS r WHERE {has_key}"

    def _view(self) -> dict[str, str]:
        return {self.view: history(self.name, self._kinds, self._table.key, self._table.newest[0])}

    def _literal(self, instant: datetime) -> str:
        return f"CAST('{in_utc(instant).isoformat(sep=' ')}' AS {self._warehouse.sql_type(DATETIME)})"

    def _execute(self, sql: str) -> None:
        self._warehouse.execute(sql)
