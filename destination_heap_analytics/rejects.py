"""Rejected rows: counted, and explained by reason and column, without a word of their content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from destination_heap_analytics.errors import Reason, RowRejectedError

_FIRST_ROWS: Final = 5
_MOST_GROUPS: Final = 200
"""Reasons and columns told apart; under `*` a source may have columns without end."""


@dataclass(slots=True)
class _Group:
    count: int = 0
    first_rows: list[int] = field(default_factory=list)


class Rejects:
    """The rejected rows of a run.

    Attributes:
        count: how many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[tuple[Reason, str | None, int | None], _Group] = {}

    def add(self, row: int, rejection: RowRejectedError) -> None:
        """Count the row of this number."""
        self.count += 1
        key = (rejection.reason, rejection.column, rejection.status)
        if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
            key = (rejection.reason, None, None)
        group = self._groups.setdefault(key, _Group())
        group.count += 1
        if len(group.first_rows) < _FIRST_ROWS:
            group.first_rows.append(row)

    def explanations(self) -> Iterator[str]:
        """A sentence for each reason and column, the most frequent first."""
        for (reason, column, status), group in sorted(self._groups.items(), key=lambda item: -item[1].count):
            where = f"column `{column}`" if column else "the row"
            rows = ", ".join(map(str, group.first_rows)) + (", ..." if group.count > len(group.first_rows) else "")
            rows = f"row{'s' if group.count > 1 else ''} {rows}"
            answer = f", status {status}" if status else ""
            yield f"{group.count:,} rejected: {where} {reason.value}{answer} ({rows})."
