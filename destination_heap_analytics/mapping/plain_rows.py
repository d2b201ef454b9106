"""`transform` for plain rows: compiled from the columns of a run, and applied to a block of rows, column by column.

A plain row has short texts, ordinary numbers, booleans and nulls in the columns read, and objects of these under `*`.
If a block has any other row, a compiled function makes nothing of it, and `transform` is asked about each of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

from destination_heap_analytics.heap_api import MAX_EVENT, MAX_IDENTITY, MAX_INTEGER, MAX_PROPERTY, Api
from destination_heap_analytics.mapping.columns.block import NONE, Block, NotPlainError, Row
from destination_heap_analytics.mapping.columns.column import Column, is_airbytes
from destination_heap_analytics.mapping.properties import NUMBERS, SHORT, PropertyMaker, Values
from destination_heap_analytics.mapping.timestamps import heap_timestamp
from destination_heap_analytics.mapping.transformer import Element, Selection
from destination_heap_analytics.protocol.catalog import Path

PlainRows = Callable[[Block], list[Element]]
"""The elements of some rows, without their idempotency keys.

Raises:
    NotPlainError: one of the rows is not plain.
    RowRejectedError: one of the rows has no time where it should.
"""

_KEY_FIELDS: Final = frozenset({"identity", "account_id"})
_MOST_NAMES: Final = 10_000
"""The most names of columns that are remembered; a source may have new ones in each row."""

_TEXT: Final = frozenset({str})
_INTEGER: Final = frozenset({int})


def compiled(selection: Selection) -> PlainRows | None:
    """What makes elements of plain rows; None if the selection has something that only `transform` knows."""
    properties_of = _properties_reader(selection)
    if properties_of is None or selection.user_id or selection.key_field not in _KEY_FIELDS:
        return None
    key_field, key_path, event, timed = selection.key_field, selection.key.keys, selection.event, selection.timestamp
    is_track = selection.api is Api.TRACK

    def elements_of(rows: Block) -> list[Element]:
        keys, properties = _names(rows, key_path, MAX_IDENTITY), properties_of(rows)
        if not is_track:
            return [{key_field: key, "properties": values} for key, values in zip(keys, properties, strict=True)]
        events = _names(rows, event.keys, MAX_EVENT) if isinstance(event, Column) else [event] * len(rows)
        times = _times(rows, timed) if timed else [None] * len(rows)
        elements = [
            {key_field: key, "event": name, "timestamp": time, "properties": values}
            for key, name, time, values in zip(keys, events, times, properties, strict=True)
        ]
        if None in times:
            for element in elements:
                if element["timestamp"] is None:
                    del element["timestamp"]
        return elements

    return elements_of


def used_by(selection: Selection) -> set[Path]:
    """Where the columns are that a compiled function reads; the whole record, an empty path, if there is `*`."""
    columns = [selection.key, selection.event, selection.timestamp]
    paths = {column.keys for column in columns if isinstance(column, Column)}
    return {()} if selection.rest else paths | set(selection.properties.paths)


def _names(rows: Block, path: Path, most: int) -> list[str]:
    """The identities, account IDs or names of events: texts of at most so many UTF-16 units, or integers."""
    values = rows.column(path)
    kinds = set(map(type, values))
    if kinds == _INTEGER:
        return list(map(str, values))
    if kinds != _TEXT or not _are_short(values, most) or not all(map(str.strip, values)):
        raise NotPlainError
    return values


def _are_short(texts: Sequence[str], most: int) -> bool:
    """Whether all texts have at most so many UTF-16 units, as far as that can be said without counting them."""
    longest = max(map(len, texts))
    return longest <= most // 2 or (longest <= most and all(map(str.isascii, texts)))


def _times(rows: Block, column: Column) -> list[str | None]:
    values, name = rows.column(column.keys), column.name
    if not set(map(type, values)) <= {str, NONE}:
        raise NotPlainError
    return [None if value is None else heap_timestamp(value, name) for value in values]


def _properties_reader(selection: Selection) -> Callable[[Block], list[Values]] | None:
    listed = selection.properties.as_read
    if listed is None:
        return None
    if selection.rest is None:
        return _listed_reader(listed) if all(map(selection.maker.takes, listed)) else None
    return _all_reader(selection.maker) if not listed and not selection.rest.excepted.names else None


def _listed_reader(listed: Mapping[str, Path]) -> Callable[[Block], list[Values]]:
    """The properties of listed columns, in their order; the names are fit."""
    names, paths = tuple(listed), tuple(listed.values())

    def properties_of(rows: Block) -> list[Values]:
        if not names:
            return [{} for _ in range(len(rows))]
        columns = [rows.column(path) for path in paths]
        have_nulls = [_has_nulls(column) for column in columns]
        if any(have_nulls):
            return [
                {name: value for name, value in zip(names, values, strict=True) if value is not None}
                for values in zip(*columns, strict=True)
            ]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    return properties_of


def _has_nulls(values: Sequence[Any]) -> bool:
    """Whether some of the values of a property are null.

    Raises:
        NotPlainError: one of them cannot be sent as it is.
    """
    kinds = set(map(type, values))
    if has_nulls := NONE in kinds:
        kinds.remove(NONE)
        values = [value for value in values if value is not None]
    if kinds == _TEXT:
        is_plain = _are_short(values, MAX_PROPERTY)
    elif kinds <= NUMBERS:
        is_plain = not kinds or (min(values) >= -MAX_INTEGER and max(values) <= MAX_INTEGER)
    else:
        is_plain = all(map(_is_plain, values))
    if not is_plain:
        raise NotPlainError
    return has_nulls


def _is_plain(value: Any) -> bool:
    """Whether a value is sent unchanged."""
    kind = type(value)
    return (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER)


def _all_reader(maker: PropertyMaker) -> Callable[[Block], list[Values]]:
    """The properties of `*`: a row's own columns first, then those inside its objects."""
    fit = maker.fit
    columns: set[str] = set()  # names of the row's own that are fit, and no columns of Airbyte's

    def properties_of(data: Row) -> Values:
        if not columns.issuperset(data):
            _learn(columns, data, maker)
        values: Values = {}
        levels: list[tuple[str, Row]] = []
        for name, value in data.items():
            kind = type(value)
            if name not in columns:
                if not is_airbytes(name):
                    raise NotPlainError
            elif (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER):
                values[name] = value
            elif kind is dict:
                levels.append((f"{name}.", value))
            elif value is not None:
                raise NotPlainError
        if levels:
            _add_below(values, levels, fit)
        return values

    return lambda block: [properties_of(row) for row in block.rows]


def _learn(columns: set[str], data: Row, maker: PropertyMaker) -> None:
    """Add the columns of a row that may become properties of their own name."""
    if len(columns) >= _MOST_NAMES:
        columns.clear()
    columns.update(name for name in data if not is_airbytes(name) and maker.takes(name))


def _add_below(values: Values, levels: list[tuple[str, Row]], fit: Container[str]) -> None:
    """Add the properties inside objects, each of which comes with what its names begin with."""
    for prefix, members in levels:  # it grows below, by the objects inside these
        for key, value in members.items():
            name = prefix + key
            kind = type(value)
            if (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER):
                if name not in fit or name in values:
                    raise NotPlainError
                values[name] = value
            elif kind is dict:
                levels.append((f"{name}.", value))
            elif value is not None:
                raise NotPlainError
