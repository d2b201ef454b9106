"""What becomes of each rejected row of a run: it is stored, held back as one of the first, or settled at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.protocol.checkpoints import Checkpoint
from destination_heap_analytics.rejected.store import RejectWriter, Storage, Stored, StoreFailed, rejected_line
from destination_heap_analytics.run.first_rejections import FirstRejections


class Rejections:
    """Settles rejected rows, each as soon as no state that passes it could lose it.

    Attributes:
        being_stored: rows that are not durable yet.
    """

    def __init__(
        self,
        storage: Storage | None,
        report: Callable[[Stored[Checkpoint] | StoreFailed], None],
        clock: Callable[[], float],
    ) -> None:
        """Nothing is stored yet.

        Args:
            storage: where rejected rows are kept; None if nowhere.
            report: called by another thread with what it has stored, for the run to pass to `stored` or `store_failed`.
            clock: seconds, monotonic.
        """
        self.being_stored = 0
        self._writer = RejectWriter(storage, report) if storage else None
        self._first: FirstRejections[Checkpoint] = FirstRejections(clock, are_stored=storage is not None)

    @property
    def are_full(self) -> bool:
        """Whether too many wait to be stored to accept more."""
        return self._writer is not None and self._writer.is_full

    @property
    def is_mapping_proven(self) -> bool:
        """Whether the mapping is no longer suspected of rejecting every row."""
        return self._first.is_over

    def add(
        self,
        source: bytes | Mapping[str, Any] | None,
        rejection: RowRejectedError,
        checkpoint: Checkpoint,
        *,
        is_mapped: bool,
    ) -> None:
        """Another rejected row.

        Args:
            source: what is stored of it.
            rejection: the reason.
            checkpoint: the one that waits for it.
            is_mapped: whether Heap rejected it, not the mapping.

        Raises:
            ConfigError: the first rows were all rejected for one column.
        """
        if self._writer:
            self.being_stored += 1
            self._writer.put(rejected_line(source, rejection), checkpoint)
        elif is_mapped or self._first.is_over:
            checkpoint.settle(delivered=False)
        else:
            _settle(self._first.hold(rejection, checkpoint))

    def tick(self) -> None:
        """Settle the first rows if they have waited long enough for a proof."""
        _settle(self._first.tick())

    def release(self) -> None:
        """Settle the first rows: one can be loaded, or there are no more."""
        if not self._first.is_over:
            _settle(self._first.release())

    def stored(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Settle rows that are durable now, by their checkpoints."""
        for checkpoint in checkpoints:
            self.being_stored -= 1
            checkpoint.settle(delivered=False)

    def store_failed(self) -> None:
        """No row will be stored any more, and those that are not durable stay unsettled."""
        self.being_stored = 0

    def close(self) -> None:
        """Store nothing more."""
        if self._writer:
            self._writer.close()


def _settle(checkpoints: Iterable[Checkpoint]) -> None:
    for checkpoint in checkpoints:
        checkpoint.settle(delivered=False)
