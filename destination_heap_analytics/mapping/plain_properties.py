"""Makes the properties of plain rows, a block at a time: the same as `PropertyMaker` makes, or none.

With `*`, rows of a known shape are mapped column by column, like listed columns. So are some values that are not plain,
if they can be mapped by themselves: lists of scalars, long texts, and names that Heap reserves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from operator import itemgetter
from typing import Any, Final

import msgspec

from destination_heap_analytics.heap_api import (
    LIST_SEPARATOR,
    MAX_INTEGER,
    MAX_LIST,
    MAX_PROPERTY,
    cut_text,
    text_units,
)
from destination_heap_analytics.mapping.columns.all_columns import AllColumns
from destination_heap_analytics.mapping.columns.block import NONE, Block, NotPlainError, Row
from destination_heap_analytics.mapping.columns.column import is_airbytes
from destination_heap_analytics.mapping.columns.shape import Shape, are_fields
from destination_heap_analytics.mapping.properties import NUMBERS, Properties, PropertyMaker, Values
from destination_heap_analytics.mapping.transformer import Selection
from destination_heap_analytics.mapping.values import SHORT, as_text
from destination_heap_analytics.protocol.catalog import Path

Made = tuple[list[Any], Properties | None]
"""The properties of several rows, as objects for msgspec, and the changes that were made; None if there were none."""


class UnfitShapeError(NotPlainError):
    """No row of this shape is plain."""


PlainProperties = Callable[[Block], Made]
"""Makes the properties of several rows.

Raises:
    NotPlainError: one of the rows is not plain.
"""

_MOST_NAMES: Final = 10_000
"""The most column names that are remembered: a source may have new ones in each row."""

_TEXT: Final = frozenset({str})


def properties_of(selection: Selection) -> PlainProperties | None:
    """The function for plain rows; None if the selection has something that only `transform` supports."""
    listed = selection.properties.as_read
    if listed is None or not all(map(selection.maker.accepts, listed)):
        return None
    return _Reader(selection.maker, listed, selection.rest)


def _has_nulls(values: Sequence[Any]) -> bool:
    """Whether some of the values of a property are null.

    Raises:
        NotPlainError: one of them cannot be sent unchanged.
    """
    kinds = set(map(type, values))
    if has_nulls := NONE in kinds:
        kinds.remove(NONE)
        values = [value for value in values if value is not None]
    if kinds == _TEXT:
        is_plain = are_short(values, MAX_PROPERTY)
    elif kinds <= NUMBERS:
        is_plain = not kinds or (min(values) >= -MAX_INTEGER and max(values) <= MAX_INTEGER)
    else:
        is_plain = all(map(_is_plain, values))
    if not is_plain:
        raise NotPlainError
    return has_nulls


def are_short(texts: Sequence[str], most: int) -> bool:
    """Whether all texts are known to have at most `most` UTF-16 units, without counting them."""
    longest = max(map(len, texts))
    return longest <= most // 2 or (longest <= most and all(map(str.isascii, texts)))


def _is_plain(value: Any) -> bool:
    """Whether a value is sent unchanged."""
    kind = type(value)
    return (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER)


@dataclass(slots=True)
class _Plan:
    """How the columns of a shape are mapped.

    Attributes:
        names: the names of the properties, in order.
        paths: the path at which each is read.
        irregular: the names of the columns whose values may not be plain, by position.
        reserved: the columns whose names Heap reserves.
        make: creates an object for msgspec with these properties; nulls are left out.
    """

    names: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    irregular: dict[int, str] = field(default_factory=dict)
    reserved: list[str] = field(default_factory=list)
    make: Callable[..., Any] = dict


class _Reader:
    """Makes the properties of listed columns, then with `*` of other columns, then of those inside objects."""

    def __init__(self, maker: PropertyMaker, listed: Mapping[str, Path], rest: AllColumns | None) -> None:
        self._maker = maker
        self._listed = listed
        self._selects_all = rest is not None
        self._left_out = {*listed.values(), *rest.excepted.ways} if rest else set[Path]()
        self._columns: set[str] = set()  # top-level columns with valid names, without those that Airbyte adds
        self._shape: Shape | None = None
        self._size = 0
        self._plan: _Plan | None = None

    def __call__(self, block: Block) -> Made:
        if block.shape is not None:
            return self._of_shape(block, block.shape)
        if not self._selects_all:
            return self._of_listed(block), None
        if self._listed or self._left_out:
            raise NotPlainError
        return [self._of_row(row) for row in block.rows], None

    def _of_listed(self, block: Block) -> list[Values]:
        """The properties of rows of unknown shape, if only listed columns are selected."""
        if not self._listed:
            return [{} for _ in range(len(block))]
        columns = [block.column(path) for path in self._listed.values()]
        have_nulls = [_has_nulls(column) for column in columns]  # each of them is checked
        named = [dict(zip(self._listed, values, strict=True)) for values in zip(*columns, strict=True)]
        if not any(have_nulls):
            return named
        return [{name: value for name, value in values.items() if value is not None} for values in named]

    def _of_shape(self, block: Block, shape: Shape) -> Made:
        if shape is not self._shape or shape.size != self._size:
            self._shape, self._size = shape, shape.size
            self._plan = self._plan_of(shape)
        plan = self._plan
        if plan is None:
            raise UnfitShapeError
        if not plan.paths:
            return [{}] * len(block), self._changes(plan, block, [])
        rows = block.values(plan.paths)
        if not plan.irregular:
            return list(starmap(plan.make, rows)), self._changes(plan, block, [])
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        cuts: list[tuple[int, str]] = []
        for at, column in plan.irregular.items():
            columns[at] = values = [self._sendable(value) for value in columns[at]]
            cuts += _cut(values, column)
        return list(map(plan.make, *columns)), self._changes(plan, block, cuts)

    def _changes(self, plan: _Plan, block: Block, cuts: list[tuple[int, str]]) -> Properties | None:
        """The changes to a block, in the order of its rows; None if there were none."""
        cut = [column for _, column in sorted(cuts, key=itemgetter(0))]
        forbidden = _met(plan.reserved, [block.column((name,)) for name in plan.reserved])
        return Properties(cut=cut, forbidden=forbidden) if cut or forbidden else None

    def _plan_of(self, shape: Shape) -> _Plan | None:
        """The plan for a shape; None if its rows need `PropertyMaker`."""
        plan = _Plan()
        leaves = list(shape.leaves()) if self._selects_all else list(self._listed.values())
        rest = [leaf for leaf in leaves if not any(leaf[: len(path)] == path for path in self._left_out)]
        if not set(leaves).issuperset(self._listed.values()) or self._is_parted(leaves):
            return None
        named = [*self._listed.items(), *((".".join(leaf), leaf) for leaf in rest if self._selects_all)]
        for name, leaf in named:
            if len(leaf) == 1 and name.lower() in self._maker.endpoint.reserved:  # no listed column has such a name
                plan.reserved.append(name)
                continue
            if name in plan.names or not self._maker.accepts(name):
                return None
            if leaf in shape.irregular:
                plan.irregular[len(plan.names)] = name if name in self._listed else leaf[0]
            plan.names.append(name)
            plan.paths.append(leaf)
        if not are_fields(plan.names):
            return None
        plan.make = _struct(plan.names)
        return plan

    def _is_parted(self, leaves: Collection[Path]) -> bool:
        """Whether a part of a column that is not an object is left out: of a list, or of JSON in a text."""
        return any(leaf == path[: len(leaf)] != path for leaf in leaves for path in self._left_out)

    def _sendable(self, value: Any) -> Any:
        """A value as it is sent, not truncated yet; None for an empty list."""
        kind = type(value)
        if kind is int:
            return value if -MAX_INTEGER <= value <= MAX_INTEGER else str(value)
        if kind is not list:
            return value
        items = [item for item in value if item is not None]
        if not items:
            return None
        texts = [as_text(item) for item in items]
        if not self._maker.endpoint.accepts_lists:
            return LIST_SEPARATOR.join(texts)
        if sum(map(len, texts)) * 2 + len(texts) * len(LIST_SEPARATOR) > MAX_LIST or not _are_numbers_short(items):
            raise NotPlainError
        return items

    def _of_row(self, data: Row) -> Values:
        """The properties of a row of unknown shape."""
        columns = self._columns
        if not columns.issuperset(data):
            _learn(columns, data, self._maker)
        values: Values = {}
        levels: list[tuple[str, Row]] = []
        for name, value in data.items():
            kind = type(value)
            if name not in columns:
                if not is_airbytes(name):
                    raise NotPlainError
            elif (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER):
                values[name] = value
            elif kind is dict:
                levels.append((f"{name}.", value))
            elif value is not None:
                raise NotPlainError
        if levels:
            _add_below(values, levels, self._maker.fit)
        return values


def _struct(names: Sequence[str]) -> type[msgspec.Struct]:
    """A type with these members; nulls are not serialised."""
    fields: list[tuple[str, Any, Any]] = [(f"f{position}", Any, None) for position in range(len(names))]
    written = {f"f{position}": name for position, name in enumerate(names)}
    return msgspec.defstruct("Properties", fields, rename=written, omit_defaults=True, gc=False)


def _are_numbers_short(items: Sequence[Any]) -> bool:
    """Whether all integers in a list are in the range that is sent as numbers."""
    return all(-MAX_INTEGER <= item <= MAX_INTEGER for item in items if type(item) is int)


def _cut(values: list[Any], column: str) -> list[tuple[int, str]]:
    """Truncate texts that are too long for Heap. Returns the rows that had one, by position, with the column."""
    cuts = []
    for row, value in enumerate(values):
        if type(value) is str and len(value) > SHORT and text_units(value) > MAX_PROPERTY:
            values[row] = cut_text(value, MAX_PROPERTY)
            cuts.append((row, column))
    return cuts


def _met(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> list[str]:
    """For each row, the names of these columns that have a value."""
    return [
        name
        for values in zip(*columns, strict=True)
        for name, value in zip(names, values, strict=True)
        if value is not None and not (type(value) is list and all(item is None for item in value))
    ]


def _learn(columns: set[str], data: Row, maker: PropertyMaker) -> None:
    """Remember the columns of a row that can become properties with the same name."""
    if len(columns) >= _MOST_NAMES:
        columns.clear()
    columns.update(name for name in data if not is_airbytes(name) and maker.accepts(name))


def _add_below(values: Values, levels: list[tuple[str, Row]], fit: Container[str]) -> None:
    """Add the properties inside objects, each given with the prefix of its names."""
    for prefix, members in levels:  # it grows below, by the objects inside these
        for key, value in members.items():
            name = prefix + key
            kind = type(value)
            if (kind is str and len(value) <= SHORT) or (kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER):
                if name not in fit or name in values:
                    raise NotPlainError
                values[name] = value
            elif kind is dict:
                levels.append((f"{name}.", value))
            elif value is not None:
                raise NotPlainError
