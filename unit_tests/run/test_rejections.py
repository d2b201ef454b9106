"""A rejected row is settled when it is stored; or immediately, or with the first rows, if rows are not stored."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import pytest

from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError, SyncStoppedError
from destination_heap_analytics.protocol.checkpoints import Checkpoint
from destination_heap_analytics.rejected.store import Stored, StoreFailed
from destination_heap_analytics.run.first_rejections import PATIENCE_SECONDS, PROOF_ROWS
from destination_heap_analytics.run.rejections import Rejections
from unit_tests.rejected.memory_storage import MemoryStorage

EMPTY = RowRejectedError(Reason.EMPTY, "email")
TIMEOUT = 30.0


class Trial:
    """Rejections with a clock that the test sets, and the reports of the writing thread."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.time = 0.0
        self.reported: SimpleQueue[Any] = SimpleQueue()
        self.rejections = Rejections(storage, self.reported.put, lambda: self.time)
        self.checkpoint = Checkpoint()

    def reject(self, rows: int = 1, *, is_mapped: bool = False) -> None:
        """Reject more rows of the checkpoint."""
        for _ in range(rows):
            self.checkpoint.open += 1
            self.rejections.add({"id": 1}, EMPTY, self.checkpoint, is_mapped=is_mapped)


def test_a_stored_row_is_settled_once_it_is_durable() -> None:
    """Until then, no later state is returned."""
    storage = MemoryStorage()
    trial = Trial(storage)

    trial.reject()

    assert (trial.checkpoint.open, trial.rejections.being_stored) == (1, 1)
    stored = trial.reported.get(timeout=TIMEOUT)
    assert stored == Stored((trial.checkpoint,))
    trial.rejections.stored(stored.tickets)
    assert (trial.checkpoint.open, trial.checkpoint.rejected, trial.rejections.being_stored) == (0, 1, 0)
    assert len(storage.lines) == 1


def test_a_row_that_cannot_be_stored_is_never_settled() -> None:
    """The run does not wait for it either."""
    error = SyncStoppedError("The disk is full.")
    trial = Trial(MemoryStorage(error))

    trial.reject()
    assert trial.reported.get(timeout=TIMEOUT) == StoreFailed(error)
    trial.rejections.store_failed()

    assert (trial.checkpoint.open, trial.rejections.being_stored) == (1, 0)


def test_stored_rows_never_stop_the_run() -> None:
    """None of them is lost, however many there are."""
    trial = Trial(MemoryStorage())
    assert trial.rejections.is_mapping_proven
    trial.reject(PROOF_ROWS + 1)
    assert trial.rejections.being_stored == PROOF_ROWS + 1


def test_a_row_that_heap_refused_is_settled_immediately() -> None:
    """It says nothing about the mapping."""
    trial = Trial()
    trial.reject(is_mapped=True)
    assert (trial.checkpoint.open, trial.checkpoint.rejected) == (0, 1)
    assert not trial.rejections.is_mapping_proven


def test_the_first_rows_wait_until_one_can_be_loaded() -> None:
    """From then on, each is settled immediately."""
    trial = Trial()
    trial.reject(2)
    assert trial.checkpoint.open == 2

    trial.rejections.release()

    assert trial.rejections.is_mapping_proven
    assert (trial.checkpoint.open, trial.checkpoint.rejected) == (0, 2)
    trial.reject()
    assert (trial.checkpoint.open, trial.checkpoint.rejected) == (0, 3)


def test_the_first_rows_wait_no_longer_than_a_minute() -> None:
    """A slow source does not hold back a state."""
    trial = Trial()
    trial.reject()
    trial.rejections.tick()
    assert trial.checkpoint.open == 1

    trial.time = PATIENCE_SECONDS
    trial.rejections.tick()

    assert (trial.checkpoint.open, trial.checkpoint.rejected) == (0, 1)


def test_first_rows_that_are_all_alike_stop_the_run_unsettled() -> None:
    """The next sync reads them again, once the column is corrected."""
    trial = Trial()
    trial.reject(PROOF_ROWS - 1)
    with pytest.raises(ConfigError, match="column `email`"):
        trial.reject()
    assert (trial.checkpoint.open, trial.checkpoint.rejected) == (PROOF_ROWS, 0)
