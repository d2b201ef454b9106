"""The clock of a run: monotonic seconds, as fast as real ones or faster."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic clock.

    Attributes:
        speed: its seconds per real one; with a mock of Heap at the same speed, a run of hours takes minutes.
    """

    speed: float = 1.0
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the clock was created."""
        return (time.monotonic() - self._began) * self.speed

    def real(self, seconds: float) -> float:
        """The real duration of this many of its seconds."""
        return seconds / self.speed
