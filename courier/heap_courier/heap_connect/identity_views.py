"""Identity resolution: views of Heap's tables in which user ids are resolved through `user_migrations`.

In S3, Heap leaves it to the reader to apply migrations:
https://help.heap.io/heap-connect/heap-connect-guide/identity-resolution. Rows stay as loaded and views apply the
migrations, so that a new migration rewrites nothing. The SQL works on DuckDB and PostgreSQL.

    Heap:user_migrations:resolved   the final id of each migrated one, after any number of hops; of a cycle, the lowest
    Heap:users:resolved             one row per person: the lowest joindate, the highest value of every other column
    Heap:sessions:resolved ...      `user_id` is the resolved id, `raw_user_id` the id in the row
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from heap_courier.data_types.field_types import BOOLEAN, DATETIME, INTEGER, STRING
from heap_courier.warehouse.base import Warehouse, quoted

MIGRATIONS: Final = "user_migrations"
USERS: Final = "users"

_DOUBLINGS: Final = 24  # enough for a cycle of 16 million ids
_SUFFIX: Final = ":resolved"
RAW_ID: Final = "raw_user_id"
_ENDS: Final = frozenset({"from_user_id", "to_user_id"})
_EARLIEST: Final = frozenset(
    {"joindate", "joindate_raw"}
)  # the lowest value of a person's rows counts; of other columns, the highest

Tables = Mapping[str, Mapping[str, str]]
"""The columns of Heap's tables with their SQL types, by Heap's names; a table without columns does not exist."""


class Types(NamedTuple):
    """The names of the types that matter here, in the SQL of an engine."""

    boolean: str
    datetime: str
    integer: str
    text: str

    @classmethod
    def of(cls, warehouse: Warehouse) -> Types:
        """The types of a warehouse's engine."""
        return cls(*map(warehouse.sql_type, (BOOLEAN, DATETIME, INTEGER, STRING)))


def domain_table(source: str, table: str) -> str:
    """The domain table of one of Heap's tables, such as `Heap:users`."""
    return f"{source}:{table}"


def view_name(source: str, table: str) -> str:
    """The view of a table with resolved ids, such as `Heap:users:resolved`."""
    return f"{domain_table(source, table)}{_SUFFIX}"


def is_resolved(table: str) -> bool:
    """Whether one of Heap's tables has the name of another table's view."""
    return table.endswith(_SUFFIX)


def views(source: str, tables: Tables, types: Types) -> dict[str, str]:
    """The queries of the views, by table, in the order in which to create them."""
    queries: dict[str, str] = {}
    kind = ends_type(tables, types)
    if kind:
        queries[MIGRATIONS] = _ends(quoted(domain_table(source, MIGRATIONS)), kind)
    for table, columns in tables.items():
        if "user_id" in columns and table != MIGRATIONS:
            rows = _resolved(source, table, columns, user_of(source, columns["user_id"], kind, types))
            queries[table] = _people(rows, columns, types) if table == USERS else rows
    return queries


def ends_type(tables: Tables, types: Types) -> str | None:
    """The type of the ids in the view of the migrations; None if there are no migrations."""
    migrations = tables.get(MIGRATIONS, {})
    if not migrations.keys() >= _ENDS:
        return None
    return types.integer if all(migrations[column] == types.integer for column in _ENDS) else types.text


class User(NamedTuple):
    """How to get the resolved user of the rows `r` of a query: an expression, and the join that it needs."""

    resolved: str
    join: str


def user_of(source: str, kind: str, ends: str | None, types: Types) -> User:
    """The user of rows whose `user_id` has the type `kind`, given the type of the ids in migrations (`ends`).

    Ids of different types are compared as text.
    """
    if ends is None:
        return User("r.user_id", "")
    goal, origin, mine = "m.to_user_id", "m.from_user_id", "r.user_id"
    if kind != ends:
        goal, origin, mine = (f"CAST({side} AS {types.text})" for side in (goal, origin, mine))
    view = quoted(view_name(source, MIGRATIONS))
    return User(f"COALESCE({goal}, {mine})", f" LEFT JOIN {view} AS m ON {origin} = {mine}")


def _ends(migrations: str, kind: str) -> str:
    """Follows each id to its final one. A cycle has none: its ids, and those leading into it, get its lowest id.

    Chains are followed backwards from their final ids, so that each id is visited once, however long the chain. The
    remaining ids lead into cycles, which are followed by doubling: n joins cover 2^n hops and find the lowest id on the
    way. Both need memory per id, not per pair of ids.
    """
    levels = ", ".join(
        f"""ring_{level} AS (
            SELECT a.origin, b.goal, LEAST(a.least, b.least) AS least
            FROM ring_{level - 1} AS a JOIN ring_{level - 1} AS b ON b.origin = a.goal
        )"""
        for level in range(1, _DOUBLINGS + 1)
    )
    return f"""
        WITH RECURSIVE hop AS (
            SELECT CAST(from_user_id AS {kind}) AS origin, max(CAST(to_user_id AS {kind})) AS goal
            FROM {migrations} WHERE from_user_id IS NOT NULL AND to_user_id IS NOT NULL GROUP BY 1
        ), ended(origin, goal) AS (
            SELECT hop.origin, hop.goal FROM hop
            WHERE NOT EXISTS (SELECT 1 FROM hop AS further WHERE further.origin = hop.goal)
            UNION ALL
            SELECT hop.origin, ended.goal FROM ended JOIN hop ON hop.goal = ended.origin
        ), ring_0 AS (
            SELECT origin, goal, goal AS least FROM hop
            WHERE NOT EXISTS (SELECT 1 FROM ended WHERE ended.origin = hop.origin)
        ), {levels}
        SELECT origin AS from_user_id, goal AS to_user_id FROM ended
        UNION ALL
        SELECT a.origin, b.least FROM ring_{_DOUBLINGS} AS a JOIN ring_{_DOUBLINGS} AS b ON b.origin = a.goal"""


def _resolved(source: str, table: str, columns: Mapping[str, str], user: User) -> str:
    """The rows of a table with resolved ids."""
    names = [
        f"{user.resolved} AS user_id, r.user_id AS {RAW_ID}" if name == "user_id" else f"r.{quoted(name)}"
        for name in columns
        if name.lower() != RAW_ID
    ]
    return f"SELECT {', '.join(names)} FROM {quoted(domain_table(source, table))} AS r{user.join}"


def _people(rows: str, columns: Mapping[str, str], types: Types) -> str:
    """Users, one row per resolved id, merged as Heap documents; rows without an id belong to no user."""
    names = [
        "user_id" if name == "user_id" else f"{_choice(name, kind, types)}({quoted(name)}) AS {quoted(name)}"
        for name, kind in columns.items()
        if name.lower() != RAW_ID
    ]
    return f"SELECT {', '.join(names)} FROM ({rows}) AS resolved WHERE user_id IS NOT NULL GROUP BY user_id"


def _choice(name: str, kind: str, types: Types) -> str:
    if kind == types.boolean:
        return "bool_or"
    return "min" if name in _EARLIEST else "max"
