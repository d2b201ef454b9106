"""How many requests to have in flight: found by trying, since Heap documents nothing of it."""

from __future__ import annotations

from typing import Final

START: Final = 4
_SECOND: Final = 1.0


class Concurrency:
    """A limit that doubles each clean second until the first sign of congestion, then grows by one a second.

    Attributes:
        limit: requests that may be in flight now.
        most: what the limit never exceeds.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(START, most)
        self._doubles = True
        self._changed_at = float("-inf")
        self._cut_at = float("-inf")
        self._was_reached = False

    def sending(self, in_flight: int, now: float) -> None:
        """One more request goes, the last of so many in flight."""
        if self._changed_at == float("-inf"):
            self._changed_at = now
        self._was_reached |= in_flight >= self.limit
        if now - self._changed_at >= _SECOND:
            if self._was_reached:
                self.limit = min(self.most, self.limit * 2 if self._doubles else self.limit + 1)
            self._changed_at = now
            self._was_reached = False

    def congested(self, sent_at: float, now: float) -> None:
        """A request was answered by 429 or 5xx, or not at all.

        Args:
            sent_at: when it went; what went before the last cut says nothing of the limit since.
            now: seconds.
        """
        if sent_at >= self._cut_at:
            self.limit = max(1, self.limit // 2)
            self._doubles = False
            self._cut_at = self._changed_at = now
            self._was_reached = False
