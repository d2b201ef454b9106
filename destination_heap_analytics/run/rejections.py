"""Handles the rejected rows of a run: each is stored, held back as one of the first, or settled immediately."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.protocol.checkpoints import Checkpoint
from destination_heap_analytics.rejected.store import RejectWriter, Storage, Stored, StoreFailed, rejected_line
from destination_heap_analytics.run.first_rejections import FirstRejections


class Rejections:
    """Settles each rejected row as soon as returning a state can no longer lose it.

    Attributes:
        being_stored: the number of rows that are not durable yet.
    """

    def __init__(
        self,
        storage: Storage | None,
        report: Callable[[Stored[Checkpoint] | StoreFailed], None],
        clock: Callable[[], float],
    ) -> None:
        """Start without rows.

        Args:
            storage: where rejected rows are stored; None if they are not.
            report: called by another thread when rows are stored; the run calls `stored` or `store_failed` in response.
            clock: monotonic seconds.
        """
        self.being_stored = 0
        self._writer = RejectWriter(storage, report) if storage else None
        self._first: FirstRejections[Checkpoint] = FirstRejections(clock, are_stored=storage is not None)

    @property
    def are_full(self) -> bool:
        """Whether too many rows are waiting to be stored to accept more."""
        return self._writer is not None and self._writer.is_full

    @property
    def is_mapping_proven(self) -> bool:
        """Whether the mapping is known not to reject every row."""
        return self._first.is_over

    def add(
        self,
        source: bytes | Mapping[str, Any] | None,
        rejection: RowRejectedError,
        checkpoint: Checkpoint,
        *,
        is_mapped: bool,
    ) -> None:
        """Add a rejected row.

        Args:
            source: the row as it is stored.
            rejection: why it was rejected.
            checkpoint: the checkpoint that it belongs to.
            is_mapped: whether it was mapped, and then refused by Heap.

        Raises:
            ConfigError: the first rows were all rejected for the same column.
        """
        if self._writer:
            self.being_stored += 1
            self._writer.put(rejected_line(source, rejection), checkpoint)
        elif is_mapped or self._first.is_over:
            checkpoint.settle(delivered=False)
        else:
            _settle(self._first.hold(rejection, checkpoint))

    def tick(self) -> None:
        """Settle the first rows if they have been held back long enough."""
        _settle(self._first.tick())

    def release(self) -> None:
        """Settle the first rows: a row can be loaded, or the input has ended."""
        if not self._first.is_over:
            _settle(self._first.release())

    def stored(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Settle rows that are now durable, given by their checkpoints."""
        for checkpoint in checkpoints:
            self.being_stored -= 1
            checkpoint.settle(delivered=False)

    def store_failed(self) -> None:
        """The storage failed: rows that are not durable stay unsettled."""
        self.being_stored = 0

    def close(self) -> None:
        """Stop storing rows."""
        if self._writer:
            self._writer.close()


def _settle(checkpoints: Iterable[Checkpoint]) -> None:
    for checkpoint in checkpoints:
        checkpoint.settle(delivered=False)
