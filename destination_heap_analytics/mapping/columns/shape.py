"""What the rows of a run have looked like so far: a decoder is built for rows of that shape."""

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
"""Columns by their keys, in the order met; those that are not objects have no tree below them."""

_MOST: Final = 500
"""With more columns, or with keys that are content, rows are not alike."""

_FEW: Final = 20
_SPARSE: Final = 2.5
"""Rows are alike if there are but a few columns, or no more than this many for each value of a row."""

_DEEPEST: Final = 8
"""Levels of objects inside objects."""

_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""Longer ones are for the exact lane: of some thousand digits they are not integers any more."""

_WITHOUT_FLOATS: Final = str | _INTEGER | bool | None | list[str | _INTEGER | bool | None]
_PLAIN_WITHOUT_FLOATS: Final = (
    Annotated[str, msgspec.Meta(max_length=SHORT)]
    | Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    | bool
    | None
)
_FLOAT = Annotated[float, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
_PLAIN: Final = _PLAIN_WITHOUT_FLOATS | _FLOAT
"""What is sent unchanged, whatever its column: msgspec refuses a row with anything else."""

SCALAR: Final = str | _INTEGER | float | bool | None
"""What a column may hold that does not become a property."""


def are_fields(names: Iterable[str]) -> bool:
    """Whether msgspec can have these names as those of fields; any that JSON has to escape it cannot."""
    together = "".join(names)
    return _ESCAPED.search(together) is None


_ESCAPED: Final = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')


class Shape:
    """The columns of rows, and which of them hold more than plain values.

    Attributes:
        tree: the columns that the source has, once rows were learned from; none of those that Airbyte adds.
        irregular: columns that hold lists of scalars, long texts or large integers in some rows.
        size: grows with all that is new.
    """

    def __init__(self) -> None:
        """Start without any row."""
        self.tree: Tree = {}
        self.irregular: set[Path] = set()
        self.size = 0
        self._rows = 0
        self._values = 0

    @property
    def is_regular(self) -> bool:
        """Whether the rows are alike enough to build a decoder for them: it spends time on each column of each row."""
        columns = sum(1 for _ in self.leaves())
        return 0 < self.size < _MOST and columns * self._rows <= _FEW * self._rows + _SPARSE * self._values

    def learn(self, row: Mapping[str, Any]) -> None:
        """Take in one more row."""
        if self.size < _MOST:
            self._rows += 1
            own = {name: value for name, value in row.items() if not is_airbytes(name)}
            self._learn(self.tree, own, ())

    def look_at(self, row: Mapping[str, Any], paths: Iterable[Path]) -> None:
        """Take in the values of some columns of a row."""
        for path in paths:
            self._see(path, look_up(row, path))

    def leaves(self) -> Iterator[Path]:
        """All columns but objects: the record's own first, then those inside its objects, level by level."""
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

    def type_of(self, path: Path, *, is_property: bool, takes_floats: bool) -> Any:
        """What msgspec accepts as a value of a column.

        Args:
            path: where it is.
            is_property: whether its values are sent, as plain ones are, unless they are known to be irregular.
            takes_floats: whether there may be floats, of which the text in the line does not matter.
        """
        if is_property and path not in self.irregular:
            return _PLAIN if takes_floats else _PLAIN_WITHOUT_FLOATS
        return _WITHOUT_FLOATS | _FLOAT if takes_floats else _WITHOUT_FLOATS

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
