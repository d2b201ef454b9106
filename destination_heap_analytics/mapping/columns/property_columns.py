"""The listed property columns of one run, and where its rows have them.

A column that no row has had yet costs nothing per row: such columns are in an index by the keys that lead to them, and
are looked up only in a row that has all of those keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final

from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.mapping.columns.casts import converted
from destination_heap_analytics.mapping.columns.column import (
    ABSENT,
    EACH,
    Column,
    collecting_path,
    is_position,
    json_inside,
    look_up,
)
from destination_heap_analytics.mapping.values import Scalar
from destination_heap_analytics.names import normal
from destination_heap_analytics.protocol.catalog import Path

_MOST_KEYS: Final = 10_000
"""The most keys remembered as plain: a key inside an object may be content, and differ in each row."""


@dataclass(slots=True)
class Guess:
    """A column that was read in the underscored way because no row had its exact key.

    Attributes:
        column: the column as it was read.
        rows: the number of rows in which it was read that way.
        refuted_by: the exact key, if a later row had it; None otherwise.
    """

    column: Column
    rows: int = 0
    refuted_by: str | None = None

    @property
    def warning(self) -> str | None:
        """The warning about a wrong guess; None if it was not refuted."""
        if self.refuted_by is None:
            return None
        name, way = self.column.name, ".".join(self.column.keys)
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return (
            f"Column `{name}` was read as `{way}` in the first {rows}, until a row had the key "
            f"`{self.refuted_by}` itself, which is used from then on. To read the former, write `{way}`."
        )

    @property
    def exclusion_warning(self) -> str | None:
        """The same for a column after `except`: both columns are left out, so that no later row reveals more."""
        if self.refuted_by is None:
            return None
        name, way = self.column.name, ".".join(self.column.keys)
        return (
            f"Column `{name}` after `except` was read as `{way}`, until a row had the key `{self.refuted_by}` itself. "
            f"Both are left out. To leave out `{way}` in every sync, add it after `except`."
        )


class PropertyColumns:
    """The columns that become properties, in the user's order, without those that no row has had yet.

    Constants are included, unless a row has a column with the same name as the constant's item.

    Attributes:
        guesses: the columns that are read in the underscored way, by position.
        is_open: whether a row may still change how a column is read.
        paths: where the columns are read that some row has had.
        ways: all paths at which columns have been read, and the literal keys of all columns.
    """

    def __init__(self, columns: Iterable[Column], constants: Mapping[int, Scalar] | None = None) -> None:
        """Start with columns that no row has had.

        Args:
            columns: the columns, in the user's order.
            constants: the constants, by their positions among the columns.
        """
        self._columns = list(columns)
        self._constants = dict(constants or {})
        self._seen: set[int] = set()
        self.guesses: dict[int, Guess] = {}
        self.is_open = bool(self._columns)
        self._arrange()

    def learn(self, data: Mapping[str, Any]) -> None:
        """Look up the columns that are still open in one more row."""
        self.count_guesses(data)
        if not self._index.may_be_in(data):
            return
        changes = [self._try(position, data) for position in sorted(self._index.search(data))]
        if any(changes):
            self._arrange()

    def count_guesses(self, data: Mapping[str, Any]) -> None:
        """Count this row for each guess for which it has a value."""
        for guess in self.guesses.values():
            if guess.refuted_by is None and guess.column.read(data) is not ABSENT:
                guess.rows += 1

    def may_learn_from(self, data: Mapping[str, Any]) -> bool:
        """Whether this row may change how a column is read."""
        return self._index.may_be_in(data) and bool(self._index.search(data))

    def may_learn_by(self, names: Iterable[str]) -> bool:
        """Whether a row with only these columns may change how a column is read, or has to be counted for a guess."""
        has_guesses = any(guess.refuted_by is None for guess in self.guesses.values())
        return has_guesses or bool(self._index.search(dict.fromkeys(names)))

    def values(self, data: Mapping[str, Any], *, exact: bool) -> Iterator[tuple[str, Any]]:
        """Name and value of each property that some row has had; the value is ABSENT if this row lacks it.

        Args:
            data: the record.
            exact: whether the record comes from the exact reading (values.py).

        Raises:
            RowRejectedError: a value cannot be cast.
            InexactNumberError: only if not `exact`.
        """
        values = list(map(data.get, self._first_keys, repeat(ABSENT)))
        for position, keys in self._inner_keys:
            values[position] = look_up(values[position], keys)
        for position, cast, column in self._casts:
            values[position] = converted(values[position], cast, column, exact=exact)
        named = zip(self._names, values, strict=True)
        return chain(named, self._constant_values) if self._constant_values else named

    @property
    def as_read(self) -> Mapping[str, Path] | None:
        """The path of each property, by name; None if some are cast or constant, or share a name."""
        read = dict(zip(self._names, self.paths, strict=True))
        return None if self._casts or self._constant_values or len(read) < len(self._names) else read

    @property
    def unseen(self) -> Sequence[str]:
        """The names of the columns that no row has had."""
        return [
            column.name
            for position, column in enumerate(self._columns)
            if position not in self._seen and position not in self._constants
        ]

    @property
    def doubtful(self) -> Sequence[str]:
        """The names of the columns that no row has had and that the catalog's schema does not declare."""
        return [
            column.name
            for position, column in enumerate(self._columns)
            if position not in self._seen and not column.declared
        ]

    @property
    def is_declared(self) -> bool:
        """Whether there is a constant, or the catalog's schema declares one of the columns."""
        return bool(self._constants) or any(column.declared for column in self._columns)

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns, as the user wrote them."""
        return [column.name for position, column in enumerate(self._columns) if position not in self._constants]

    def _try(self, position: int, data: Mapping[str, Any]) -> bool:
        """Look up a column in a row. Returns whether this changes how the column is read."""
        before = self._columns[position]
        column = before.found_in(data)
        if column.read(data) is ABSENT:
            return False
        if position in self._seen and column == before:
            return False
        if before.guessed and not column.guessed:
            self.guesses[position].rows -= self.guesses[position].column.read(data) is not ABSENT
            self.guesses[position].refuted_by = ".".join(column.keys)
        self._columns[position] = column
        self._seen.add(position)
        if column.guessed:
            self.guesses[position] = Guess(column, rows=1)
        return True

    def _arrange(self) -> None:
        seen = [column for position, column in enumerate(self._columns) if position in self._seen]
        self.paths: tuple[Path, ...] = tuple(column.keys for column in seen)
        refuted = (guess.column.keys for guess in self.guesses.values() if guess.refuted_by is not None)
        literal = ((normal(column.name),) for column in self._columns)
        self.ways: tuple[Path, ...] = (*self.paths, *refuted, *literal)
        self._names: tuple[str, ...] = tuple(column.property_name for column in seen)
        self._casts: tuple[tuple[int, Cast, str], ...] = tuple(
            (position, column.cast, column.name) for position, column in enumerate(seen) if column.cast
        )
        self._constant_values: tuple[tuple[str, Scalar], ...] = tuple(
            (self._columns[position].property_name, value)
            for position, value in self._constants.items()
            if position not in self._seen
        )
        self._first_keys: tuple[str, ...] = tuple(column.keys[0] for column in seen)
        self._inner_keys: tuple[tuple[int, Path], ...] = tuple(
            (position, column.keys[1:]) for position, column in enumerate(seen) if len(column.keys) > 1
        )
        waiting = {position for position in range(len(self._columns)) if position not in self._seen}
        waiting -= {position for position in self._constants if self._columns[position].whole is None}
        waiting |= {position for position, guess in self.guesses.items() if guess.refuted_by is None}
        self._index = _Index([(at, rest) for at in sorted(waiting) for rest in _spellings(self._columns[at])])
        self.is_open = bool(waiting)


_Rest = Path | str
"""The rest of a name below an object: its keys, or a text that may be split at dots and underscores."""


def _spellings(column: Column) -> Iterator[_Rest]:
    if column.path is not None and not column.guessed:
        yield column.path
        return
    if column.whole is not None:
        yield (normal(column.whole),)
    yield (normal(column.name),)
    if (collecting := collecting_path(column.name)) is not None:
        yield tuple(map(normal, collecting))
    if "." in column.name:
        yield tuple(map(normal, column.name.split(".")))
    if column.may_guess and not column.guessed:
        yield normal(column.name)


class _Index:
    """Names, or rests of names, by the keys of an object that they may begin with."""

    def __init__(self, rests: Sequence[tuple[int, _Rest]]) -> None:
        self._ends: dict[str, list[int]] = {}
        self._rests: dict[str, list[tuple[int, _Rest]]] = {}
        self._children: dict[str, _Index] = {}
        self._plain: set[str] = set()
        for position, rest in rests:
            if isinstance(rest, tuple):
                self._add(position, rest[0], rest[1:])
                continue
            self._add(position, rest, ())
            for cut in range(1, len(rest) - 1):
                if rest[cut] in "._":
                    self._add(position, rest[:cut], rest[cut + 1 :])
        self._keys = self._ends.keys() | self._rests.keys()

    def _add(self, position: int, key: str, rest: _Rest) -> None:
        if rest:
            self._rests.setdefault(key, []).append((position, rest))
        else:
            self._ends.setdefault(key, []).append(position)

    def search(self, node: Any) -> set[int]:
        """The positions of the columns that may be in this node, or that are below a null."""
        found: set[int] = set()
        for key, value in self._hits(node):
            found.update(self._ends.get(key, ()))
            if key not in self._rests:
                continue
            if value is None:
                found.update(position for position, _ in self._rests[key])
                continue
            inner = json_inside(value) if isinstance(value, str) else value
            if isinstance(inner, (dict, list)):
                found |= self._child(key).search(inner)
        return found

    def may_be_in(self, data: Mapping[str, Any]) -> bool:
        """Whether an object has a key that leads to a column, or a key that has not been checked yet."""
        return not data.keys().isdisjoint(self._keys) or not self._plain.issuperset(data)

    def _hits(self, node: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(node, list):
            yield from self._items(node)
            return
        for key in self._keys & node.keys():
            yield key, node[key]
        if self._plain.issuperset(node):
            return
        for key in node:
            name = normal(key)
            if name == key:
                if len(self._plain) >= _MOST_KEYS:
                    self._plain.clear()
                self._plain.add(key)
            elif name in self._keys:
                yield name, node[key]

    def _items(self, node: list[Any]) -> Iterator[tuple[str, Any]]:
        for item in node if EACH in self._keys else ():
            yield EACH, item
        for key in self._keys if len(self._keys) < len(node) else map(str, range(len(node))):
            if key in self._keys and is_position(key) and int(key) < len(node):
                yield key, node[int(key)]

    def _child(self, key: str) -> _Index:
        if key not in self._children:
            self._children[key] = _Index(self._rests[key])
        return self._children[key]
