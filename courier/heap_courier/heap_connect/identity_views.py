"""Who is who: views of Heap's tables in which the ids of users are those that `user_migrations` leads to.

Heap leaves migrations in S3 to the reader: https://help.heap.io/heap-connect/heap-connect-guide/identity-resolution.
The rows stay as they came and the views follow the migrations, so that a new migration costs nothing but a look. All of
it is SQL that DuckDB and PostgreSQL share.

    Heap:user_migrations:resolved   where each migrated id ends, however many hops away; a ring of ids ends at its least
    Heap:users:resolved             one row per person: the least joindate, the greatest of everything else
    Heap:sessions:resolved ...      `user_id` is the resolved one, `raw_user_id` the one that the row came with
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from heap_courier.data_types.field_types import BOOLEAN, INTEGER, STRING
from heap_courier.warehouse.base import Warehouse, quoted

MIGRATIONS: Final = "user_migrations"
USERS: Final = "users"

_ENDS: Final = frozenset({"from_user_id", "to_user_id"})
_EARLIEST: Final = frozenset({"joindate", "joindate_raw"})  # of one person's rows; of other columns it is the greatest

Tables = Mapping[str, Mapping[str, str]]
"""Heap's tables, by Heap's names, and their columns with SQL types; a table without columns is none."""


class Types(NamedTuple):
    """What an engine calls the types that matter here."""

    boolean: str
    integer: str
    text: str

    @classmethod
    def of(cls, warehouse: Warehouse) -> Types:
        """The names of an engine."""
        return cls(*map(warehouse.sql_type, (BOOLEAN, INTEGER, STRING)))


def domain_table(source: str, table: str) -> str:
    """The domain table that a table of Heap's lands in: `Heap:users`."""
    return f"{source}:{table}"


def view_name(source: str, table: str) -> str:
    """The view of a table in which ids are resolved: `Heap:users:resolved`."""
    return f"{domain_table(source, table)}:resolved"


def drop_views(warehouse: Warehouse, source: str, tables: Iterable[str]) -> None:
    """Drops the views of tables, where there are any; that of the migrations last, since the others look there."""
    for table in sorted(tables, key=lambda table: table == MIGRATIONS):
        warehouse.execute(f"DROP VIEW IF EXISTS {quoted(view_name(source, table))}")


def make_views(warehouse: Warehouse, source: str, tables: Tables, wanted: Collection[str]) -> None:
    """Makes the views of the wanted ones of the tables, or makes them anew; columns may only have come since."""
    for table, query in views(source, tables, Types.of(warehouse)).items():
        if table in wanted:
            warehouse.execute(f"CREATE OR REPLACE VIEW {quoted(view_name(source, table))} AS {query}")


def views(source: str, tables: Tables, types: Types) -> dict[str, str]:
    """The view of each table that has one, as a query, in the order in which they are to be made."""
    queries: dict[str, str] = {}
    ends_type = None
    migrations = tables.get(MIGRATIONS, {})
    if migrations.keys() >= _ENDS:
        integers = all(migrations[column] == types.integer for column in _ENDS)
        ends_type = types.integer if integers else types.text
        queries[MIGRATIONS] = _ends(quoted(domain_table(source, MIGRATIONS)), ends_type)
    ends = quoted(view_name(source, MIGRATIONS))
    for table, columns in tables.items():
        if "user_id" in columns and table != MIGRATIONS:
            rows = _resolved(quoted(domain_table(source, table)), columns, ends, ends_type, types)
            queries[table] = _people(rows, columns, types) if table == USERS else rows
    return queries


def _ends(migrations: str, kind: str) -> str:
    """Follows each id to where it ends. A ring has no end: all its ids, and those that lead into it, take its least."""
    return f"""
        WITH RECURSIVE hop AS (
            SELECT CAST(from_user_id AS {kind}) AS origin, CAST(to_user_id AS {kind}) AS goal
            FROM {migrations} WHERE from_user_id IS NOT NULL AND to_user_id IS NOT NULL
        ), way(origin, reached) AS (
            SELECT origin, goal FROM hop
            UNION
            SELECT way.origin, hop.goal FROM way JOIN hop ON hop.origin = way.reached
        )
        SELECT way.origin AS from_user_id, COALESCE(
            max(way.reached) FILTER (WHERE hop.origin IS NULL),
            min(way.reached) FILTER (WHERE ring.origin IS NOT NULL)
        ) AS to_user_id
        FROM way
        LEFT JOIN hop ON hop.origin = way.reached
        LEFT JOIN way AS ring ON ring.origin = way.reached AND ring.reached = way.reached
        GROUP BY way.origin"""


def _resolved(rows: str, columns: Mapping[str, str], ends: str, ends_type: str | None, types: Types) -> str:
    """The rows of a table, each with the id that its own one leads to. Ids of unlike types are compared as text."""
    mine = "r.user_id"
    join = ""
    resolved = mine
    if ends_type is not None:
        goal, origin = "m.to_user_id", "m.from_user_id"
        if columns["user_id"] != ends_type:
            goal, origin, mine = (f"CAST({side} AS {types.text})" for side in (goal, origin, mine))
        join = f" LEFT JOIN {ends} AS m ON {origin} = {mine}"
        resolved = f"COALESCE({goal}, {mine})"
    names = [
        f"{resolved} AS user_id, r.user_id AS raw_user_id" if name == "user_id" else f"r.{quoted(name)}"
        for name in columns
        if name != "raw_user_id"
    ]
    return f"SELECT {', '.join(names)} FROM {rows} AS r{join}"


def _people(rows: str, columns: Mapping[str, str], types: Types) -> str:
    """Users, one row per resolved id, as Heap says to put them together; a row without an id is nobody's."""
    names = [
        "user_id" if name == "user_id" else f"{_choice(name, kind, types)}({quoted(name)}) AS {quoted(name)}"
        for name, kind in columns.items()
        if name != "raw_user_id"
    ]
    return f"SELECT {', '.join(names)} FROM ({rows}) AS resolved WHERE user_id IS NOT NULL GROUP BY user_id"


def _choice(name: str, kind: str, types: Types) -> str:
    if kind == types.boolean:
        return "bool_or"
    return "min" if name in _EARLIEST else "max"
