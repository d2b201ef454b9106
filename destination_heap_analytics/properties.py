"""Columns and their values -> the properties that Heap takes: flattened and within its limits.

Heap takes texts, numbers and, for Track alone, lists of them (https://developers.heap.io/reference/track-1);
booleans go as JSON booleans, as the user's reference has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from destination_heap_analytics.columns import is_plain
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.heap_api import LIST_SEPARATOR, MAX_LIST, MAX_PROPERTY, Endpoint, cut_text, text_units
from destination_heap_analytics.values import Scalar, as_text, scalar, unicode_text

_SHORT: Final = MAX_PROPERTY // 2
"""A text of so many characters is within the limit, whatever they are: one is at most two UTF-16 units."""


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of one row, and what had to be done to make them.

    Attributes:
        values: what is sent.
        cut: how many values were cut to Heap's length, by column.
        collisions: names in which two values met, or their column; the value nearer to the record's top was kept.
        forbidden: names that Heap reserves, and so were left out.
    """

    values: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    cut: Counter[str] = field(default_factory=Counter)
    collisions: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)


def make_properties(columns: Iterable[tuple[str, Any]], endpoint: Endpoint, *, exact: bool) -> Properties:
    """The properties made from columns and their values; nulls and what is empty are left out.

    Args:
        columns: name and value of each.
        endpoint: where it takes lists, a list of scalars stays one; otherwise it is joined as Heap itself would.
        exact: which reading the values come from (values.py).

    Raises:
        RowRejectedError: a name or a value that cannot be sent.
        InexactNumberError: only where not `exact`.
    """
    made = Properties()
    for name, value, column in _flatten(columns):
        _check_name(name, column, exact=exact)
        if name.lower() in endpoint.reserved:
            made.forbidden.append(name)
            continue
        if isinstance(value, list):
            items = [scalar(item, column, exact=exact) for item in value if item is not None]
            sent, whole = _cut_list(items) if endpoint.takes_lists else _cut_scalar(_joined(items))
        else:
            sent, whole = _cut_scalar(scalar(value, column, exact=exact))
        if name not in made.values:
            made.values[name] = sent
            made.cut.update({} if whole else {column: 1})
        elif made.values[name] != sent:  # equal where the same column is picked twice, as `a` and as `a.b`
            made.collisions.append(name if is_plain(name) else column)
    return made


def _joined(items: list[Scalar]) -> str:
    return LIST_SEPARATOR.join(map(as_text, items))


def _flatten(columns: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    """(name, scalar or list of scalars, column), shallow names first: a literal key comes before a path."""
    level = [(name, value, name) for name, value in columns]
    while level:
        deeper = []
        for name, value, column in level:
            if isinstance(value, dict):
                deeper.extend([(f"{name}.{key}", inner, column) for key, inner in value.items()])
            elif isinstance(value, list):
                if any(isinstance(item, (dict, list)) for item in value):
                    deeper.extend([(f"{name}.{position}", item, column) for position, item in enumerate(value)])
                elif any(item is not None for item in value):
                    yield name, value, column
            elif value is not None:
                yield name, value, column
        level = deeper


def _check_name(name: str, column: str, *, exact: bool) -> None:
    at = column if column != name else None  # a name that is at fault itself is no help in a message
    if not name:
        raise RowRejectedError(Reason.NAME_EMPTY)
    if len(name) > _SHORT and text_units(name) > MAX_PROPERTY:
        raise RowRejectedError(Reason.NAME_TOO_LONG, at)
    if exact:
        unicode_text(name, at)


def _cut_scalar(value: Scalar) -> tuple[Scalar, bool]:
    if isinstance(value, str) and len(value) > _SHORT and text_units(value) > MAX_PROPERTY:
        return cut_text(value, MAX_PROPERTY), False
    return value, True


def _cut_list(items: list[Scalar]) -> tuple[list[Scalar], bool]:
    """The longest beginning of a list that Heap stores whole, its last text cut where only that fits."""
    room = MAX_LIST
    for position, item in enumerate(items):
        units = min(text_units(as_text(item)), MAX_PROPERTY + 1)
        if units > min(room, MAX_PROPERTY):
            part = cut_text(item, min(room, MAX_PROPERTY)) if isinstance(item, str) and room > 0 else ""
            return items[:position] + ([part] if part else []), False
        room -= units + len(LIST_SEPARATOR)
    return items, True
