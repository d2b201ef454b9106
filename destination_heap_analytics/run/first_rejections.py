"""The rejections at the beginning of a run: when all rows fail alike, it is the mapping that is wrong, not the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from destination_heap_analytics.errors import ConfigError, RowRejectedError

Held = TypeVar("Held")

PROOF_ROWS: Final = 100
"""This many rows, all rejected for one column, prove that every row would be."""

PATIENCE_SECONDS: Final = 60.0
"""The longest wait of a state for the proof, in seconds; then such rows are rejected like any others."""


class FirstRejections(Generic[Held]):
    """Holds back what settles the first rejected rows, until one row can be loaded or they prove the mapping wrong.

    Attributes:
        is_over: whether the question is settled.
    """

    def __init__(self, clock: Callable[[], float], *, are_stored: bool) -> None:
        """Start.

        Args:
            clock: seconds, monotonic.
            are_stored: whether rejected rows are stored, so that none is lost for any reason.
        """
        self.is_over = are_stored
        self._clock = clock
        self._held: list[Held] = []
        self._first: RowRejectedError | None = None
        self._give_up_at = 0.0

    def hold(self, rejection: RowRejectedError, held: Held) -> list[Held]:
        """Another rejected row; what may be settled now.

        Raises:
            ConfigError: it is the last proof.
        """
        if self._first is None:
            self._first, self._give_up_at = rejection, self._clock() + PATIENCE_SECONDS
        self._held.append(held)
        if self.is_over or rejection.column is None or rejection.column != self._first.column:
            return self.release()
        if len(self._held) >= PROOF_ROWS:
            raise ConfigError(
                f"The first {len(self._held)} rows are all rejected: column `{rejection.column}` "
                f"{rejection.reason.value}. No rows were sent. Pick another column or fix the source; to load the "
                "other rows anyway, set `object_storage_config`, which keeps the rejected ones."
            )
        return []

    def tick(self) -> list[Held]:
        """What may be settled because its wait is over."""
        return self.release() if self._held and self._clock() >= self._give_up_at else []

    def release(self) -> list[Held]:
        """A row can be loaded, or the input is at its end: what may be settled."""
        self.is_over = True
        held, self._held = self._held, []
        return held
