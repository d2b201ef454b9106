"""Parses only the columns of a line that are used: the others do not become Python objects.

msgspec refuses a line that is not JSON, is not a row of the stream, has an unknown column, or is a deletion. It does
not validate the bytes of unused texts; the exact lane accepts any bytes there too. With `*`, all columns are used,
including those inside objects, and rows of an unknown shape are refused (shape.py). The same applies if idempotency
keys are made from whole records.
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
"""With more columns, or with names that are content, rows are parsed completely."""

_TYPE: Final = attrgetter("type")
_STREAM: Final = attrgetter("record.stream")
_NAMESPACE: Final = attrgetter("record.namespace")
_DATA: Final = attrgetter("record.data")


class PickedColumns:
    """Parses lines of one stream whose rows have no other columns than these."""

    def __init__(
        self,
        stream: str,
        names: Collection[str],
        unset: Collection[str],
        paths: Iterable[Path],
        *,
        properties: Collection[Path] = (),
        shape: Shape | None = None,
        selects_all: bool = False,
        in_keys: bool = False,
    ) -> None:
        """Begin.

        Args:
            stream: the name of the stream.
            names: all its columns.
            unset: columns that must be null: other rows are refused.
            paths: the columns that are used.
            properties: the columns that become properties.
            shape: the shape of the rows; None to accept anything but objects and lists as properties.
            selects_all: whether all columns of the shape become properties.
            in_keys: whether idempotency keys are made from whole records, in which the text of a float matters.

        Raises:
            NotPlainError: there are too many columns; a column has a name that msgspec does not support, is used both
                as a whole and in parts, or is used but must be null; or the rows are not alike.
        """
        if len(names) > _MOST_NAMES:
            raise NotPlainError
        used = set(paths)
        self._types: dict[Path, Any] = dict.fromkeys(used, SCALAR)
        self._is_whole = shape is not None and (selects_all or in_keys)
        if shape is not None:
            self._types |= {
                path: shape.type_of(path, is_property=selects_all or path in properties, allows_floats=not in_keys)
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
        """Parse lines, up to the first one that is refused; None if that is the first line.

        Args:
            lines: lines of standard input.
            carries: whether a namespace matches the stream's.
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
        """The type of an object in a record. Unknown keys are refused at the top level, and below if all are used."""
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
    """All top-level columns, and the used columns inside objects."""
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
    """The columns of a shape, and those that Airbyte adds, which are not parsed."""
    if not shape.is_regular or not set(shape.leaves()).issuperset(used):
        raise NotPlainError
    return {**shape.tree, **dict.fromkeys(name for name in names if is_airbytes(name))}


class _Picked(Block):
    """Rows of which only the used columns have been parsed."""

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
