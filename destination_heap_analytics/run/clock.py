"""The time that a run lives in: seconds that only go forward, as fast as real ones or faster."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic clock.

    Attributes:
        speed: its seconds in a real one; beside a Heap that lives as fast, a run of hours takes minutes.
    """

    speed: float = 1.0
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the clock was made."""
        return (time.monotonic() - self._began) * self.speed

    def real(self, seconds: float) -> float:
        """How long so many of its seconds really take."""
        return seconds / self.speed
