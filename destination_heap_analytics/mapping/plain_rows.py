"""`transform` for plain rows, compiled from the columns of a run, and applied to a block of rows, column by column.

A plain row has only short texts, ordinary numbers, booleans and nulls in the columns used, and with `*` objects of
these; if its shape is known, also lists and long texts (plain_properties.py). If any row in a block is not plain, the
compiled function raises an error, and `transform` maps the rows of the block one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from destination_heap_analytics.heap_api import MAX_EVENT, MAX_IDENTITY, Api
from destination_heap_analytics.mapping import plain_properties
from destination_heap_analytics.mapping.columns.block import NONE, Block, NotPlainError
from destination_heap_analytics.mapping.columns.column import Column
from destination_heap_analytics.mapping.plain_properties import are_short
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.mapping.timestamps import heap_timestamp, heap_timestamps
from destination_heap_analytics.mapping.transformer import Selection
from destination_heap_analytics.protocol.catalog import Path

PlainRows = Callable[[Block], "Plain"]
"""Maps several rows.

Raises:
    NotPlainError: one of the rows is not plain.
    RowRejectedError: one of the rows has an invalid timestamp.
"""


@dataclass(frozen=True, slots=True)
class Plain:
    """Several mapped rows, in columns.

    Attributes:
        keys: their identities or account IDs.
        events: the names of their events; None if they are not events.
        times: their timestamps; None for those without one.
        properties: their properties, as objects for msgspec.
        made: the changes that were made to properties; None if there were none.
        element: creates the element for Heap from a key, event, time, properties and idempotency key.
    """

    keys: list[str]
    events: Sequence[str | None]
    times: Sequence[str | None]
    properties: list[Any]
    made: Properties | None
    element: Callable[..., Any]

    def bodies(self, tokens: Sequence[str | None]) -> list[bytes]:
        """The serialised elements, byte for byte as orjson writes them: for plain values, msgspec's output is the same.

        All are written at once, one per line; line breaks inside texts are escaped.
        """
        columns = self.keys, self.events, self.times, self.properties, tokens
        return _ENCODER.encode_lines(list(map(self.element, *columns))).split(b"\n")[:-1]


_ENCODER: Final = msgspec.json.Encoder()

_KEY_FIELDS: Final = frozenset({"identity", "account_id"})
_ELEMENTS: Final = {
    key_field: msgspec.defstruct(
        "Element",
        [(name, Any, None) for name in (key_field, "event", "timestamp", "properties", "idempotency_key")],
        omit_defaults=True,
        gc=False,
    )
    for key_field in _KEY_FIELDS
}
"""The JSON objects that Heap documents, with members in the order of `transform`; None is left out."""

_TEXT: Final = frozenset({str})
_INTEGER: Final = frozenset({int})


def compiled(selection: Selection) -> PlainRows | None:
    """The function for plain rows; None if the selection has something that only `transform` supports."""
    properties_of = plain_properties.properties_of(selection)
    if properties_of is None or selection.user_id or selection.key_field not in _KEY_FIELDS:
        return None
    key_field, key_path, event, timed = selection.key_field, selection.key.keys, selection.event, selection.timestamp
    is_track = selection.api is Api.TRACK

    element = _ELEMENTS[key_field]

    def plain(rows: Block) -> Plain:
        keys = _names(rows, key_path, MAX_IDENTITY)
        properties, made = properties_of(rows)
        events: Sequence[str | None] = [None] * len(rows)
        times = events
        if is_track:
            events = _names(rows, event.keys, MAX_EVENT) if isinstance(event, Column) else [event] * len(rows)
            times = _times(rows, timed) if timed else times
        return Plain(keys, events, times, properties, made, element)

    return plain


def used_by(selection: Selection) -> set[Path]:
    """The paths of the columns that a compiled function reads; with `*`, it reads all other columns too."""
    columns = [selection.key, selection.event, selection.timestamp]
    return {column.keys for column in columns if isinstance(column, Column)} | set(selection.properties.paths)


def _names(rows: Block, path: Path, most: int) -> list[str]:
    """The identities, account IDs or event names: texts of at most `most` UTF-16 units, or integers as text."""
    values = rows.column(path)
    kinds = set(map(type, values))
    if kinds == _INTEGER:
        values, kinds = list(map(str, values)), {str}
    if kinds != _TEXT or not are_short(values, most) or not all(map(str.strip, values)):
        raise NotPlainError
    return values


def _times(rows: Block, column: Column) -> list[str | None]:
    values, name = rows.column(column.keys), column.name
    kinds = set(map(type, values))
    if kinds == _TEXT:
        return [*heap_timestamps(values, name)]
    if not kinds <= {str, NONE}:
        raise NotPlainError
    return [None if value is None else heap_timestamp(value, name) for value in values]
