"""Heap's documented rates, kept by waiting rather than by running into 429.

A sliding window, since Heap counts what arrived within the last minute: a bucket that refills would let through what it
holds and a minute's worth on top. A share of a window is taken before a request goes, by every attempt anew, and comes
free when Heap cannot count it any more. Nothing here sleeps or looks at a clock: `now` is in seconds, and passed in.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Sequence
from typing import Final

from destination_heap_analytics.heap_api import Rate

MARGIN_SECONDS: Final = 1.0
"""How much longer than documented a window is kept: Heap counts arrivals, and two requests may be a while apart on
their way even when they left together."""

_COUNTERS: Final = 1 << 16
"""Keys are counted by hash, so that memory does not grow with them. Two that share a counter share a limit: one in
65,536 may wait without need, none may go too early."""

_CUT: Final = 0.7
_LEAST: Final = 0.05
_RECOVERY: Final = 0.02
_CUT_SECONDS: Final = 5.0
_RECOVERY_SECONDS: Final = 10.0

NO_LIMIT: Final = 1 << 60


def counter_of(key: str) -> int:
    """The counter of an identity or account; the same within a process."""
    return hash(key) % _COUNTERS


class Pacer:
    """The windows of one run: of the app, and of each identity.

    Attributes:
        counts_keys: whether a key has a window at all.
    """

    def __init__(self, app: Rate | None, key: Rate | None) -> None:
        """Begin with empty windows.

        Args:
            app: what the app may send; None where Heap states nothing.
            key: what may be sent of one identity; None where Heap states nothing.
        """
        self._app = app
        self._key = key
        self.counts_keys = key is not None
        self._seconds = max((rate.seconds for rate in (app, key) if rate), default=0.0)
        self._used = 0
        self._counts = array("l", bytes(array("l").itemsize * _COUNTERS)) if key else array("l")
        self._expiries: list[tuple[float, int, array[int]]] = []
        self._app_expiries: list[tuple[float, int]] = []
        self._order = 0
        self._factor = 1.0
        self._cut_at = self._recovered_at = -_RECOVERY_SECONDS

    @property
    def app_limit(self) -> int:
        """Rows that the app may send within its window, after what 429 has cut off."""
        return max(1, int(self._app.count * self._factor)) if self._app else NO_LIMIT

    @property
    def app_room(self) -> int:
        """Rows that may go now, as far as the app is concerned; all of a window where it is empty."""
        return max(0, self.app_limit - self._used)

    def app_takes(self, rows: int) -> bool:
        """Whether so many rows may go in one request; more than a window holds may go when it is empty."""
        return rows <= self.app_room or not self._used

    def reserve(self, key: str) -> bool:
        """Take a row's share of its key's window, if one is left."""
        if self._key is None:
            return True
        counter = hash(key) % _COUNTERS
        if self._counts[counter] >= self._key.count:
            return False
        self._counts[counter] += 1
        return True

    def reserve_again(self, keys: Sequence[str]) -> bool:
        """Take the shares of a request that has been tried before: all of them, or none."""
        if self._key is None:
            return True
        taken: list[str] = []
        for key in keys:
            if not self.reserve(key):
                self.give_back(taken)
                return False
            taken.append(key)
        return True

    def give_back(self, keys: Sequence[str]) -> None:
        """Shares that were reserved and not used."""
        if self._key:
            for key in keys:
                self._counts[hash(key) % _COUNTERS] -= 1

    def sent(self, rows: int) -> None:
        """A request of so many rows goes; the shares of its keys are reserved."""
        self._used += rows

    def landed(self, keys: Sequence[str], sent_at: float, now: float) -> None:
        """It has been answered, or given up: from now on its shares grow old."""
        self._order += 1
        if self._app:
            until = _until(self._app, sent_at, now)
            heapq.heappush(self._app_expiries, (until, len(keys)))
        if self._key:
            until = _until(self._key, sent_at, now)
            counters = array("H", (hash(key) % _COUNTERS for key in keys))
            heapq.heappush(self._expiries, (until, self._order, counters))

    def expire(self, now: float) -> list[int]:
        """Forget what Heap does not count any more; the counters of keys that may go on."""
        freed: list[int] = []
        while self._app_expiries and self._app_expiries[0][0] <= now:
            self._used -= heapq.heappop(self._app_expiries)[1]
        while self._expiries and self._expiries[0][0] <= now:
            counters = heapq.heappop(self._expiries)[2]
            for counter in counters:
                self._counts[counter] -= 1
            freed.extend(counters)
        self._recover(now)
        return freed

    @property
    def next_expiry(self) -> float:
        """When the next share comes free; infinity while none is known to."""
        ends = [expiries[0][0] for expiries in (self._app_expiries, self._expiries) if expiries]
        return min(ends, default=float("inf"))

    def throttled(self, sent_at: float, now: float) -> None:
        """Heap answered 429 all the same: somebody shares the app's rate. Take less of it for a while."""
        if sent_at >= self._cut_at and now - self._cut_at >= _CUT_SECONDS:
            self._factor = max(_LEAST, self._factor * _CUT)
            self._cut_at = self._recovered_at = now

    def _recover(self, now: float) -> None:
        if self._factor < 1.0 and now - self._recovered_at >= _RECOVERY_SECONDS:
            self._factor = min(1.0, self._factor + _RECOVERY)
            self._recovered_at = now


def _until(rate: Rate, sent_at: float, now: float) -> float:
    """It arrived between `sent_at` and `now`: Heap counts it for as long after the later of the two."""
    return max(sent_at + rate.seconds + MARGIN_SECONDS, now + rate.seconds)
