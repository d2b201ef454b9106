"""A block of rows as columns: properties common to many rows are checked once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Final

from destination_heap_analytics.mapping.columns.shape import Shape
from destination_heap_analytics.protocol.catalog import Path

Row = dict[str, Any]
Rows = Sequence[Row]

NONE: Final = type(None)
_OBJECT: Final = frozenset({dict})


class NotPlainError(Exception):
    """At least one of these rows needs the mapping of single rows."""


class Block(ABC):
    """Some rows, one at least.

    Attributes:
        shape: what all of them look like; None if that is not known.
        contents: the records as msgspec writes them: names in order, nulls left out; None if they are not read so.
    """

    shape: Shape | None = None
    contents: list[Any] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """How many."""

    @property
    @abstractmethod
    def rows(self) -> Rows:
        """The records.

        Raises:
            NotPlainError: only some of their columns have been read.
        """

    @abstractmethod
    def column(self, path: Path) -> list[Any]:
        """The values of a column, one per row: None also if it is absent, or a parent is null.

        Raises:
            NotPlainError: in some row the path leads into something that is not an object.
        """

    def values(self, paths: Sequence[Path]) -> Iterable[Sequence[Any]]:
        """The values of several columns, row by row; at least one column.

        Raises:
            NotPlainError: as `column` does.
        """
        return zip(*map(self.column, paths), strict=True)


class Records(Block):
    """Rows that have been read as a whole."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """How many."""
        return len(self._rows)

    @property
    def rows(self) -> Rows:
        """The records."""
        return self._rows

    def column(self, path: Path) -> list[Any]:
        """The values of a column."""
        first = path[0]
        values: list[Any] = [row.get(first) for row in self._rows]
        for key in path[1:]:
            kinds = set(map(type, values))
            if kinds == _OBJECT:
                values = [value.get(key) for value in values]
            elif kinds <= {dict, NONE}:
                values = [None if value is None else value.get(key) for value in values]
            else:
                raise NotPlainError
        return values
