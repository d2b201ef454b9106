"""`Heap:all_events:union`: a view of the events of all event tables, like Heap's table `all_events`.

Heap Connect adds `all_events` to warehouses, but not to S3:
https://help.heap.io/hc/en-us/articles/18700033317020-Heap-Connect-Data-Schema. An event that matches several
definitions is in the table of each, so the view has it once per definition. No event table can have the view's name,
because Heap removes colons from the names of events.
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

_SESSIONS: Final = "sessions"  # they have an `event_id`, but are not events
_NAME: Final = "event_table_name"
_COLUMNS: Final = ("event_id", "time", "user_id", "session_id")


def is_event_table(table: str, columns: Collection[str]) -> bool:
    """Whether a stored table was loaded from dumps and contains events."""
    return (
        table not in (USERS, MIGRATIONS, _SESSIONS)
        and not table.startswith("_")
        and DUMP in columns
        and "event_id" in columns
    )


def all_events(source: str, tables: Tables, types: Types) -> str:
    """The query of the view; without event tables it has no rows.

    A column that has the same type in all event tables keeps it, otherwise it is text; it is null for tables without
    it. The migrations are joined once for all tables.
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
