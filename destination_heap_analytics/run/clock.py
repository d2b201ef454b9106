"""The clock of a run: monotonic, and for tests faster than real time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic clock.

    Attributes:
        speed: its seconds per real second. With a mock of Heap at the same speed, a run of hours takes minutes.
    """

    speed: float = 1.0
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the clock was created."""
        return (time.monotonic() - self._began) * self.speed

    def real(self, seconds: float) -> float:
        """Convert seconds of this clock to real seconds."""
        return seconds / self.speed
