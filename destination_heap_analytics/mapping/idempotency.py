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

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from destination_heap_analytics.mapping.columns import ABSENT, look_up, source_columns
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.numbers import InexactNumberError, has_lost_digits


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
    _scope: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scope = _canonical([self.app_id, self.stream.namespace, self.stream.name])
        object.__setattr__(self, "_scope", scope[1:-1])

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
        if primary_key and (timestamp is not None or self.stream.is_deduplicated):
            values = ",".join([_canonical(value) for value in primary_key])
            parts = f"[{values}],{_canonical(element['identity'])},{_canonical(element['event'])}"
            if timestamp is None:
                return self._digest("row", parts)
            return self._digest("state", f"{parts},{_canonical(timestamp)}")
        if timestamp is not None:
            if not exact:
                raise InexactNumberError
            return self._digest("record", _canonical(source_columns(data)))
        return self._digest("position", f"{_canonical(self.run)},{row}")

    def _primary_key(self, data: Mapping[str, Any], *, exact: bool) -> list[Any]:
        """The values of the primary key; empty where the stream has none, or the row lacks one of them."""
        values = []
        for path in self.stream.primary_key:
            value = look_up(data, path)
            if value is ABSENT or value is None:
                return []
            values.append(value)
        if not exact and any(map(has_lost_digits, values)):
            raise InexactNumberError
        return values

    def _digest(self, kind: str, parts: str) -> str:
        return sha256(f'["{kind}",{self._scope},{parts}]'.encode("ascii")).hexdigest()


_encode: Final = JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    default=str,  # in process a record may hold what no line can, such as a date
).encode


def _canonical(part: Any) -> str:
    """A part's JSON: ASCII alone, keys in order, no spaces."""
    kind = type(part)
    if kind is str:
        return encode_basestring_ascii(part)
    return repr(part) if kind is int else _encode(part)
