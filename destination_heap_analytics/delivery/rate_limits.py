"""Waits to stay within Heap's documented rates, instead of running into 429.

Limits are sliding windows, because Heap counts what arrived within the last minute; a token bucket would allow a full
bucket plus a minute's refill. Every attempt to send a request takes a share of the window, which is released once Heap
can no longer count it. Pure: nothing here sleeps or reads a clock; `now` is passed in, in seconds.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from destination_heap_analytics.heap_api import Rate

MARGIN_SECONDS: Final = 1.0
"""How much longer than documented a share is kept: Heap counts arrivals, and requests sent together can arrive at
different times."""

_BURST: Final = 0.5
"""The part of the app's window that may be sent in a burst, which is all that a small run needs. The rest is spread
out, so that the window is also released gradually. A burst would be released as a burst, and a key whose own window
opens slightly later would find no room, minute after minute."""

_SPREAD: Final = 0.75
"""The part of the window over which the rest is spread, leaving room for late requests."""

_COUNTERS: Final = 1 << 16
"""Keys are counted by hash, so that memory does not grow with them. Two keys that share a counter share a limit: one
in 65,536 may wait longer than necessary, but none is sent too early."""

_CUT: Final = 0.7
_LEAST: Final = 0.05
_RECOVERY: Final = 0.02
_CUT_SECONDS: Final = 5.0
_RECOVERY_SECONDS: Final = 10.0

NO_LIMIT: Final = 1 << 60

_NEVER: Final = float("inf")


def counter_of(key: str) -> int:
    """The counter of an identity or account; the same within a process."""
    return hash(key) % _COUNTERS


class Pacer:
    """The windows of one run: one for the app, and one per identity.

    Attributes:
        counts_keys: whether keys have a window.
    """

    def __init__(self, app: Rate | None, key: Rate | None) -> None:
        """Start with empty windows.

        Args:
            app: the app's limit; None if Heap documents none.
            key: the limit per identity; None if Heap documents none.
        """
        self._app = app
        self._key = key
        self.counts_keys = key is not None
        self._used = 0
        self._next_at = -_NEVER
        self._is_held = False
        self._counts = array("l", bytes(array("l").itemsize * _COUNTERS)) if key else array("l")
        self._app_expiries: list[tuple[float, int]] = []
        self._key_expiries: list[tuple[float, array[int]]] = []
        self._factor = 1.0
        self._cut_at = self._recovered_at = -_NEVER

    @property
    def app_words(self) -> str:
        """The app's limit, for a message."""
        if self._app is None:
            return "no limit"
        lowered = f", lowered to {self.app_limit:,} because Heap returned 429" if self._factor < 1.0 else ""
        return f"the limit of {self._app.count:,} events per minute{lowered}"

    @property
    def key_words(self) -> str:
        """The limit of one identity or account, for a message."""
        if self._key is None:
            return "no limit"
        return f"Heap's limit of {self._key.count:,} in {self._key.seconds:.0f} s per identity"

    @property
    def app_limit(self) -> int:
        """The number of rows that the app may send per window, reduced after a 429."""
        return max(1, int(self._app.count * self._factor)) if self._app else NO_LIMIT

    @property
    def app_room(self) -> int:
        """The number of rows for which the app's window has room now."""
        return 0 if self._is_held else max(0, self.app_limit - self._used)

    def rows_within(self, seconds: float) -> int:
        """The number of rows of one key that may be sent within that many seconds."""
        return int(self._key.count * seconds / self._key.seconds) if self._key else NO_LIMIT

    def app_has_room_for(self, rows: int) -> bool:
        """Whether that many rows may be sent in one request. An empty window accepts any number."""
        return rows <= self.app_room or not self._used

    def reserve(self, key: str) -> bool:
        """Reserve a row's share of its key's window. Returns False if none is left."""
        if self._key is None:
            return True
        counter = hash(key) % _COUNTERS  # counter_of, inlined: this runs once per row
        if self._counts[counter] >= self._key.count:
            return False
        self._counts[counter] += 1
        return True

    def reserve_all(self, keys: Sequence[str]) -> bool:
        """Reserve the shares of several rows: all of them, or none."""
        if self._key is None:
            return True
        counts, most = self._counts, self._key.count
        for taken, key in enumerate(keys):
            counter = hash(key) % _COUNTERS  # counter_of, inlined: this runs once per row
            if counts[counter] >= most:
                self.give_back(keys[:taken])
                return False
            counts[counter] += 1
        return True

    def give_back(self, keys: Iterable[str]) -> None:
        """Return shares that were reserved but not used."""
        if self._key:
            for key in keys:
                self._counts[counter_of(key)] -= 1

    def sent(self, rows: int, now: float) -> None:
        """A request with that many rows is sent. The shares of its keys must have been reserved."""
        if self._app:
            self._used += rows
            self._next_at = now + self._app.seconds * _SPREAD * rows / self.app_limit
            self._is_held = self._used > self.app_limit * _BURST

    def completed(self, rows: int, keys: Iterable[str], sent_at: float, now: float) -> None:
        """A request got a response or failed: its shares expire one window from now."""
        if self._app:
            heapq.heappush(self._app_expiries, (_until(self._app, sent_at, now), rows))
        if self._key:
            counters = array("H", map(counter_of, keys))
            heapq.heappush(self._key_expiries, (_until(self._key, sent_at, now), counters))

    def expire(self, now: float) -> list[int]:
        """Drop what Heap no longer counts. Returns the counters that have room again."""
        freed: list[int] = []
        while self._app_expiries and self._app_expiries[0][0] <= now:
            self._used -= heapq.heappop(self._app_expiries)[1]
        while self._key_expiries and self._key_expiries[0][0] <= now:
            counters = heapq.heappop(self._key_expiries)[1]
            for counter in counters:
                self._counts[counter] -= 1
            freed.extend(counters)
        self._recover(now)
        self._is_held = now < self._next_at and self._used > self.app_limit * _BURST
        return freed

    @property
    def opens_at(self) -> float:
        """When there may be more room than now; infinity if that depends only on responses."""
        times = [expiries[0][0] for expiries in (self._app_expiries, self._key_expiries) if expiries]
        if self._is_held:
            times.append(self._next_at)
        return min(times, default=_NEVER)

    def throttled(self, sent_at: float, now: float) -> None:
        """Heap returned 429 anyway, so others use the app's rate too: send less for a while."""
        if sent_at >= self._cut_at and now - self._cut_at >= _CUT_SECONDS:
            self._factor = max(_LEAST, self._factor * _CUT)
            self._cut_at = self._recovered_at = now

    def _recover(self, now: float) -> None:
        if self._factor < 1.0 and now - self._recovered_at >= _RECOVERY_SECONDS:
            self._factor = min(1.0, self._factor + _RECOVERY)
            self._recovered_at = now


def _until(rate: Rate, sent_at: float, now: float) -> float:
    """When a request that arrived between `sent_at` and `now` can no longer be in Heap's window."""
    return max(sent_at + rate.seconds + MARGIN_SECONDS, now + rate.seconds)
