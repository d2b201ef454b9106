"""The listed property columns of one run, and where its rows have them.

A column that no row has had yet costs nothing per row: it is looked for only in rows with a top-level key that no row
before them had, or with one that leads to it without reaching it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from destination_heap_analytics.mapping.columns import ABSENT, Column, look_up
from destination_heap_analytics.names import normal
from destination_heap_analytics.protocol.catalog import Path

_MOST_KEYS: Final = 10_000
"""So many top-level keys are remembered; a source may have new ones in each row."""


@dataclass(slots=True)
class Guess:
    """A column that was read by the underscored way because no row had its exact key.

    Attributes:
        column: as it was read.
        rows: how many rows had a value there.
        refuted_by: the key that a later row had instead; None as long as none had one.
    """

    column: Column
    rows: int = 0
    refuted_by: str | None = None

    @property
    def warning(self) -> str | None:
        """What to say of a guess that proved wrong."""
        if self.refuted_by is None:
            return None
        name, way = self.column.name, ".".join(self.column.keys)
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return (
            f"Column `{name}` was read as `{way}` in the first {rows}, until a row had the key "
            f"`{self.refuted_by}` itself, which counts from then on. To read the other one, write `{way}`."
        )


class PropertyColumns:
    """The columns that become properties, in the user's order; those that no row has had yet are left out.

    Attributes:
        guesses: the columns read by the underscored way.
        is_open: whether a row may still change how a column is read.
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        self._columns = list(columns)
        self._seen: set[int] = set()
        self._known: set[str] = set()
        self._waiting: dict[str, set[int]] = defaultdict(set)
        self._retry: set[int] = set()
        self.guesses: dict[int, Guess] = {}
        for position, column in enumerate(self._columns):
            for key in column.first_keys:
                self._waiting[key].add(position)
        self.is_open = bool(self._columns)
        self._arrange()

    def learn(self, data: Mapping[str, Any]) -> None:
        """Look for those columns that are still open in one more row."""
        for guess in self.guesses.values():
            if guess.refuted_by is None and guess.column.read(data) is not ABSENT:
                guess.rows += 1
        if self._known.issuperset(data) and not self._retry:
            return
        fresh = data.keys() - self._known
        if len(self._known) + len(fresh) > _MOST_KEYS:
            self._known.clear()
        self._known |= fresh
        positions = self._retry.union(*(self._waiting.get(normal(key), ()) for key in fresh if isinstance(key, str)))
        changes = [self._try(position, data) for position in sorted(positions)]
        if any(changes):
            self._arrange()

    def values(self, data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Name and value of each column that some row has had, the value ABSENT if this one has not."""
        values = list(map(data.get, self._first_keys, repeat(ABSENT)))
        for position, keys in self._inner_keys:
            values[position] = look_up(values[position], keys)
        return zip(self._names, values, strict=True)

    @property
    def unseen(self) -> Sequence[str]:
        """The names of those that no row has had."""
        return [column.name for position, column in enumerate(self._columns) if position not in self._seen]

    @property
    def is_declared(self) -> bool:
        """Whether the catalog's schema declares one of them at least."""
        return any(column.declared for column in self._columns)

    @property
    def names(self) -> Sequence[str]:
        """All names, as the user wrote them."""
        return [column.name for column in self._columns]

    def _try(self, position: int, data: Mapping[str, Any]) -> bool:
        """Whether this row changes how a column is read."""
        before = self._columns[position]
        column = before.found_in(data)
        if column.read(data) is ABSENT:
            self._retry.add(position)  # a key that leads to it is there: it may come with any row
            return False
        self._retry.discard(position)
        if position in self._seen and column == before:
            return False
        if before.guessed and not column.guessed:
            self.guesses[position].rows -= self.guesses[position].column.read(data) is not ABSENT
            self.guesses[position].refuted_by = ".".join(column.keys)
        self._columns[position] = column
        self._seen.add(position)
        if column.guessed:
            self.guesses[position] = Guess(column, rows=1)
        else:
            for positions in self._waiting.values():
                positions.discard(position)
        return True

    def _arrange(self) -> None:
        seen = [column for position, column in enumerate(self._columns) if position in self._seen]
        self._names: tuple[str, ...] = tuple(column.name for column in seen)
        self._first_keys: tuple[str, ...] = tuple(column.keys[0] for column in seen)
        self._inner_keys: tuple[tuple[int, Path], ...] = tuple(
            (position, column.keys[1:]) for position, column in enumerate(seen) if len(column.keys) > 1
        )
        self.is_open = len(seen) < len(self._columns) or any(
            guess.refuted_by is None for guess in self.guesses.values()
        )
