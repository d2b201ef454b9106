"""The fast lane: rows that nothing is special about, mapped a block of lines at a time.

It makes of a line what the exact lane makes of it (protocol/messages.py, then mapper.py), to the byte, without the
objects that carry a single row from one to the other. What it does not take for certain it declines, and the exact
lane decides: any line but a readable row of this stream, a deletion, a row that may change how a column is read, that
may be rejected, or whose digits have to be read again.

unit_tests/mapping/test_fast_lane.py holds the two lanes against each other, on generated rows and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.columns.column import DELETED_AT
from destination_heap_analytics.mapping.idempotency import KeyMaker
from destination_heap_analytics.mapping.plain_rows import PlainRows, compiled
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.mapping.transformer import Selection, transform
from destination_heap_analytics.protocol.catalog import Path, Stream
from destination_heap_analytics.protocol.numbers import InexactNumberError

Mapped = tuple[list[str], list[bytes], list[str | None]]
"""The keys, bodies and tokens of payloads (payload.py)."""

_APIS: Final = frozenset({Api.TRACK, Api.USER_PROPERTIES, Api.ACCOUNT_PROPERTIES})
"""The APIs whose rows are mapped one by one: nothing about a row hangs on the rows before it."""

_MOST_NAMES: Final = 10_000
"""So many names of columns are remembered; a source may have new ones in each row."""


class _DeclinedError(Exception):
    """This line is for the exact lane."""


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


class FastLane:
    """Maps the plain rows of one run."""

    def __init__(self, stream: Stream, keys: KeyMaker | None, on_mapped: Callable[[Properties], None]) -> None:
        """Begin.

        Args:
            stream: the one to load.
            keys: makes idempotency keys; None if the API needs none.
            on_mapped: called with what had to be done to make properties.
        """
        self._stream = stream
        self._name = stream.name
        self._keys = keys
        self._on_mapped = on_mapped
        self._selection: Selection | None = None
        self._paths: Sequence[Path] | None = None
        self._element_of: PlainRows = lambda _: None
        self._names: set[str] = set()
        self._deleted_at: tuple[str, ...] = ()

    def take(self, lines: Sequence[bytes], selection: Selection, first: int) -> Mapped:
        """The first of these lines, mapped, up to the first one that is declined.

        Args:
            lines: of standard input.
            selection: the columns, their ways fixed as far as the rows before have fixed them.
            first: the position of the first line among the rows of the input, from 1.
        """
        taken: Mapped = ([], [], [])
        keys, bodies, tokens = taken
        if selection.api not in _APIS or any(column.path is None for column in selection.required.values()):
            return taken
        open_lists = selection.open_lists
        element_of = self._compiled(selection)
        try:
            for number, line in enumerate(lines, first):
                data = self._data(orjson.loads(line))
                if open_lists and any(listed.may_learn_from(data) for listed in open_lists):
                    break
                made = None
                if (element := element_of(data)) is None:
                    element, made = transform(data, selection, exact=False)
                token = None
                if self._keys:
                    element["idempotency_key"] = token = self._keys.key(data, element, number, exact=False)
                bodies.append(orjson.dumps(element))
                keys.append(element[selection.key_field])
                tokens.append(token)
                if made:
                    self._on_mapped(made)
                for listed in open_lists:
                    listed.count_guesses(data)
        except _DECLINED:
            pass
        return taken

    def _compiled(self, selection: Selection) -> PlainRows:
        """What makes elements of plain rows, until a row changes the columns or how they are read."""
        if selection is not self._selection or selection.properties.paths is not self._paths:
            self._selection, self._paths = selection, selection.properties.paths
            self._element_of = compiled(selection) or (lambda _: None)
        return self._element_of

    def _data(self, message: Any) -> dict[str, Any]:
        """The record of a message that is a row of this stream and no deletion."""
        record = message["record"]
        data: Any = record["data"]
        namespace = record.get("namespace")
        if (
            message["type"] != "RECORD"
            or "stream" in message  # a message of Singer's
            or record["stream"] != self._name
            or not (namespace is None or (type(namespace) is str and self._stream.carries(self._name, namespace)))
            or type(data) is not dict
        ):
            raise _DeclinedError
        if not self._names.issuperset(data):
            self._learn(data)
        for name in self._deleted_at:
            if data.get(name) is not None:
                raise _DeclinedError
        return data

    def _learn(self, data: dict[str, Any]) -> None:
        """Look at names that no row has had: one of them may say that a row was deleted."""
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
            self._deleted_at = ()
        for name in data.keys() - self._names:
            self._names.add(name)
            if name.lower() == DELETED_AT:
                self._deleted_at += (name,)
