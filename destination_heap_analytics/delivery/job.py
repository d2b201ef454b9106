"""A job: rows on their way to Heap, in one request or in the parts of it that Heap accepts."""

from __future__ import annotations

from dataclasses import dataclass

from destination_heap_analytics.delivery.decision import NO_FAILURES, History
from destination_heap_analytics.mapping.payload import Payloads


@dataclass(slots=True, eq=False)
class Job:
    """A batch of rows that is being sent, split into parts if Heap refused it. The parts are sent one after another.

    Only the planner changes a job.

    Attributes:
        parts: what is left of it, the next one last.
        keys: of all its rows.
        kept: bytes of all its rows; they stay until the job ends.
        due_at: when the next part may go.
        sent_at: when the last one went.
        history: the failed attempts to send the part.
        serial: of the last request, counted over the run.
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
        """How often Heap has not accepted the part."""
        return self.history.failures
