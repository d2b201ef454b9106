"""How long a run has waited and for what, and how long the rest will take."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from destination_heap_analytics.delivery.waiting import Wait

SOURCE: Final = Wait("the source")
OUTPUT: Final = Wait("the program that reads the output")
STORAGE: Final = Wait("the storage of rejected rows")

_LEAST_SHARE: Final = 0.5
"""The progress mentions a wait if it took at least this share of the time since the last report."""

_LEAST_TOTAL: Final = 10.0
"""Shorter waits, in seconds, are left out of the summary."""

BURST: Final = 0.5
"""The share of the app's rate per minute that is sent in a burst."""

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


class Waits:
    """The waits of one run."""

    def __init__(self) -> None:
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._recent: defaultdict[str, float] = defaultdict(float)
        self._latest: dict[str, Wait] = {}

    def add(self, wait: Wait, seconds: float) -> None:
        """Record a wait that is over."""
        self._totals[wait.what] += seconds
        self._recent[wait.what] += seconds
        self._latest[wait.what] = wait

    def recent(self, seconds: float) -> Wait | None:
        """The main wait of the last `seconds`; None if the run was mostly busy. Resets the recent waits."""
        what = max(self._recent, key=self._recent.__getitem__, default=None)
        is_main = what is not None and self._recent[what] >= _LEAST_SHARE * seconds
        self._recent.clear()
        return self._latest[what] if what is not None and is_main else None

    def summary(self) -> str | None:
        """All waits, the longest first; None if they were short."""
        totals = sorted(self._totals.items(), key=lambda total: -total[1])
        parts = [f"{duration(waited)} for {what}" for what, waited in totals if waited >= _LEAST_TOTAL]
        return f"Waited {', '.join(parts)}." if parts else None


def seconds_left(rows: float, wait: Wait | None, settled: int, elapsed: float) -> float | None:
    """How long the remaining rows will take; None if it cannot be estimated.

    Args:
        rows: the number of rows left.
        wait: what the run is waiting for; its rate is used, if it has one.
        settled: the number of rows settled so far.
        elapsed: seconds since the run started.
    """
    is_retry = wait is not None and wait.until is not None  # nobody knows how long an outage will last
    if rows <= 0 or not settled or elapsed <= 0 or is_retry:
        return None
    if wait is None or wait.rate is None:
        return rows * elapsed / settled
    by_rate = paced_seconds(settled + rows, 60 * wait.rate) - elapsed
    return by_rate if by_rate > 0 else rows / wait.rate


def paced_seconds(rows: float, per_minute: float) -> float:
    """The shortest time in which that many rows can be sent at a rate per sliding minute (rate_limits.py).

    Half of a minute's rows are sent in a burst, the others are spread out. No row is sent within a minute of the row
    that was a full minute's worth of rows before it.
    """
    return 60 * max(0.0, rows / per_minute - BURST, (rows - 1) // per_minute)


def duration(seconds: float) -> str:
    """A duration for a message."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:,.0f} s"
    return f"{seconds / _MINUTE:,.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:,.1f} h"
