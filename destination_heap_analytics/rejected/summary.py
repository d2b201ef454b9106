"""Counts rejected rows by reason and column, without their content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from destination_heap_analytics.errors import Reason, RowRejectedError

_FIRST_ROWS: Final = 5
_MOST_GROUPS: Final = 200
"""The most combinations of reason and column: with `*`, a source may have any number of columns."""


@dataclass(slots=True)
class Group:
    """Rows that were rejected for the same reason.

    Attributes:
        column: None for the whole row, or if there are too many combinations.
        status: the status of Heap's response; None if the row was not sent.
        first_rows: the numbers of the first few rows.
    """

    reason: Reason
    column: str | None
    status: int | None
    count: int = 0
    first_rows: list[int] = field(default_factory=list)

    @property
    def explanation(self) -> str:
        """The message about these rows."""
        where = f"column `{self.column}`" if self.column else "the row"
        rows = ", ".join(map(str, self.first_rows)) + (", ..." if self.count > len(self.first_rows) else "")
        status = f", status {self.status}" if self.status else ""
        return (
            f"{self.count:,} rejected: {where} {self.reason.value}{status} (row{'s' if self.count > 1 else ''} {rows})."
        )


class Rejects:
    """The rejected rows of a run.

    Attributes:
        count: the number of rejected rows.
    """

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[tuple[Reason, str | None, int | None], Group] = {}

    def add(self, row: int, rejection: RowRejectedError) -> None:
        """Count a rejected row."""
        self.count += 1
        key = (rejection.reason, rejection.column, rejection.status)
        if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
            key = (rejection.reason, None, None)
        group = self._groups.setdefault(key, Group(*key))
        group.count += 1
        if len(group.first_rows) < _FIRST_ROWS:
            group.first_rows.append(row)

    def groups(self) -> list[Group]:
        """The groups, the most frequent first."""
        return sorted(self._groups.values(), key=lambda group: -group.count)

    def explanations(self) -> Iterator[str]:
        """A message per group."""
        return (group.explanation for group in self.groups())
