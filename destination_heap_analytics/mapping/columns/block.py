"""Columns of a block of rows: what is true of many rows at once is found out at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from destination_heap_analytics.protocol.catalog import Path

Row = dict[str, Any]
Rows = Sequence[Row]

NONE: Final = type(None)
_OBJECT: Final = frozenset({dict})


class NotPlainError(Exception):
    """Of these rows one at least has something that only the mapping of single rows knows."""


def column_of(rows: Rows, path: Path) -> list[Any]:
    """The values of a column, one per row: None also where it is absent, or a parent is null.

    Raises:
        NotPlainError: in some row the path leads into something that is not an object.
    """
    first = path[0]
    values: list[Any] = [row.get(first) for row in rows]
    for key in path[1:]:
        kinds = set(map(type, values))
        if kinds == _OBJECT:
            values = [value.get(key) for value in values]
        elif kinds <= {dict, NONE}:
            values = [None if value is None else value.get(key) for value in values]
        else:
            raise NotPlainError
    return values
