"""How many requests may be in flight: determined by probing, because Heap documents no limit."""

from __future__ import annotations

from typing import Final

START: Final = 4
_SECOND: Final = 1.0


class Concurrency:
    """A limit that doubles every second until the first congestion, then grows by one per second.

    Attributes:
        limit: the number of requests that may be in flight now.
        most: the upper bound of `limit`.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(START, most)
        self._doubles = True
        self._changed_at = float("-inf")
        self._cut_at = float("-inf")
        self._was_reached = False

    def sending(self, in_flight: int, now: float) -> None:
        """A request is sent; `in_flight` includes it."""
        if self._changed_at == float("-inf"):
            self._changed_at = now
        self._was_reached |= in_flight >= self.limit
        if now - self._changed_at >= _SECOND:
            if self._was_reached:
                self.limit = min(self.most, self.limit * 2 if self._doubles else self.limit + 1)
            self._changed_at = now
            self._was_reached = False

    def congested(self, sent_at: float, now: float) -> None:
        """A request got 429, 5xx or no response.

        Args:
            sent_at: when it was sent. Requests sent before the last cut do not cut the limit again.
            now: seconds.
        """
        if sent_at >= self._cut_at:
            self.limit = max(1, self.limit // 2)
            self._doubles = False
            self._cut_at = self._changed_at = now
            self._was_reached = False
