"""Reads only those columns of a line that are used: the others do not become Python objects.

A line is read so only if it is a row of the stream whose columns are all known, and no deletion; msgspec refuses it
otherwise, as it refuses what is not JSON. It does not look at the bytes of texts that are not used; the exact lane
takes them, too, whatever they are. Under `*` all columns are used, those inside objects as well, and a row is refused
whose shape is not known (shape.py). The same holds if idempotency keys are made from whole records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec

from destination_heap_analytics.mapping.columns.block import Block, NotPlainError, Rows
from destination_heap_analytics.mapping.columns.column import is_airbytes
from destination_heap_analytics.mapping.columns.shape import SCALAR, Shape, Tree, are_fields
from destination_heap_analytics.protocol.catalog import Path

_MOST_NAMES: Final = 500
"""With more columns, or with names that are content, rows are read as a whole."""

_TYPE: Final = attrgetter("type")
_STREAM: Final = attrgetter("record.stream")
_NAMESPACE: Final = attrgetter("record.namespace")
_DATA: Final = attrgetter("record.data")


class PickedColumns:
    """Reads lines of one stream whose rows have no other columns than these."""

    def __init__(
        self,
        stream: str,
        names: Collection[str],
        unset: Collection[str],
        paths: Iterable[Path],
        *,
        properties: Collection[Path] = (),
        shape: Shape | None = None,
        takes_all: bool = False,
        in_keys: bool = False,
    ) -> None:
        """Begin.

        Args:
            stream: its name.
            names: all its columns.
            unset: those that are null in every row that is read so.
            paths: what is used of them.
            properties: which of these become properties.
            shape: that of the rows; without one, properties may be anything but objects and lists.
            takes_all: whether all columns of the shape become properties besides.
            in_keys: whether all of them are read for idempotency keys, in which the text of a float matters.

        Raises:
            NotPlainError: there are too many columns, or one has a name that msgspec cannot have, is used as a whole
                and in parts, or is null in all rows, or the rows are not alike.
        """
        if len(names) > _MOST_NAMES:
            raise NotPlainError
        used = set(paths)
        self._types: dict[Path, Any] = dict.fromkeys(used, SCALAR)
        self._is_whole = shape is not None and (takes_all or in_keys)
        if shape is not None:
            self._types |= {
                path: shape.type_of(path, is_property=takes_all or path in properties, takes_floats=not in_keys)
                for path in (shape.leaves() if self._is_whole else properties)
            }
        tree = _whole_tree(names, used, shape) if shape and self._is_whole else _tree(names, used, unset)
        self._in_keys = in_keys
        self._unset = unset
        self._fields: dict[Path, Path] = {}
        self._shape = shape
        record = msgspec.defstruct(
            "Record", [("stream", str), ("data", self._struct(tree, ())), ("namespace", str | None, None)], gc=False
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
        if not is_row:
            return None
        block = _Picked(list(map(_DATA, messages)), self._fields, self._shape)
        block.contents = block.records if self._in_keys else None
        return block

    def _struct(self, tree: Tree, above: Path) -> type[msgspec.Struct]:
        """An object of a record; its keys are all known at the top, and below it if all columns are used."""
        if not are_fields(tree):
            raise NotPlainError
        fields: list[tuple[str, Any, Any]] = []
        for position, (key, below) in enumerate(sorted(tree.items(), key=itemgetter(0))):
            path = (*above, key)
            self._fields[path] = (*self._fields.get(above, ()), f"f{position}")
            kind: Any = None if not above and key in self._unset else self._types.get(path, msgspec.Raw)
            if below is not None:
                kind = self._struct(below, path) | None
            fields.append((f"f{position}", kind, None))
        names = {f"f{position}": key for position, key in enumerate(sorted(tree))}
        are_known = not above or self._is_whole
        return msgspec.defstruct(
            "Members", fields, rename=names, omit_defaults=True, forbid_unknown_fields=are_known, gc=False
        )


def _tree(names: Collection[str], used: Collection[Path], unset: Collection[str]) -> Tree:
    """All columns, and what is used of those inside objects."""
    tree: Tree = dict.fromkeys(names)
    ends: set[Path] = set()
    for path in used:
        if path[0] in unset or any(path[: len(end)] == end or end[: len(path)] == path for end in ends):
            raise NotPlainError
        ends.add(path)
        node = tree
        for key in path[:-1]:
            below = node.get(key)
            if below is None:
                below = node[key] = {}
            node = below
        node.setdefault(path[-1], None)
    return tree


def _whole_tree(names: Collection[str], used: Collection[Path], shape: Shape) -> Tree:
    """The columns of a shape, and those that Airbyte adds, which are not read."""
    if not shape.is_regular or not set(shape.leaves()).issuperset(used):
        raise NotPlainError
    return {**shape.tree, **dict.fromkeys(name for name in names if is_airbytes(name))}


class _Picked(Block):
    """Rows of which only the columns that are used have been read."""

    def __init__(self, records: list[Any], fields: Mapping[Path, Path], shape: Shape | None) -> None:
        self.records = records
        self._fields = fields
        self.shape = shape

    def __len__(self) -> int:
        return len(self.records)

    @property
    def rows(self) -> Rows:
        raise NotPlainError

    def column(self, path: Path) -> list[Any]:
        first, *below = self._fields[path]
        values = list(map(attrgetter(first), self.records))
        for field in below:
            if None in values:
                values = [None if value is None else getattr(value, field) for value in values]
            else:
                values = list(map(attrgetter(field), values))
        return values

    def values(self, paths: Sequence[Path]) -> Iterable[Sequence[Any]]:
        if len(paths) == 1:
            return super().values(paths)
        getter = attrgetter(*[".".join(self._fields[path]) for path in paths])
        try:
            return list(map(getter, self.records))
        except AttributeError:  # some parent is null
            return super().values(paths)
