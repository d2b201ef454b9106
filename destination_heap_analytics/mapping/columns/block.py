"""A block of rows in columns, so that what many rows have in common is checked once."""

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
    """At least one of these rows must be mapped by itself."""


class Block(ABC):
    """One or more rows.

    Attributes:
        shape: the shape of all the rows; None if it is unknown.
        contents: the records as objects that msgspec writes with sorted names and without nulls; None if not available.
    """

    shape: Shape | None = None
    contents: list[Any] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @property
    @abstractmethod
    def rows(self) -> Rows:
        """The records.

        Raises:
            NotPlainError: only some of the columns have been read.
        """

    @abstractmethod
    def column(self, path: Path) -> list[Any]:
        """The values of a column, one per row; None also if the column is absent or a parent is null.

        Raises:
            NotPlainError: in some row, the path leads into something that is not an object.
        """

    def values(self, paths: Sequence[Path]) -> Iterable[Sequence[Any]]:
        """The values of one or more columns, row by row.

        Raises:
            NotPlainError: as for `column`.
        """
        return zip(*map(self.column, paths), strict=True)


class Records(Block):
    """Rows that have been parsed completely."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """The number of rows."""
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
