"""What a sandbox holds, as Heap Connect would export it: users, and a table for each kind of event."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from courier.integration_tests.heap_bucket import Dump, Row, TableDump, nullable
from heap_sandbox.server import Sandbox

_TYPES: Final = {bool: "boolean", int: "long", float: "double", str: "string"}


def export(heap: Sandbox, dump_id: int) -> Dump:
    """A dump of everything."""
    arrivals = {request["id"]: request["received"] for request in heap.requests()}
    users = [
        {
            "user_id": user_id(user["identity"]),
            "identity": user["identity"],
            "last_modified": milliseconds(arrivals[user["request"]]),
            **user["properties"],
        }
        for user in heap.users()
    ]
    events: dict[str, list[Row]] = {}
    for event in heap.events():
        row = {
            "event_id": event["id"],
            "user_id": user_id(event["identity"]),
            "time": event["time"],
            **event["properties"],
        }
        events.setdefault(table_name(event["event"]), []).append(row)
    tables = {"users": users, **events}
    return Dump(dump_id, tuple(_table(name, rows, files=2) for name, rows in tables.items()))


def user_id(identity: str) -> int:
    """Heap's own is a hash of the identity too, of 53 bits."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") >> 11


def table_name(event: str) -> str:
    """`Sign Up - Click Link` becomes `sign_up_click_link`."""
    return "_".join(re.findall(r"[a-z0-9]+", event.lower()))


def milliseconds(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


def _table(name: str, rows: Iterable[Row], files: int) -> TableDump:
    renamed = [{re.sub(r"\W", "_", column.lower()): value for column, value in row.items()} for row in rows]
    types: dict[str, str] = {}
    for row in renamed:
        for column, value in row.items():
            types[column] = _wider(types.get(column), _TYPES.get(type(value), "string"))
    typed = tuple({column: _as(types[column], value) for column, value in row.items()} for row in renamed)
    return TableDump(name, nullable(**types), typed, files=files)


def _wider(one: str | None, other: str) -> str:
    if one in {None, other}:
        return other
    return "double" if {one, other} == {"long", "double"} else "string"


def _as(kind: str, value: Any) -> Any:
    return str(value) if kind == "string" else value
