"""Decides which states can be returned, and with which counts.

A state covers every row read before it, so it waits until each of them is delivered or rejected. States are returned in
the order they arrived. The rows between two states form a checkpoint: rows join the last one, and a state closes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from airbyte_protocol_dataclasses.models import AirbyteMessage

from destination_heap_analytics.protocol.messages import Record, State


@dataclass(slots=True, eq=False)
class Checkpoint:
    """The rows between two states.

    Attributes:
        open: the number of rows that are not settled yet.
        state: the state that closes the checkpoint; None if it is the last one.
    """

    open: int = 0
    delivered: int = 0
    rejected: int = 0
    state: State | None = None

    def settle(self, rows: int = 1, *, delivered: bool) -> None:
        """Count that many of its rows as delivered or rejected."""
        self.open -= rows
        if delivered:
            self.delivered += rows
        else:
            self.rejected += rows


MAX_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of waiting states: rows that are retried for minutes hold up all later states."""


class Checkpoints:
    """The checkpoints of a run whose states have not been returned.

    Attributes:
        has_room: whether more states may be read.
    """

    def __init__(self, carries: Callable[[str, str | None], bool]) -> None:
        """Start a run.

        Args:
            carries: whether a stream, by name and namespace, is the one being loaded.
        """
        self.has_room = True
        self._carries = carries
        self._open = deque([Checkpoint()])
        self._bytes = 0

    @property
    def last(self) -> Checkpoint:
        """The checkpoint that the next row joins."""
        return self._open[-1]

    def row_read(self) -> Checkpoint:
        """Add a row to the last checkpoint, and return the checkpoint, with which the row is settled later."""
        self.rows_read(1)
        return self._open[-1]

    def rows_read(self, rows: int) -> None:
        """Add that many rows to the last checkpoint."""
        self._open[-1].open += rows

    def state_read(self, state: State) -> None:
        """Close the last checkpoint with a state, and open the next one."""
        self._open[-1].state = state
        self._open.append(Checkpoint())
        self._waits(state.size)

    def due(self) -> Iterator[AirbyteMessage]:
        """The states that can be returned now, each with the counts of the rows since the previous one.

        A state of another stream covers no row of this one: its counts are added to the next state.
        """
        while (checkpoint := self._open[0]).state is not None and not checkpoint.open:
            following = self._open[1]
            if checkpoint.state.stream is not None and not self._carries(*checkpoint.state.stream):
                following.delivered += checkpoint.delivered
                following.rejected += checkpoint.rejected
                checkpoint.delivered = checkpoint.rejected = 0
            self._open.popleft()
            self._waits(-checkpoint.state.size)
            yield checkpoint.state.acknowledged(checkpoint.delivered, checkpoint.rejected)

    def _waits(self, size: int) -> None:
        self._bytes += size
        self.has_room = self._bytes < MAX_BYTES


@dataclass(slots=True)
class PendingRecord:
    """A row of the source. Not frozen, because that would take three times as long to create.

    Attributes:
        number: the position of the row in the input, from 1.
        checkpoint: the checkpoint with which it is settled.
    """

    number: int
    record: Record
    checkpoint: Checkpoint
