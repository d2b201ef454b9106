"""All columns of a row, as selected by `*`, without those that are excepted or listed by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from destination_heap_analytics.mapping.columns.casts import json_text
from destination_heap_analytics.mapping.columns.column import EACH, json_inside
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns
from destination_heap_analytics.protocol.catalog import Path

Tree = dict[str, "Tree"]
"""What is left out, by the keys that lead to it. An empty tree leaves out everything below."""


class AllColumns:
    """The columns that `*` selects.

    Attributes:
        excepted: the columns after `except`.
    """

    def __init__(self, listed: PropertyColumns, excepted: PropertyColumns) -> None:
        """Begin.

        Args:
            listed: columns that are listed by name in addition to `*`.
            excepted: columns that are left out.
        """
        self.excepted = excepted
        self._listed = listed
        self._paths: tuple[Path, ...] = ()
        self._left_out: Tree = {}

    def values(self, data: Mapping[str, Any], *, exact: bool) -> Iterable[tuple[str, Any]]:
        """Name and value of each column.

        Args:
            data: the record.
            exact: whether the record comes from the exact reading (values.py).

        Raises:
            RowRejectedError: JSON inside a text cannot be written without the part that is left out.
            InexactNumberError: only if not `exact`.
        """
        paths = self._listed.paths + self.excepted.ways
        if paths != self._paths:
            self._paths, self._left_out = paths, tree_of(paths)
        return _members(data, self._left_out, exact=exact) if self._left_out else data.items()


def tree_of(paths: Iterable[Path]) -> Tree:
    """Merge paths into a tree; a path below another one is covered by it."""
    tree: Tree = {}
    for path in sorted(paths, key=len):
        node = tree
        for key in path:
            if node.get(key) == {}:
                break
            node = node.setdefault(key, {})
    return tree


def _members(data: Mapping[str, Any], left_out: Tree, *, exact: bool) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        below = left_out.get(key)
        if below is None:
            yield key, value
        elif below:
            yield key, _without(value, below, key, exact=exact)


def _without(value: Any, left_out: Tree, column: str, *, exact: bool) -> Any:
    """A value without the parts in the tree; positions in lists are kept."""
    if isinstance(value, str):
        inside = json_inside(value)
        if inside is None:
            return value
        return json_text(_without(inside, left_out, column, exact=exact), column, exact=True)
    if isinstance(value, Mapping):
        return {
            key: _without(inner, left_out[key], column, exact=exact) if key in left_out else inner
            for key, inner in value.items()
            if left_out.get(key) != {}
        }
    if isinstance(value, list):
        return [_item(item, left_out, str(position), column, exact=exact) for position, item in enumerate(value)]
    return value


def _item(item: Any, left_out: Tree, position: str, column: str, *, exact: bool) -> Any:
    for key in (position, EACH):
        if key in left_out:
            item = _without(item, left_out[key], column, exact=exact) if left_out[key] else None
    return item
