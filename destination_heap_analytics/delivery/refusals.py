"""Holds back rows that Heap refused, until it is clear whether the rows are wrong or the setup is.

A row that was refused when sent alone is held back until Heap accepts something that was sent after the refusal: other
rows, or a probe, which is the request that `check` sends. This works at any point of a run. Pure: `now` is passed in,
in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from destination_heap_analytics.delivery.decision import NO_FAILURES, History
from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.mapping.payload import Payload

DOUBTS: Final = 10
"""After this many consecutive refusals, the setup is in doubt, and nothing but a probe is sent."""

_PROBE_SECONDS: Final = 2.0
"""The least time between two probes: Heap accepts 30 events in 30 seconds for their identity."""

_PROOF_SECONDS: Final = 3.0
"""How long a refused row waits for another row to be accepted before a probe is sent; later states wait too."""

_MOST_ROWS: Final = 1000
_MOST_BYTES: Final = 16 * 1024 * 1024

_NEVER: Final = float("inf")


@dataclass(slots=True, eq=False)
class Probe:
    """The request of `check`, sent to see whether the setup is right.

    Attributes:
        due_at: when it may be sent.
        history: its failed attempts.
        is_in_flight: whether it has no response yet.
        sent_at: when it was last sent.
        serial: the number of that request, counted over the run.
    """

    due_at: float
    history: History = NO_FAILURES
    is_in_flight: bool = False
    sent_at: float = 0.0
    serial: int = 0


class Refused(NamedTuple):
    """A row refused alone, when, and the number of requests sent by then, which prove nothing if accepted."""

    item: Payload
    rejection: RowRejectedError
    since: float
    serial: int


class Refusals:
    """The refusals of a run whose cause is not known yet.

    Attributes:
        last_row: the number of the last row refused.
        probe: the current probe; None if there is none.
    """

    def __init__(self, now: float) -> None:
        self.last_row = 0
        self.probe: Probe | None = None
        self._count = 0
        self._rows: list[Refused] = []
        self._probed_at = now - _PROBE_SECONDS

    @property
    def has_room(self) -> bool:
        """Whether more rows may be held back."""
        return len(self._rows) < _MOST_ROWS and sum(row.item.kept for row in self._rows) < _MOST_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether no row is held back and there is no current probe."""
        return not self._rows and not self.probe

    @property
    def holds_all(self) -> bool:
        """Whether nothing else may be sent until the probe gets a response."""
        return self.probe is not None and self._count >= DOUBTS

    def count(self, number: int) -> None:
        """Count a refused request, whose first row has this number."""
        self._count += 1
        self.last_row = number

    def hold(self, row: Refused) -> None:
        """Hold back a row that was refused alone."""
        self._rows.append(row)

    def accepted(self, serial: int) -> Sequence[Refused]:
        """Heap accepted the request with this serial: returns the rows that are thereby known to be wrong."""
        self._count = 0
        proven = [row for row in self._rows if row.serial < serial]
        self._rows = self._rows[len(proven) :]
        return proven

    def due(self, now: float, *, is_idle: bool) -> Probe | None:
        """The probe, if it is due.

        Args:
            now: seconds.
            is_idle: whether there are no other requests that could show it.
        """
        is_late = bool(self._rows) and now - self._rows[0].since >= _PROOF_SECONDS
        is_wanted = self._count >= DOUBTS or is_late or (bool(self._rows) and is_idle)
        if not self.probe and is_wanted and now >= self._probed_at + _PROBE_SECONDS:
            self.probe = Probe(now)
            self._probed_at = now
        probe = self.probe
        return probe if probe and not probe.is_in_flight and now >= probe.due_at else None

    def wake_at(self, now: float) -> float:
        """When the next probe may be sent; infinity if none may."""
        at = _NEVER
        if self.probe:
            at = self.probe.due_at
        elif self._rows or self._count >= DOUBTS:
            at = max(self._probed_at + _PROBE_SECONDS, self._rows[0].since + _PROOF_SECONDS if self._rows else now)
        return at if at > now else _NEVER
