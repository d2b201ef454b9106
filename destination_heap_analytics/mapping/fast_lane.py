"""The fast lane: maps ordinary rows, one block of lines at a time.

Its payloads are the same as those of the exact lane (protocol/messages.py, then mapper.py), byte for byte, except that
with `*` properties may be in another order. It creates no objects per row, and maps a block column by column if its
rows are plain (plain_rows.py). Every line that it is not certain of is declined, and left to the exact lane: a line
that is not a valid row of this stream, a deletion, a row that may change how a column is read or may be rejected, or
one whose digits matter.

unit_tests/mapping/test_fast_lane.py compares the two lanes on generated rows and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, Final

import orjson

from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.columns.block import Block, NotPlainError, Records, Row, Rows
from destination_heap_analytics.mapping.columns.column import DELETED_AT
from destination_heap_analytics.mapping.columns.picked import PickedColumns
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns
from destination_heap_analytics.mapping.columns.shape import Shape
from destination_heap_analytics.mapping.idempotency import KeyMaker
from destination_heap_analytics.mapping.payload import serialised
from destination_heap_analytics.mapping.plain_properties import UnfitShapeError
from destination_heap_analytics.mapping.plain_rows import PlainRows, compiled, used_by
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.mapping.transformer import Selection, transform
from destination_heap_analytics.protocol.catalog import Path, Stream
from destination_heap_analytics.protocol.numbers import InexactNumberError

Mapped = tuple[list[str], list[bytes], list[str | None]]
"""The keys, bodies and idempotency tokens of payloads (payload.py)."""

_APIS: Final = frozenset({Api.TRACK, Api.USER_PROPERTIES, Api.ACCOUNT_PROPERTIES})
"""The APIs for which the payload of a row does not depend on the rows before it."""

_MOST_ROWS: Final = 64
"""The most rows in a block: few enough to stay in the processor's cache from one step to the next."""

_LEAST_ROWS: Final = 4

_MOST_UNLIKE: Final = 1024
"""The most lines that are parsed completely before picking columns is tried again."""

_MOST_NAMES: Final = 10_000
"""The most column names that are remembered: a source may have new ones in each row."""


class _DeclinedError(Exception):
    """This line is left to the exact lane."""


_DECLINED: Final = (
    _DeclinedError,
    InexactNumberError,
    RowRejectedError,
    RecursionError,
    orjson.JSONDecodeError,
    orjson.JSONEncodeError,
    KeyError,  # a member of the message is missing,
    TypeError,  # or is not an object
)

_TYPE: Final = itemgetter("type")
_RECORD: Final = itemgetter("record")
_STREAM: Final = itemgetter("stream")
_DATA: Final = itemgetter("data")


class FastLane:
    """Maps the plain rows of one run."""

    def __init__(self, stream: Stream, keys: KeyMaker | None, on_mapped: Callable[[Properties], None]) -> None:
        """Begin.

        Args:
            stream: the stream to load.
            keys: makes idempotency keys; None if the API needs none.
            on_mapped: called with the changes that were made to properties.
        """
        self._stream = stream
        self._name = stream.name
        self._keys = keys
        self._has_whole_keys = keys is not None and not keys.paths
        self._on_mapped = on_mapped
        self._selection: Selection | None = None
        self._paths: tuple[Sequence[Path], Sequence[Path]] = ((), ())
        self._plain_rows: PlainRows | None = None
        self._picked: PickedColumns | None = None
        self._known_picked = (-1, -1)
        self._shape = Shape()
        self._most_rows = _MOST_ROWS
        self._unlike = 1  # how many lines to parse completely after one that could not be picked
        self._whole_left = 0
        self._names: set[str] = set()
        self._deleted_at: tuple[str, ...] = ()

    def take(self, lines: Sequence[bytes], selection: Selection, first: int) -> Mapped:
        """Map lines, up to the first one that is declined.

        Args:
            lines: lines of standard input.
            selection: the columns, with their ways fixed by the rows so far.
            first: the position of the first line among the rows of the input, from 1.
        """
        taken: Mapped = ([], [], [])
        if selection.api not in _APIS or any(column.path is None for column in selection.required.values()):
            return taken
        plain_rows = self._compiled(selection)
        open_lists = selection.open_lists
        at = 0
        while at < len(lines):
            block = lines[at : at + self._most_rows]
            number = first + at
            if plain_rows and not self._whole_left and (picked := self._pick(block, selection)):
                self._unlike = max(1, self._unlike // 2)
                if self._take_all(picked, plain_rows, number, taken):
                    at += len(picked)
                    continue
                block = block[: len(picked)]
            else:
                block = self._whole(block, selection)
            at += len(block)
            rows = self._rows(block)
            if open_lists:
                rows = _before_change(rows, open_lists)
            if not (rows and plain_rows and self._take_all(Records(rows), plain_rows, number, taken)):
                self._take_each(rows, selection, number, taken)
            _count_guesses(open_lists, rows[: len(taken[0]) - at + len(block)])
            if len(taken[0]) < at:
                break
        return taken

    def _whole(self, lines: Sequence[bytes], selection: Selection) -> Sequence[bytes]:
        """The lines to parse completely next: one if such lines are rare, more if they are frequent."""
        if not self._whole_left:
            self._whole_left = self._unlike
            self._unlike = min(_MOST_UNLIKE, self._unlike * 2)
            self._see(self._rows(lines[:1]), selection)
        lines = lines[: self._whole_left]
        self._whole_left -= len(lines)
        return lines

    def _compiled(self, selection: Selection) -> PlainRows | None:
        """The compiled mapping of plain rows; recompiled when a row changes how a column is read."""
        paths = selection.properties.paths, selection.rest.excepted.ways if selection.rest else ()
        if selection is not self._selection or paths != self._paths:
            self._selection, self._paths = selection, paths
            self._plain_rows = compiled(selection)
            self._known_picked = (-1, -1)
        return self._plain_rows

    def _see(self, rows: Rows, selection: Selection) -> None:
        """Learn the shape of rows."""
        for row in rows:
            if selection.rest or self._has_whole_keys:
                self._shape.learn(row)
            else:
                self._shape.look_at(row, selection.properties.paths)

    def _pick(self, lines: Sequence[bytes], selection: Selection) -> Block | None:
        """Parse only the used columns of lines, up to the first line that is refused; None if that is the first."""
        known = len(self._names), self._shape.size
        if self._known_picked != known:
            self._known_picked = known
            self._picked = self._picked_columns(selection)
        return self._picked.read(lines, self._carries) if self._picked else None

    def _picked_columns(self, selection: Selection) -> PickedColumns | None:
        if self._has_whole_keys and self._keys and not self._keys.counts(self._names.difference(self._deleted_at)):
            return None
        if any(listed.may_learn_by(self._names) for listed in selection.open_lists):
            return None
        try:
            return PickedColumns(
                self._name,
                self._names,
                self._deleted_at,
                used_by(selection) | (self._keys.paths if self._keys else set()),
                properties=selection.properties.paths,
                shape=self._shape,
                selects_all=selection.rest is not None,
                in_keys=self._has_whole_keys,
            )
        except NotPlainError:
            return None

    def _take_all(self, block: Block, plain_rows: PlainRows, first: int, taken: Mapped) -> bool:
        """Map a block if all its rows are plain. Returns whether they are; otherwise, blocks become smaller."""
        tokens: Sequence[str | None] = [None] * len(block)
        try:
            plain = plain_rows(block)
            if self._keys:
                tokens = self._keys.keys(block, plain.keys, plain.events, plain.times, first)
            bodies = plain.bodies(tokens)
        except UnfitShapeError:
            self._picked = None  # until the shape changes
            return False
        except (NotPlainError, *_DECLINED):
            self._most_rows = max(_LEAST_ROWS, self._most_rows // 2)
            return False
        self._most_rows = min(_MOST_ROWS, self._most_rows * 2)
        taken[0].extend(plain.keys)
        taken[1].extend(bodies)
        taken[2].extend(tokens)
        if plain.made:
            self._on_mapped(plain.made)
        return True

    def _take_each(self, rows: Rows, selection: Selection, first: int, taken: Mapped) -> None:
        """Map rows one by one, up to the first one that is declined."""
        keys, bodies, tokens = taken
        try:
            for number, row in enumerate(rows, first):
                element, made = transform(row, selection, exact=False)
                token = None
                if self._keys:
                    element["idempotency_key"] = token = self._keys.key(row, element, number, exact=False)
                bodies += serialised([element])
                keys.append(element[selection.key_field])
                tokens.append(token)
                if made:
                    self._on_mapped(made)
        except _DECLINED:
            pass

    def _rows(self, lines: Sequence[bytes]) -> Rows:
        """The records in lines, up to the first line that is not a row of this stream, or is a deletion."""
        messages: list[Any] = []
        with suppress(*_DECLINED):
            messages.extend(map(orjson.loads, lines))
        try:
            records = list(map(_RECORD, messages))
            rows = list(map(_DATA, records))
            if (
                set(map(_TYPE, messages)) == {"RECORD"}
                and set(map(len, messages)) == {2}  # no other key, such as the stream of a Singer message
                and set(map(_STREAM, records)) == {self._name}
                and all(map(self._carries, {record.get("namespace") for record in records}))
                and set(map(type, rows)) == {dict}
                and not self._deleted_at
                and all(map(self._names.issuperset, rows))
            ):
                return rows
        except _DECLINED:
            pass
        return list(self._each(messages))

    def _each(self, messages: Sequence[Any]) -> Iterator[Row]:
        """The record of each message, up to the first one that is not a row of this stream, or is a deletion."""
        try:
            for message in messages:
                yield self._data(message)
        except _DECLINED:
            pass

    def _carries(self, namespace: Any) -> bool:
        return namespace is None or (type(namespace) is str and self._stream.carries(self._name, namespace))

    def _data(self, message: Any) -> Row:
        """The record of a message. Raises if it is not a row of this stream, or is a deletion."""
        record = message["record"]
        data: Any = record["data"]
        if (
            message["type"] != "RECORD"
            or "stream" in message  # a Singer message
            or record["stream"] != self._name
            or not self._carries(record.get("namespace"))
            or type(data) is not dict
        ):
            raise _DeclinedError
        if not self._names.issuperset(data):
            self._learn(data)
        for name in self._deleted_at:
            if data.get(name) is not None:
                raise _DeclinedError
        return data

    def _learn(self, data: Row) -> None:
        """Look for the column that marks deletions among new names."""
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
            self._deleted_at = ()
        for name in data.keys() - self._names:
            self._names.add(name)
            if name.lower() == DELETED_AT:
                self._deleted_at += (name,)


def _before_change(rows: Rows, open_lists: Sequence[PropertyColumns]) -> Rows:
    """Rows up to the first one that may change how a column is read."""
    for at, row in enumerate(rows):
        if any(listed.may_learn_from(row) for listed in open_lists):
            return rows[:at]
    return rows


def _count_guesses(open_lists: Sequence[PropertyColumns], rows: Rows) -> None:
    for listed in open_lists:
        for row in rows:
            listed.count_guesses(row)
