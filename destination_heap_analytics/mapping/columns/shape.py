"""The shape of the rows of a run so far; a decoder is built for rows of that shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec

from destination_heap_analytics.heap_api import MAX_INTEGER
from destination_heap_analytics.mapping.columns.column import is_airbytes, look_up
from destination_heap_analytics.mapping.values import SHORT
from destination_heap_analytics.protocol.catalog import Path

Tree = dict[str, "Tree | None"]
"""Columns by their keys, in the order first seen; None for those that are not objects."""

_MOST: Final = 500
"""With more columns, or with keys that are content, rows are not alike."""

_FEW: Final = 20
_SPARSE: Final = 2.5
"""Rows are alike if they have at most `_FEW` columns, or at most `_SPARSE` columns per value in a row."""

_DEEPEST: Final = 8
"""The most levels of nested objects."""

_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""Longer integers go to the exact lane: those of thousands of digits become text."""

_WITHOUT_FLOATS: Final = str | _INTEGER | bool | None | list[str | _INTEGER | bool | None]
_PLAIN_WITHOUT_FLOATS: Final = (
    Annotated[str, msgspec.Meta(max_length=SHORT)]
    | Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    | bool
    | None
)
_FLOAT = Annotated[float, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
_PLAIN: Final = _PLAIN_WITHOUT_FLOATS | _FLOAT
"""The values that are sent unchanged in any column; msgspec refuses a row with anything else."""

SCALAR: Final = str | _INTEGER | float | bool | None
"""The values of a column that does not become a property."""


def are_fields(names: Iterable[str]) -> bool:
    """Whether msgspec supports these names as fields: it does not support names that JSON has to escape."""
    together = "".join(names)
    return _ESCAPED.search(together) is None


_ESCAPED: Final = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')


class Shape:
    """The columns of rows, and which of them have values that are not plain.

    Attributes:
        tree: the columns seen so far, without those that Airbyte adds.
        irregular: columns with lists of scalars, long texts or large integers in some rows.
        size: grows whenever a row adds something to the shape.
    """

    def __init__(self) -> None:
        """Start without rows."""
        self.tree: Tree = {}
        self.irregular: set[Path] = set()
        self.size = 0
        self._rows = 0
        self._values = 0

    @property
    def is_regular(self) -> bool:
        """Whether the rows are alike enough for a decoder, which spends time on every column in every row."""
        columns = sum(1 for _ in self.leaves())
        return 0 < self.size < _MOST and columns * self._rows <= _FEW * self._rows + _SPARSE * self._values

    def learn(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        if self.size < _MOST:
            self._rows += 1
            own = {name: value for name, value in row.items() if not is_airbytes(name)}
            self._learn(self.tree, own, ())

    def look_at(self, row: Mapping[str, Any], paths: Iterable[Path]) -> None:
        """Add only some columns of a row."""
        for path in paths:
            self._see(path, look_up(row, path))

    def leaves(self) -> Iterator[Path]:
        """All columns except objects: top-level columns first, then those inside objects, level by level."""
        level: list[tuple[Path, Tree]] = [((), self.tree)]
        while level:
            deeper: list[tuple[Path, Tree]] = []
            for above, tree in level:
                for key, below in tree.items():
                    if below is None:
                        yield (*above, key)
                    else:
                        deeper.append(((*above, key), below))
            level = deeper

    def type_of(self, path: Path, *, is_property: bool, allows_floats: bool) -> Any:
        """The type that msgspec accepts for a column.

        Args:
            path: the column.
            is_property: whether it becomes a property: then only plain values are accepted, unless it is irregular.
            allows_floats: whether floats are accepted: not if their text in the line matters.
        """
        if is_property and path not in self.irregular:
            return _PLAIN if allows_floats else _PLAIN_WITHOUT_FLOATS
        return _WITHOUT_FLOATS | _FLOAT if allows_floats else _WITHOUT_FLOATS

    def _learn(self, tree: Tree, members: Mapping[str, Any], above: Path) -> None:
        if len(above) > _DEEPEST:
            self.size = _MOST
        for key, value in members.items():
            if self.size >= _MOST:
                return
            if key not in tree:
                tree[key] = None
                self.size += 1
            path = (*above, key)
            below = tree[key]
            if isinstance(value, dict):
                if below is None:
                    below = tree[key] = {}
                    self.size += 1
                self._learn(below, value, path)
            else:
                self._values += 1
                self._see(path, value)

    def _see(self, path: Path, value: Any) -> None:
        kind = type(value)
        is_irregular = (
            kind is list or (kind is str and len(value) > SHORT) or (kind is int and abs(value) > MAX_INTEGER)
        )
        if is_irregular and path not in self.irregular:
            self.irregular.add(path)
            self.size += 1
