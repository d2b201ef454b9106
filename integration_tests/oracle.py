"""What must be true after a run, however badly Heap behaves: derived from the input rows, not from the connector.

Complete payloads are compared, never counts alone: rows before a returned state are at Heap or among the
rejected rows, and nothing is there that was not sent.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from destination_heap_analytics.mapping.idempotency import KeyMaker
from destination_heap_analytics.protocol.catalog import parse_catalog
from heap_sandbox.server import Sandbox

CATALOG: dict[str, Any] = {
    "streams": [
        {
            "stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
    ]
}

APIS: dict[str, dict[str, Any]] = {
    "track": {
        "api_type": "track",
        "property_columns": "n,plan,note",
        "event_column": "event",
        "identity_column": "who",
        "timestamp_column": "at",
    },
    "users": {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "who"},
    "accounts": {"api_type": "add_account_properties", "property_columns": "*", "account_id_column": "who"},
}

Row = dict[str, Any]
"""A row of the source; a state is just its number."""

Answer = tuple[int, int, int]
"""A returned state: its number, and its counts of delivered and rejected rows."""

_KEYS = KeyMaker("11", parse_catalog(CATALOG), "")
_ADDED = {"rejected_reason", "rejected_field", "rejected_message"}
_CHECK = "airbyte-connection-check"
"""The identity of the only event that is not from the source: the one of `check`."""


def row(number: int, *, people: int = 300, **columns: Any) -> Row:
    """A unique row; every identity repeats after `people` rows."""
    who = f"wer{number % people} \u00fc\u4f60\U0001f600'\"\\,\u2028@example.com"
    at = f"2022-10-{1 + number // 86400:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    plan = {"plan": f"plan {number} \u00e9"} if number % 3 else {}
    return {"who": who, "event": "Paid" if number % 2 else "B\u00e9zahlt", "at": at, "n": number, **plan, **columns}


def source(rows: Sequence[Row], *, every: int) -> list[Row | int]:
    """The rows, with a state after every few of them, and one at the end."""
    content: list[Row | int] = []
    for number, data in enumerate(rows, 1):
        content.append(data)
        if number % every == 0 or number == len(rows):
            content.append(number)
    return content


def lines(content: Sequence[Row | int]) -> list[bytes]:
    """The messages of the source."""
    return [_state(item) if isinstance(item, int) else _record(item) for item in content]


def _record(data: Row) -> bytes:
    return json.dumps({"type": "RECORD", "record": {"stream": "users", "data": data, "emitted_at": 1}}).encode()


def _state(number: int) -> bytes:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"n": number}}
    return json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": stream, "id": number}}).encode()


def config(heap: Sandbox, api: str, mode: str, **settings: Any) -> dict[str, Any]:
    """Settings for these rows."""
    return {"app_id": "11", "base_url": heap.url, "api": APIS[api], "delivery": {"mode": mode}, **settings}


def stored(folder: Path) -> list[Row]:
    """The rejected rows that are stored there, as the source wrote them."""
    kept = [json.loads(line) for file in sorted(folder.rglob("*.jsonl")) for line in file.read_bytes().splitlines()]
    assert all(set(line) >= _ADDED for line in kept)
    return [{name: value for name, value in line.items() if name not in _ADDED} for line in kept]


def verify(
    heap: Sandbox,
    content: Sequence[Row | int],
    back: Sequence[Answer],
    rejected: Sequence[Row] = (),
    *,
    api: str,
) -> None:
    """Compare the returned states, Heap's data and the rejected rows with the input."""
    rows = [item for item in content if not isinstance(item, int)]
    refused = _numbers(rejected, rows)
    _verify_states(content, back, refused)
    last = back[-1][0] if back else None
    before = content[: content.index(last)] if last is not None else []
    due = [item["n"] for item in before if not isinstance(item, int)]
    if api == "track":
        _verify_events(heap, rows, due, refused)
    else:
        _verify_properties(heap, rows, due, refused, api)


def _numbers(rejected: Sequence[Row], rows: Sequence[Row]) -> set[int]:
    by_number = {data["n"]: data for data in rows}
    assert all(data == by_number[data["n"]] for data in rejected)
    numbers = {data["n"] for data in rejected}
    assert len(numbers) == len(rejected)
    return numbers


def _verify_states(content: Sequence[Row | int], back: Sequence[Answer], refused: Collection[int]) -> None:
    """In the order sent, without gaps, each with the counts of the rows since the previous one."""
    checkpoints: dict[int, list[int]] = {}
    checkpoint: list[int] = []
    for item in content:
        if isinstance(item, int):
            checkpoints[item], checkpoint = checkpoint, []
        else:
            checkpoint.append(item["n"])
    expected = [
        (
            state,
            len(numbers) - sum(number in refused for number in numbers),
            sum(number in refused for number in numbers),
        )
        for state, numbers in checkpoints.items()
    ]
    assert list(back) == expected[: len(back)]


def event(data: Row) -> dict[str, Any]:
    """The event that Heap must have for a row, including its idempotency key."""
    element = {"identity": data["who"], "event": data["event"], "timestamp": data["at"]}
    properties = {name: data[name] for name in ("n", "plan", "note") if data.get(name) is not None}
    key = _KEYS.key(data, element, 0, exact=True)
    return {**element, "properties": properties, "idempotency_key": key}


def _verify_events(heap: Sandbox, rows: Sequence[Row], due: Sequence[int], refused: Collection[int]) -> None:
    arrived = [found["payload"] for found in heap.events() if found["identity"] != _CHECK]
    sent = {data["n"]: event(data) for data in rows}
    times = Counter(payload["properties"]["n"] for payload in arrived)
    assert [number for number, count in times.items() if count > 1] == []
    assert [payload for payload in arrived if payload != sent[payload["properties"]["n"]]] == []
    assert set(times) & set(refused) == set()
    assert [number for number in due if number not in times and number not in refused] == []
    by_identity: dict[str, list[int]] = defaultdict(list)
    for payload in arrived:
        by_identity[payload["identity"]].append(payload["properties"]["n"])
    assert [numbers for numbers in by_identity.values() if numbers != sorted(numbers)] == []


def _verify_properties(
    heap: Sandbox, rows: Sequence[Row], due: Sequence[int], refused: Collection[int], api: str
) -> None:
    """Each property has the value of the last row of its user or account; rows after the last state may be missing."""
    key = {"users": "identity", "accounts": "account_id"}[api]
    found = {one[key]: one["properties"] for one in (heap.users() if api == "users" else heap.accounts())}
    found.pop(_CHECK, None)
    allowed: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    certain = set(due)
    for data in rows:
        if data["n"] in refused:
            continue
        for name, value in data.items():
            if value is None:
                continue
            values = allowed[data["who"]][name]
            if data["n"] in certain:
                values.clear()
            values.append(value)
    must = {data["who"] for data in rows if data["n"] in certain and data["n"] not in refused}
    assert must <= set(found) <= set(allowed)
    for who, properties in found.items():
        assert set(properties) <= set(allowed[who])
        assert [name for name, value in properties.items() if value not in allowed[who][name]] == []
        if who in must:
            needed = {
                name for data in rows if data["who"] == who and data["n"] in certain - set(refused) for name in data
            }
            assert needed <= set(properties)
