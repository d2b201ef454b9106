"""A job: rows that are being sent to Heap, in one request or in several smaller ones."""

from __future__ import annotations

from dataclasses import dataclass

from destination_heap_analytics.delivery.decision import NO_FAILURES, History
from destination_heap_analytics.mapping.payload import Payloads


@dataclass(slots=True, eq=False)
class Job:
    """A batch of rows that is being sent. If Heap refuses it, it is split into parts, which are sent one after another.

    Only the planner changes a job.

    Attributes:
        parts: the parts that are left, the next one last.
        keys: the keys of all its rows.
        kept: bytes of all its rows, which stay in memory until the job is done.
        due_at: when the next part may be sent.
        sent_at: when the last request was sent.
        history: the failed attempts to send the current part.
        serial: the number of its last request, counted over the run.
    """

    parts: list[Payloads]
    keys: list[str]
    kept: int
    due_at: float = 0.0
    sent_at: float = 0.0
    history: History = NO_FAILURES
    serial: int = 0

    @property
    def items(self) -> Payloads:
        """The part that is sent next, or is in flight."""
        return self.parts[-1] if self.parts else Payloads()

    @property
    def failures(self) -> int:
        """The number of failed attempts to send the current part."""
        return self.history.failures
