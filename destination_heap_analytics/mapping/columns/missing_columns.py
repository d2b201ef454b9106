"""Detects misspelled columns: distinguishes a column that no row has from rows without a value.

If the name of the identity, event, account ID or timestamp column is misspelled, every row would be rejected, or every
event would get the wrong time. So rows are held back here while such a column has not been seen in any row and the
catalog does not declare it. They are released by the first row that has it; if none has, the run stops and suggests the
nearest name.

A column that the catalog declares may be absent from rows. It has been renamed only if a row has a column that differs
from it in case or punctuation and that the catalog does not declare: PyAirbyte's caches rename columns in this way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from destination_heap_analytics.config.grammar import extras_of
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.mapping.columns.column import (
    ABSENT,
    Column,
    column_names,
    is_airbytes,
    is_plain,
    schema_names,
)
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns
from destination_heap_analytics.names import as_setting, bare, nearest
from destination_heap_analytics.protocol.checkpoints import PendingRecord

PROOF_ROWS: Final = 1000
"""If this many rows lack a column, its name is wrong."""

PROOF_BYTES: Final = 8 * 1024 * 1024
"""The same for this many bytes of rows: they are held in memory, where they take up to ten times as much."""

PATIENCE_SECONDS: Final = 60.0
"""How long rows are held back, in seconds: the states of a slow source must not wait longer."""

_NAMES_KEPT: Final = 2000
_NAMES_SHOWN: Final = 20


class ColumnNames:
    """The names of the source's columns, from the catalog and the first rows.

    Attributes:
        learns: whether names are still collected from rows.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._rows = 0
        self.learns = True
        properties = schema.get("properties")
        self._declared = properties if isinstance(properties, Mapping) else {}
        self._columns = _names_in(self._declared)
        self._names = _names_in(schema_names(schema))

    def learn(self, data: Mapping[str, Any]) -> None:
        """Collect the names in one more row, up to a limit."""
        if self.learns:
            self._rows += 1
            columns = {name: value for name, value in data.items() if not is_airbytes(name)}
            self._columns.update(_names_in(columns))
            self._names.update(_names_in(name for name in column_names(columns.items()) if is_plain(name)))
            self.learns = self._rows < PROOF_ROWS and len(self._names) < _NAMES_KEPT

    def renamed(self, key: str, data: Mapping[str, Any]) -> str | None:
        """The key under which this row has the declared column `key` if it was renamed; None otherwise."""
        if key in data or key not in self._declared:
            return None
        plain = bare(key)
        others = (other for other in data if plain and bare(other) == plain and other not in self._declared)
        return next(others, None)

    def nearest(self, name: str) -> str | None:
        """The most similar other name; None if none is similar."""
        return nearest(name, self._names)

    def listed(self) -> str:
        """The top-level columns, for a message. Keys inside objects are left out: they may be content."""
        more = len(self._columns) - _NAMES_SHOWN
        shown = ", ".join(f"`{as_setting(name)}`" for name in islice(self._columns, _NAMES_SHOWN))
        return (shown or "none") + (f" and {more:,} more" if more > 0 else "")


def _names_in(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(islice(names, _NAMES_KEPT))


class AbsenceWatch:
    """Holds back the first rows while a required column has not been seen.

    Attributes:
        is_over: whether rows are no longer held back.
    """

    def __init__(
        self,
        required: Mapping[str, Column],
        names: ColumnNames,
        clock: Callable[[], float],
        properties: PropertyColumns | None = None,
        excepted: Sequence[PropertyColumns] = (),
    ) -> None:
        """Start.

        Args:
            required: columns by setting; those that the catalog declares are not waited for.
            names: the names to suggest.
            clock: monotonic seconds.
            properties: listed property columns of which at least one is required; None if none is.
            excepted: columns that must not be sent.
        """
        self._excepted = [columns for columns in excepted if columns.doubtful]
        self._properties = None if properties is None or properties.is_declared else properties
        self._unseen = [(setting, column) for setting, column in required.items() if not column.declared]
        self._declared = [(setting, column) for setting, column in required.items() if column.declared]
        self._names = names
        self._clock = clock
        self._waiting: list[PendingRecord] = []
        self._bytes = 0
        self._give_up_at = 0.0
        self.is_over = not self._is_open

    def admit(self, row: PendingRecord) -> list[PendingRecord]:
        """Add a row. Returns the rows that may continue, in the order read: none while a column is still unseen.

        Raises:
            ConfigError: enough rows lack a column.
        """
        self._look_for_renamed(row)
        if not self._is_open:
            return [row]
        if not self._waiting:
            self._give_up_at = self._clock() + PATIENCE_SECONDS
        self._waiting.append(row)
        self._bytes += row.record.size
        data = row.record.data
        self._unseen = [
            (setting, column)
            for setting, column in self._unseen
            if column.path is None and column.found_in(data).read(data) is ABSENT
        ]
        if self._properties:
            self._properties.learn(data)
            if len(self._properties.unseen) < len(self._properties.names):
                self._properties = None
        for columns in self._excepted:
            columns.learn(data)
        self._excepted = [columns for columns in self._excepted if columns.doubtful]
        if self._is_open and (len(self._waiting) >= PROOF_ROWS or self._bytes >= PROOF_BYTES):
            self._conclude(f"the first {len(self._waiting):,} rows")
        return [] if self._is_open else self._let_go()

    def tick(self) -> list[PendingRecord]:
        """The rows that have been held back long enough."""
        if self._waiting and self._clock() >= self._give_up_at:
            self._unseen, self._properties, self._excepted = [], None, []
            return self._let_go()
        return []

    def end(self) -> list[PendingRecord]:
        """The rows that were still held back at the end of the input.

        Raises:
            ConfigError: none of them has a required column.
        """
        if self._waiting:
            count = len(self._waiting)
            self._conclude(f"all {count:,} rows" if count > 1 else "the only row")
        return self._let_go()

    @property
    def _is_open(self) -> bool:
        return bool(self._unseen or self._properties or self._excepted)

    def _conclude(self, rows: str) -> None:
        """Stop waiting. An excepted column may be absent from all rows, unless a similar column would be sent.

        Raises:
            ConfigError: the name of a column is wrong.
        """
        if self._unseen or self._properties:
            raise self._misspelled(rows)
        doubtful = [name for columns in self._excepted for name in columns.doubtful]
        if similar := {name: near for name in doubtful if (near := self._names.nearest(name))}:
            listed = ", ".join(_with_guess(name, other) for name, other in similar.items())
            raise ConfigError(
                f"`api` leaves out columns with `except` that are absent from {rows} and from the catalog, while "
                f"similar ones would be sent: {listed}. No rows were sent. Correct or remove them."
            )
        self._excepted = []

    def _look_for_renamed(self, row: PendingRecord) -> None:
        """Check whether a cache renamed a declared column, which it does in all rows: the first rows suffice."""
        if self._names.learns:
            for setting, column in self._declared:
                if other := self._names.renamed(column.keys[0], row.record.data):
                    raise _renamed(setting, column, other, row.number)
            self._declared = [named for named in self._declared if named[1].keys[0] not in row.record.data]

    def _let_go(self) -> list[PendingRecord]:
        rows, self._waiting = self._waiting, []
        self.is_over = True
        return rows

    def _misspelled(self, rows: str) -> ConfigError:
        if not self._unseen:
            return self._no_properties(rows)
        setting, column = self._unseen[0]
        near = self._names.nearest(column.name)
        guess = f" Did you mean `{as_setting(near)}`?" if near else ""
        return ConfigError(
            f"`api.{setting}` refers to the column `{column.name}`, which is absent from {rows} and from the "
            f"catalog.{guess}{_grammar_hint(setting, column.name)} No rows were sent. "
            f"Columns seen: {self._names.listed()}."
        )

    def _no_properties(self, rows: str) -> ConfigError:
        names = self._properties.names if self._properties else ()
        listed = ", ".join(_with_guess(name, self._names.nearest(name)) for name in names[:_NAMES_SHOWN])
        more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
        return ConfigError(
            f"`api.property_columns` lists columns that are all absent from {rows} and from the catalog, so no "
            f"property would be set: {listed}{more}. No rows were sent. Columns seen: {self._names.listed()}."
        )


def _grammar_hint(setting: str, name: str) -> str:
    """A hint about what the user may have meant by a name that is not a column."""
    if extras := extras_of(name):
        return f" This setting accepts only a column, without `{extras}`."
    if setting == "event_column":
        text = name.replace("'", "''")
        return f" If `{name}` is the name of the event itself, write it in single quotes: `'{text}'`."
    return ""


def _with_guess(name: str, near: str | None) -> str:
    return f"`{name}`" + (f" (did you mean `{as_setting(near)}`?)" if near else "")


def _renamed(setting: str, column: Column, other: str, number: int) -> ConfigError:
    name = ".".join((other, *column.keys[1:]))
    return ConfigError(
        f"`api.{setting}` refers to the column `{column.name}` as the catalog does, but row {number} has "
        f"`{other}` instead: a cache between the source and the connector renamed it. Use "
        f"`{as_setting(name)}`, and the new names of the other columns too."
    )


def unseen_warning(
    unseen: Mapping[str, str | None], verb: str = "lists", *, setting: str = "property_columns"
) -> str | None:
    """The warning about listed columns that no row had, each with the nearest name; None if there are none."""
    left = ", ".join(_with_guess(name, near) for name, near in unseen.items())
    return f"`api.{setting}` {verb} columns that no row had: {left}." if left else None
