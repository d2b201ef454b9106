"""The first rejections of a run: if all rows fail for the same column, the mapping is wrong, not the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from destination_heap_analytics.errors import ConfigError, RowRejectedError

Held = TypeVar("Held")

PROOF_ROWS: Final = 100
"""If this many rows are all rejected for one column, the run stops: every row would be."""

PATIENCE_SECONDS: Final = 60.0
"""How long a state may wait for that many rows, in seconds; after that, they are rejected like any others."""


class FirstRejections(Generic[Held]):
    """Holds back the first rejected rows until a row can be loaded, or until they show that the mapping is wrong.

    Attributes:
        is_over: whether rejected rows are no longer held back.
    """

    def __init__(self, clock: Callable[[], float], *, are_stored: bool) -> None:
        """Start.

        Args:
            clock: monotonic seconds.
            are_stored: whether rejected rows are stored. Then none can be lost, and none are held back.
        """
        self.is_over = are_stored
        self._clock = clock
        self._held: list[Held] = []
        self._first: RowRejectedError | None = None
        self._give_up_at = 0.0

    def hold(self, rejection: RowRejectedError, held: Held) -> list[Held]:
        """Add a rejected row; returns the rows that may be settled now.

        Raises:
            ConfigError: enough rows were rejected for the same column.
        """
        if self._first is None:
            self._first, self._give_up_at = rejection, self._clock() + PATIENCE_SECONDS
        self._held.append(held)
        if self.is_over or rejection.column is None or rejection.column != self._first.column:
            return self.release()
        if len(self._held) >= PROOF_ROWS:
            raise ConfigError(
                f"The first {len(self._held)} rows are all rejected: column `{rejection.column}` "
                f"{rejection.reason.value}. No rows were sent. Choose another column or fix the source; to load the "
                "other rows anyway, set `object_storage_config`, which stores the rejected ones."
            )
        return []

    def tick(self) -> list[Held]:
        """The rows that have waited long enough and may be settled."""
        return self.release() if self._held and self._clock() >= self._give_up_at else []

    def release(self) -> list[Held]:
        """All rows held back: a row can be loaded, or the input has ended."""
        self.is_over = True
        held, self._held = self._held, []
        return held
