"""Reads only those columns of a line that are used: the others do not become Python objects.

A line is read so only if it is a row of the stream whose columns are all known, and no deletion; msgspec refuses it
otherwise, as it refuses what is not JSON. It does not look at the bytes of texts that are not used; the exact lane
takes them, too, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, Final

import msgspec

from destination_heap_analytics.mapping.columns.block import Block, NotPlainError, Rows
from destination_heap_analytics.protocol.catalog import Path

_MOST_NAMES: Final = 500
"""With more columns, or with names that are content, rows are read as a whole."""

_SCALAR: Final = str | bool | int | float | None

Tree = dict[str, "Tree"]


_TYPE: Final = attrgetter("type")
_STREAM: Final = attrgetter("record.stream")
_NAMESPACE: Final = attrgetter("record.namespace")
_DATA: Final = attrgetter("record.data")


class PickedColumns:
    """Reads lines of one stream whose rows have no other columns than these."""

    def __init__(self, stream: str, names: Collection[str], unset: Collection[str], paths: Iterable[Path]) -> None:
        """Begin.

        Args:
            stream: its name.
            names: all its columns.
            unset: those that are null in every row that is read so.
            paths: what is used of them.

        Raises:
            NotPlainError: there are too many columns, or one is used as a whole and in parts, or is null in all rows.
        """
        if len(names) > _MOST_NAMES:
            raise NotPlainError
        tree: Tree = {name: {} for name in sorted(names)}
        used: set[Path] = set()
        for path in set(paths):
            if path[0] in unset or any(path[: len(other)] == other or other[: len(path)] == path for other in used):
                raise NotPlainError
            used.add(path)
            node = tree
            for key in path:
                node = node.setdefault(key, {})
        self._fields: dict[Path, Path] = {}
        data = self._struct(tree, (), used, unset)
        record = msgspec.defstruct(
            "Record", [("stream", str), ("data", data), ("namespace", str | None, None)], gc=False
        )
        message = msgspec.defstruct(
            "Message", [("type", str), ("record", record)], gc=False, forbid_unknown_fields=True
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(message).decode
        self._stream = stream

    def read(self, lines: Sequence[bytes], carries: Callable[[Any], bool]) -> Block | None:
        """The first of these lines, up to one that is not such a row; None if that is the first of all.

        Args:
            lines: of standard input.
            carries: whether a namespace is that of the stream.
        """
        messages: list[Any] = []
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            messages.extend(map(self._decode, lines))
        is_row = (
            set(map(_TYPE, messages)) == {"RECORD"}
            and set(map(_STREAM, messages)) == {self._stream}
            and all(map(carries, set(map(_NAMESPACE, messages))))
        )
        return _Picked(list(map(_DATA, messages)), self._fields) if is_row else None

    def _struct(self, tree: Tree, above: Path, used: Collection[Path], unset: Collection[str]) -> type[msgspec.Struct]:
        """An object of a record; at the top all its keys are known."""
        fields: list[tuple[str, Any, Any]] = []
        for position, (key, below) in enumerate(tree.items()):
            path = (*above, key)
            self._fields[path] = (*self._fields.get(above, ()), f"f{position}")
            kind: Any = msgspec.Raw
            if below:
                kind = self._struct(below, path, used, unset) | None
            elif path in used:
                kind = _SCALAR
            elif not above and key in unset:
                kind = None
            fields.append((f"f{position}", kind, None))
        names = {f"f{position}": key for position, key in enumerate(tree)}
        return msgspec.defstruct("Members", fields, rename=names, gc=False, forbid_unknown_fields=not above)


class _Picked(Block):
    """Rows of which only the columns that are used have been read."""

    def __init__(self, records: Sequence[Any], fields: Mapping[Path, Path]) -> None:
        self._records = records
        self._fields = fields

    def __len__(self) -> int:
        return len(self._records)

    @property
    def rows(self) -> Rows:
        raise NotPlainError

    def column(self, path: Path) -> list[Any]:
        first, *below = self._fields[path]
        values = list(map(attrgetter(first), self._records))
        for field in below:
            if None in values:
                values = [None if value is None else getattr(value, field) for value in values]
            else:
                values = list(map(attrgetter(field), values))
        return values
