"""`transform` for plain rows: compiled from the columns of a run, so that a row pays for nothing that never changes.

A plain row has short texts, ordinary numbers, booleans and nulls where it is looked at, and objects of these under `*`.
Of anything else a compiled function makes nothing, and `transform` is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Final

from destination_heap_analytics.heap_api import MAX_EVENT, MAX_IDENTITY, MAX_INTEGER, Api
from destination_heap_analytics.mapping.columns.column import Column, is_airbytes
from destination_heap_analytics.mapping.properties import NUMBERS, SHORT, PropertyMaker, Values
from destination_heap_analytics.mapping.timestamps import heap_timestamp
from destination_heap_analytics.mapping.transformer import Element, Selection
from destination_heap_analytics.protocol.catalog import Path

Row = dict[str, Any]
PlainRows = Callable[[Row], Element | None]
"""The element of a row, without its idempotency key; None if the row is not plain.

Raises:
    RowRejectedError: the row has no time where it should.
"""

_KEY_FIELDS: Final = frozenset({"identity", "account_id"})
_MOST_NAMES: Final = 10_000
"""So many names of columns are remembered; a source may have new ones in each row."""

_UNKNOWN: Final = object()
"""In place of a value that is not inside an object."""


def compiled(selection: Selection) -> PlainRows | None:
    """What makes elements of plain rows; None if the selection has something that only `transform` knows."""
    properties_of = _properties_reader(selection)
    if properties_of is None or selection.user_id or selection.key_field not in _KEY_FIELDS:
        return None
    key_field, event, timed = selection.key_field, selection.event, selection.timestamp
    is_track = selection.api is Api.TRACK
    key_of = _name_reader(selection.key, MAX_IDENTITY)
    event_of = _name_reader(event, MAX_EVENT) if isinstance(event, Column) else lambda _: event
    time_of = _reader(timed.keys) if timed else None
    time_column = timed.name if timed else ""

    def element_of(data: Row) -> Element | None:
        if (key := key_of(data)) is None or (properties := properties_of(data)) is None:
            return None
        if not is_track:
            return {key_field: key, "properties": properties}
        if (name := event_of(data)) is None:
            return None
        if time_of is None or (time := time_of(data)) is None:
            return {key_field: key, "event": name, "properties": properties}
        if type(time) is not str or not time or time.isspace():
            return None
        timestamp = heap_timestamp(time, time_column)
        return {key_field: key, "event": name, "timestamp": timestamp, "properties": properties}

    return element_of


def _reader(path: Path) -> Callable[[Row], Any]:
    """Reads a column: None also if it is absent."""
    first, below = path[0], path[1:]

    def nested(data: Row) -> Any:
        value = data.get(first)
        for key in below:
            if type(value) is not dict:
                return None if value is None else _UNKNOWN
            value = value.get(key)
        return value

    return nested if below else lambda data: data.get(first)


def _name_reader(column: Column, most: int) -> Callable[[Row], str | None]:
    """Reads an identity, an account ID or an event's name: ASCII, or an integer."""
    first, below = column.keys[0], column.keys[1:]

    def name_of(data: Row) -> str | None:
        value = data.get(first)
        for key in below:
            value = value.get(key) if type(value) is dict else None
        if type(value) is str:
            return value if value.isascii() and len(value) <= most and value and not value.isspace() else None
        return str(value) if type(value) is int else None

    return name_of


def _properties_reader(selection: Selection) -> Callable[[Row], Values | None] | None:
    listed = selection.properties.as_read
    if listed is None:
        return None
    if selection.rest is None:
        return _listed_reader(listed) if all(map(selection.maker.takes, listed)) else None
    return _all_reader(selection.maker) if not listed and not selection.rest.excepted.names else None


def _listed_reader(listed: Mapping[str, Path]) -> Callable[[Row], Values | None]:
    """The properties of listed columns, in their order; the names are fit."""
    columns = [(name, path[0], path[1:]) for name, path in listed.items()]

    def properties_of(data: Row) -> Values | None:
        values: Values = {}
        for name, key, below in columns:
            value: Any = data.get(key)
            for inner in below:
                value = value.get(inner) if type(value) is dict else None if value is None else _UNKNOWN
            kind = type(value)
            if (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER):
                values[name] = value
            elif value is not None:
                return None
        return values

    return properties_of


def _all_reader(maker: PropertyMaker) -> Callable[[Row], Values | None]:
    """The properties of `*`: a row's own columns first, then those inside its objects."""
    fit = maker.fit
    columns: set[str] = set()  # names of the row's own that are fit, and no columns of Airbyte's

    def properties_of(data: Row) -> Values | None:
        if not columns.issuperset(data):
            _learn(columns, data, maker)
        values: Values = {}
        levels: list[tuple[str, Row]] = []
        for name, value in data.items():
            kind = type(value)
            if name not in columns:
                if not is_airbytes(name):
                    return None
            elif (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER):
                values[name] = value
            elif kind is dict:
                levels.append((f"{name}.", value))
            elif value is not None:
                return None
        return values if not levels or _add_below(values, levels, fit) else None

    return properties_of


def _learn(columns: set[str], data: Row, maker: PropertyMaker) -> None:
    """Add the columns of a row that may become properties of their own names."""
    if len(columns) >= _MOST_NAMES:
        columns.clear()
    columns.update(name for name in data if not is_airbytes(name) and maker.takes(name))


def _add_below(values: Values, levels: list[tuple[str, Row]], fit: Container[str]) -> bool:
    """Add the properties inside objects, each of which comes with what its names begin with; whether all are plain."""
    for prefix, members in levels:  # it grows below, by the objects inside these
        for key, value in members.items():
            name = prefix + key
            kind = type(value)
            if (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER):
                if name not in fit or name in values:
                    return False
                values[name] = value
            elif kind is dict:
                levels.append((f"{name}.", value))
            elif value is not None:
                return False
    return True
