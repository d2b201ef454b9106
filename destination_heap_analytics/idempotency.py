"""The key that makes a replay harmless: Heap keeps the first event of a key and no second one.

Source: https://developers.heap.io/reference/track-1 (`idempotency_key`). Its scope and lifetime are not documented, so
a key is unique within the app, and made from data that a replay repeats:

    known for this row                        the key is made from
    primary key and timestamp value           app, stream, primary key, identity, event, timestamp
    primary key, append_dedup, no timestamp   app, stream, primary key, identity, event
    timestamp value, no primary key           app, stream, the source's record
    otherwise                                 a random number drawn once per run, and the row's position
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from destination_heap_analytics.catalog import Stream
from destination_heap_analytics.columns import ABSENT, look_up, source_columns
from destination_heap_analytics.values import InexactNumberError, has_lost_digits


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes the idempotency keys of one run.

    Attributes:
        app_id: keys of two apps never meet.
        stream: its name, primary key and sync mode.
        run: a random text drawn once per run, for rows that nothing else tells apart.
    """

    app_id: str
    stream: Stream
    run: str

    def key(self, data: Mapping[str, Any], element: Mapping[str, Any], row: int, *, exact: bool) -> str:
        """64 hexadecimal digits, the same on every machine for the same row.

        Args:
            data: the record.
            element: what Heap is told of it.
            row: its position in the run's input, from 1.
            exact: which reading the record comes from (values.py).

        Raises:
            InexactNumberError: only where not `exact`.
        """
        timestamp = element.get("timestamp")
        primary_key = self._primary_key(data, exact=exact)
        mapped = [element["identity"], element["event"]]
        if primary_key and timestamp is not None:
            return self._digest("state", [primary_key, *mapped, timestamp])
        if primary_key and self.stream.is_deduplicated:
            return self._digest("row", [primary_key, *mapped])
        if timestamp is not None and not primary_key:
            if not exact:
                raise InexactNumberError
            return self._digest("record", [source_columns(data)])
        return self._digest("position", [self.run, row])

    def _primary_key(self, data: Mapping[str, Any], *, exact: bool) -> list[Any] | None:
        """The values of the primary key; None where the stream has none, or the row lacks one of them."""
        values = [look_up(data, path) for path in self.stream.primary_key]
        if not values or any(value is ABSENT or value is None for value in values):
            return None
        if not exact and any(has_lost_digits(value) for value in values):
            raise InexactNumberError
        return values

    def _digest(self, kind: str, parts: list[Any]) -> str:
        text = json.dumps(
            [kind, self.app_id, self.stream.namespace, self.stream.name, *parts],
            sort_keys=True,
            separators=(",", ":"),
            default=str,  # in process a record may hold what no line can, such as a date
        )
        return sha256(text.encode("ascii")).hexdigest()
