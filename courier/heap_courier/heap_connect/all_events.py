"""`Heap:all_events:union`: a view of the events of all event tables, as Heap's other warehouses have it.

Heap adds a table `all_events` to a warehouse, but not to S3:
https://help.heap.io/hc/en-us/articles/18700033317020-Heap-Connect-Data-Schema. An event that meets several definitions
is in the table of each, so it occurs here once for each of them. The name of this view holds a colon, which Heap
removes from the names of events, so that no event's table can have it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from heap_courier.heap_connect.identity_views import (
    MIGRATIONS,
    RAW_ID,
    USERS,
    Tables,
    Types,
    domain_table,
    ends_type,
    user_of,
)
from heap_courier.heap_connect.table_schema import DUMP
from heap_courier.warehouse.base import quoted

ALL_EVENTS: Final = "all_events:union"

_SESSIONS: Final = "sessions"  # they have an `event_id`, and are not events
_NAME: Final = "event_table_name"
_COLUMNS: Final = ("event_id", "time", "user_id", "session_id")


def is_event_table(table: str, columns: Collection[str]) -> bool:
    """Whether a stored table is one that a courier loads from dumps, and holds events."""
    return (
        table not in (USERS, MIGRATIONS, _SESSIONS)
        and not table.startswith("_")
        and DUMP in columns
        and "event_id" in columns
    )


def all_events(source: str, tables: Tables, types: Types) -> str:
    """The view as a query; without event tables it has no rows.

    A column has the type that it has in all event tables, or else is text; one that a table lacks is null there. The
    migrations are looked up once for all of them.
    """
    events = {table: columns for table, columns in tables.items() if is_event_table(table, columns)}
    kinds = {name: _kind(name, events, types) for name in _COLUMNS}
    user = user_of(source, kinds["user_id"], ends_type(tables, types), types)
    parts = [_part(source, table, events[table], kinds, types.text) for table in sorted(events)]
    rows = " UNION ALL ".join(parts) or f"{_part(source, '', {}, kinds, types.text)} WHERE 1 = 0"
    return (
        f'SELECT r.event_id, r."time", {user.resolved} AS user_id, r.user_id AS {RAW_ID}, r.session_id, r.{_NAME} '
        f"FROM ({rows}) AS r{user.join}"
    )


def _kind(name: str, events: Tables, types: Types) -> str:
    kinds = {columns[name] for columns in events.values() if name in columns}
    if not kinds:
        return types.datetime if name == "time" else types.integer
    return kinds.pop() if len(kinds) == 1 else types.text


def _part(source: str, table: str, columns: Mapping[str, str], kinds: Mapping[str, str], text: str) -> str:
    literal = table.replace("'", "''")
    values = [
        (quoted(name) if columns[name] == kind else f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}")
        if name in columns
        else f"CAST(NULL AS {kind}) AS {quoted(name)}"
        for name, kind in kinds.items()
    ]
    rows = f" FROM {quoted(domain_table(source, table))}" if table else ""
    return f"SELECT {', '.join(values)}, CAST('{literal}' AS {text}) AS {_NAME}{rows}"
