"""Batches of rows that are ready to send, and the bodies of their requests."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, Final

import orjson

from destination_heap_analytics.heap_api import Endpoint
from destination_heap_analytics.mapping.payload import Payload, Payloads

MAX_ITEMS: Final = 10_000
"""The most rows in a batch. With repeating keys, rows can outnumber elements, and each is kept until Heap responds."""

MAX_BYTES: Final = 1_000_000
"""The most bytes in a batch. Heap documents no limit; its own clients stay below this one."""

MAX_KEPT: Final = 4 * 1024 * 1024
"""The most bytes of source rows in a batch, kept in case the rows are rejected and stored."""


class OpenBatch:
    """The batch that is being filled, in order.

    Attributes:
        items: the rows; `hold` replaces them.
        since: when the first row arrived; infinity if there is none.
        is_full: whether the rows fill a request.
    """

    __slots__ = ("_bytes", "_elements", "_kept", "_merges", "_most", "_names", "is_full", "items", "since")

    def __init__(self, most: int, *, merges: bool) -> None:
        """Start empty.

        Args:
            most: the most elements in a request.
            merges: whether all rows with the same key are one element.
        """
        self._merges = merges
        self._most = most
        self.hold(Payloads(), float("inf"))

    def hold(self, items: Payloads, since: float) -> None:
        """Replace the rows with these."""
        self.items = items
        self.since = since
        self._names = set(items.keys) if self._merges else set[str]()
        self._elements: Sized = self._names if self._merges else items.keys
        self._bytes = sum(map(len, items.bodies)) + len(items)
        self._kept = items.kept if _are_kept(items) else 0
        self._look()

    def limit(self, most: int) -> None:
        """Change the most elements in a request."""
        self._most = most
        self._look()

    def add(self, item: Payload, since: float) -> None:
        """Append a row, even if it no longer fits into one request."""
        self.items.append(item)
        self._bytes += len(item.body) + 1
        if item.source is not None:
            self._kept += item.kept
        if self._merges:
            self._names.add(item.key)
        if since < self.since:  # noqa: PLR1730  # runs once per row, and calling min() would take a fifth longer
            self.since = since
        self._look()

    def extend(self, items: Payloads, since: float) -> None:
        """Append several rows, even if they no longer fit into one request."""
        self.items.extend(items)
        self._bytes += sum(map(len, items.bodies)) + len(items)
        if _are_kept(items):
            self._kept += items.kept
        if self._merges:
            self._names.update(items.keys)
        self.since = min(self.since, since)
        self._look()

    @property
    def room(self) -> int:
        """How many more rows fit, not counting bytes; at least one."""
        return max(1, min(self._most - len(self._elements), MAX_ITEMS - len(self.items)))

    def count(self, most: int) -> int:
        """How many rows, from the first on, fit into one request with at most that many elements; at least one."""
        if len(self._elements) <= most and self._bytes <= MAX_BYTES and len(self.items) <= MAX_ITEMS:
            return len(self.items)
        size = 0
        names = set[str | int]()
        for count, (key, body) in enumerate(zip(self.items.keys, self.items.bodies, strict=True)):
            size += len(body) + 1
            names.add(key if self._merges else count)
            if count and (size > MAX_BYTES or len(names) > most or count >= MAX_ITEMS):
                return count
        return len(self.items)

    def _look(self) -> None:
        self.is_full = (
            len(self._elements) >= self._most
            or self._bytes >= MAX_BYTES
            or len(self.items) >= MAX_ITEMS
            or self._kept >= MAX_KEPT
        )


class Envelope:
    """Turns rows into the body of a request; the same rows always give the same bytes.

    In a bulk request of events, two events with the same idempotency key are sent once. In a bulk request of
    properties, each key appears once: later rows are merged over earlier ones, with the same result as sending them one
    by one.
    """

    def __init__(self, app_id: str, endpoint: Endpoint, *, bulk: bool) -> None:
        self.path = endpoint.path
        self.bulk = bulk
        self._key_field = endpoint.key_field
        self._single = b'{"app_id":' + orjson.dumps(app_id) + b"," if endpoint.has_app_id else b"{"
        self._many = self._single + orjson.dumps(endpoint.bulk_field or "") + b":["

    def body(self, items: Sequence[Payload]) -> bytes:
        """The body of one request. If it contains the rows unchanged, they refer to it from then on, to save memory."""
        if not self.bulk:
            (item,) = items
            return self._single + item.body[1:]
        items = Payloads.of(items)
        if len(_names(items)) < len(items):
            return self._many + b",".join(self._merged(element) for element in elements(items)) + b"]}"
        body = b"".join([self._many, b",".join(items.bodies), b"]}"])
        items.point_into(body, len(self._many))
        return body

    def _merged(self, items: Sequence[Payload]) -> bytes:
        if items[0].token is not None or all(item.body == items[0].body for item in items):
            return items[0].body
        properties: dict[str, Any] = {}
        for item in items:
            properties.update(orjson.loads(item.body)["properties"])
        return orjson.dumps({self._key_field: items[0].key, "properties": properties})


def elements(items: Sequence[Payload]) -> list[list[Payload]]:
    """The rows of each element of a bulk request, in the order of the first row of each."""
    by_name: dict[str, list[Payload]] = {}
    for item in items:
        by_name.setdefault(item.token or item.key, []).append(item)
    return list(by_name.values())


def halves(items: Sequence[Payload]) -> list[Payloads]:
    """Smaller requests with the same rows, in order: two halves, or one request per row if all rows are one element."""
    parts = elements(items)
    if len(parts) == 1:
        return [Payloads.of([item]) for item in items]
    middle = (len(parts) + 1) // 2
    return [Payloads.of(item for part in half for item in part) for half in (parts[:middle], parts[middle:])]


def _names(items: Payloads) -> set[str]:
    return {token or key for token, key in zip(items.tokens, items.keys, strict=True)}


def _are_kept(items: Payloads) -> bool:
    """Whether source rows are kept in case they are rejected; in a run, either all are or none."""
    return bool(items) and items.sources[0] is not None
