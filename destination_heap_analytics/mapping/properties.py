"""Makes properties from columns and their values: flattened, and within Heap's limits.

Heap accepts strings, numbers and, for Track only, lists of them (https://developers.heap.io/reference/track-1);
booleans are sent as JSON booleans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.heap_api import (
    LIST_SEPARATOR,
    MAX_INTEGER,
    MAX_LIST,
    MAX_PROPERTY,
    Endpoint,
    cut_text,
    text_units,
)
from destination_heap_analytics.mapping.columns.column import ABSENT, is_airbytes, is_plain
from destination_heap_analytics.mapping.values import SHORT, Scalar, as_text, joined_text, scalar, unicode_text

NUMBERS: Final = frozenset({bool, int, float})

_MOST_NAMES: Final = 10_000
"""The most names that are remembered: a key inside an object may be content, and differ in each row."""

Values = dict[str, Scalar | list[Scalar]]

Columns = Iterable[tuple[Any, Any]]
"""Names or list positions, each with its value."""

_Level = tuple[str, str | None, Columns]
"""An object or a list: the prefix of its names, its column (None for the record itself), and its members."""


@dataclass(slots=True)
class Properties:
    """The properties of one row, and the changes that were made to them.

    Attributes:
        values: the properties that are sent.
        cut: the column of each value that was truncated to Heap's maximum length.
        collisions: names, or columns, for which two values collided; the listed one was kept, or else the one closer
            to the top level.
        forbidden: names left out because Heap reserves them.
        unnamable: the columns in which a value was left out because its name would be empty or too long.
    """

    values: Values = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    collisions: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    unnamable: list[str | None] = field(default_factory=list)

    @property
    def is_worth_reporting(self) -> bool:
        """Whether any change was needed."""
        return bool(self.cut or self.collisions or self.forbidden or self.unnamable)


class PropertyMaker:
    """Makes the properties of the rows of one run; remembers names that are valid.

    Attributes:
        endpoint: where the properties are sent. If it does not accept lists, they are joined as Heap does.
        fit: known valid names.
    """

    def __init__(self, endpoint: Endpoint, *, skips_airbytes: bool = False) -> None:
        """Begin.

        Args:
            endpoint: where the properties are sent.
            skips_airbytes: whether `*` leaves out the columns that Airbyte adds.
        """
        self.endpoint = endpoint
        self._skips_airbytes = skips_airbytes
        self.fit: set[str] = set()

    def make(self, listed: Columns, rest: Columns = (), *, exact: bool) -> tuple[Values, Properties | None]:
        """Make properties from columns and their values. The second result is None if no changes were made.

        Nulls, absent and empty values are left out. Shallow names come first: a literal key wins over a path.

        Args:
            listed: name and value of each column that is selected by name.
            rest: the same for the columns that `*` adds.
            exact: whether the values come from the exact reading (values.py).

        Raises:
            RowRejectedError: a name or a value cannot be sent.
            InexactNumberError: only if not `exact`.
        """
        made = Properties()
        below: list[_Level] = []
        self._flatten(("", None, listed), made, below, exact=exact)
        if rest:
            self._flatten(("", None, rest), made, below, exact=exact, skips_airbytes=self._skips_airbytes)
        while below:
            levels, below = below, []
            for level in levels:
                self._flatten(level, made, below, exact=exact)
        return made.values, made if made.is_worth_reporting else None

    def accepts(self, name: str) -> bool:
        """Whether a property can have this name."""
        try:
            return name in self.fit or (_is_name(name) and self._is_free(name, name))
        except RowRejectedError:
            return False

    def _flatten(
        self, level: _Level, made: Properties, below: list[_Level], *, exact: bool, skips_airbytes: bool = False
    ) -> None:
        """Make properties from the scalars and lists of scalars of a level, and add its inner levels to `below`."""
        prefix, parent, members = level
        values, fit = made.values, self.fit
        for key, value in members:
            name = f"{prefix}{key}" if prefix else key
            # A shortcut for the many values that are sent unchanged; `_add` has the rules for all values.
            kind = type(value)
            if (
                (
                    len(value) <= SHORT and (not exact or value.isascii())
                    if kind is str
                    else kind in NUMBERS and -MAX_INTEGER <= value <= MAX_INTEGER
                )
                and name in fit
                and name not in values
            ):
                values[name] = value
            elif value is None or value is ABSENT or (skips_airbytes and is_airbytes(name)):
                continue
            elif (inner := _members(value)) is not None:
                below.append((f"{name}.", name if parent is None else parent, inner))
            elif not _is_empty(value):
                self._add(made, name, value, name if parent is None else parent, exact=exact)

    def _add(self, made: Properties, name: str, value: Any, column: str, *, exact: bool) -> None:
        if name not in self.fit:
            if not _is_name(name):
                made.unnamable.append(column if column != name else None)
                return
            if not self._is_free(name, column):
                made.forbidden.append(name)
                return
        sent, whole = self._sent(value, column, exact=exact)
        if name not in made.values:
            made.values[name] = sent
            if not whole:
                made.cut.append(column)
        elif made.values[name] != sent:  # equal if the same value is selected twice, as `a` and as `a.b`
            made.collisions.append(name if is_plain(name) else column)

    def _is_free(self, name: str, column: str) -> bool:
        """Whether a name is not reserved by Heap.

        Raises:
            RowRejectedError: the name is not valid Unicode.
        """
        at = column if column != name else None  # an invalid name is not shown in a message
        unicode_text(name, at)
        if name.lower() in self.endpoint.reserved:
            return False
        if len(self.fit) >= _MOST_NAMES:
            self.fit.clear()
        self.fit.add(name)
        return True

    def _sent(self, value: Any, column: str, *, exact: bool) -> tuple[Scalar | list[Scalar], bool]:
        if not isinstance(value, list):
            return _cut_scalar(scalar(value, column, exact=exact))
        items = [item for item in value if item is not None]
        if self.endpoint.accepts_lists:
            return _cut_list([scalar(item, column, exact=exact) for item in items])
        return _cut_scalar(LIST_SEPARATOR.join([joined_text(item, column, exact=exact) for item in items]))


def _is_name(name: str) -> bool:
    """Whether Heap accepts a name of this length."""
    return bool(name) and (len(name) <= SHORT or text_units(name) <= MAX_PROPERTY)


def _members(value: Any) -> Columns | None:
    """The members of an object, or of a list that contains objects or lists; None for other values."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return enumerate(value)
    return None


def _is_empty(value: Any) -> bool:
    return isinstance(value, list) and all(item is None for item in value)


def _cut_scalar(value: Scalar) -> tuple[Scalar, bool]:
    if isinstance(value, str) and len(value) > SHORT and text_units(value) > MAX_PROPERTY:
        return cut_text(value, MAX_PROPERTY), False
    return value, True


def _cut_list(items: list[Scalar]) -> tuple[list[Scalar], bool]:
    """The longest prefix of a list that Heap stores completely; its last text may be truncated."""
    room = MAX_LIST
    for position, item in enumerate(items):
        units = min(text_units(as_text(item)), MAX_PROPERTY + 1)
        if units > min(room, MAX_PROPERTY):
            part = cut_text(item, min(room, MAX_PROPERTY)) if isinstance(item, str) and room > 0 else ""
            return items[:position] + ([part] if part else []), False
        room -= units + len(LIST_SEPARATOR)
    return items, True
