"""Estimates how long `write` will take with Heap's documented limits, from the rows of a preview."""

from __future__ import annotations

from typing import Final

from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.run.waits import duration, paced_seconds

MOST_KEYS: Final = 100_000
"""The most identities or accounts that are counted exactly; beyond, those with the fewest rows are dropped."""

_WORTH_SAYING: Final = 5.0
"""A limit that costs fewer seconds is not mentioned."""


_NOUNS: Final = {Api.ACCOUNT_PROPERTIES: "account", Api.DELETE_USERS: "user"}


class Estimate:
    """Counts rows by identity or account, in bounded memory.

    Attributes:
        rows: the number of rows counted.
        is_exact: whether no identity or account has been dropped.
    """

    def __init__(self, settings: Settings, *, most_keys: int = MOST_KEYS) -> None:
        """Start.

        Args:
            settings: the user's settings.
            most_keys: the most identities or accounts to remember.
        """
        endpoint = settings.selected_api.endpoint
        self.rows = 0
        self.is_exact = True
        self._noun = _NOUNS.get(settings.selected_api, "identity")
        self._app = settings.delivery.max_events_per_minute if settings.selected_api is Api.TRACK else None
        self._key = endpoint.bulk_rate if settings.is_bulk else endpoint.single_rate
        self._most_keys = most_keys
        self._counts: dict[int, int] = {}

    def add(self, key: str) -> None:
        """Count a row of an identity or account."""
        self.rows += 1
        number = hash(key)
        self._counts[number] = self._counts.get(number, 0) + 1
        if len(self._counts) > self._most_keys:
            self.is_exact = False
            few = sorted(self._counts.values())[self._most_keys // 2]
            self._counts = {number: count for number, count in self._counts.items() if count > few}

    @property
    def keys(self) -> int | None:
        """The number of distinct identities or accounts; None if there are too many to count."""
        return len(self._counts) if self.is_exact else None

    @property
    def most_rows(self) -> int:
        """The number of rows of the identity or account with the most."""
        return max(self._counts.values(), default=0)

    @property
    def seconds(self) -> float:
        """The shortest time that the limits allow, without Heap's response times."""
        return max(self._app_seconds, self._key_seconds)

    @property
    def sentence(self) -> str:
        """The estimate as text."""
        limits = []
        if self._app is not None and self._app_seconds >= _WORTH_SAYING:
            limits.append(f"{self._app:,} events per minute for the app")
        if self._key is not None and self._key_seconds >= _WORTH_SAYING:
            limits.append(f"{self._key.count:,} in {self._key.seconds:.0f} s per {self._noun}")
        if limits:
            least = f"`write` will take at least {duration(self.seconds)} because of Heap's limits"
            return f"{least} ({', '.join(limits)}): {self._what}."
        if self._app is None and self._key is None:
            return f"Heap documents no rate limit for these requests: {self._what}."
        return f"Heap's rate limits do not slow `write` down: {self._what}."

    @property
    def _app_seconds(self) -> float:
        return paced_seconds(self.rows, self._app) if self._app else 0.0

    @property
    def _key_seconds(self) -> float:
        return max(0, (self.most_rows - 1) // self._key.count) * self._key.seconds if self._key else 0.0

    @property
    def _what(self) -> str:
        keys = len(self._counts) if self.is_exact else self._most_keys
        plural = "identities" if self._noun == "identity" else f"{self._noun}s"
        of = f"for {'' if self.is_exact else 'more than '}{keys:,} {self._noun if keys == 1 else plural}"
        return f"{self.rows:,} row{'' if self.rows == 1 else 's'} {of}, at most {self.most_rows:,} per {self._noun}"
