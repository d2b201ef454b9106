"""Heap's documented rate limits, as sliding windows counted at arrival; and the sandbox's other settings.

https://developers.heap.io/reference/bulk-track, https://developers.heap.io/reference/track-1 and
https://developers.heap.io/reference/add-user-properties document the rates; none says what kind of window applies.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from heap_sandbox.mock.rules import TRACK, USERS, Batch

Key = tuple[str, str]
"""What a window counts for: an app and an identity, which is empty for the whole app."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` of something within any `seconds`."""

    what: str
    count: int
    seconds: float


BULK_APP = Rate("bulk events of one app", 15_000, 60.0)
BULK_IDENTITY = Rate("bulk events of one identity", 1_000, 60.0)
SINGLE_TRACK = Rate("single track requests of one identity", 30, 30.0)
SINGLE_USER = Rate("single user property requests of one identity", 30, 30.0)
RATES = (BULK_APP, BULK_IDENTITY, SINGLE_TRACK, SINGLE_USER)


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be changed while the sandbox runs.

    Attributes:
        enabled: Whether the rates are enforced.
        scale: Divides the length of every window: 60 turns a minute into a second.
        body_bytes: The largest body; Heap documents no limit.
        retry_after: Whether a 429 has Retry-After; Heap does not document it.
        token_seconds: How long a token of the deletion API is valid.
        deletion_seconds: How long a deletion request is pending; Heap does not document it.
    """

    enabled: bool = False
    scale: float = 1.0
    body_bytes: int = 10_000_000
    retry_after: bool = True
    token_seconds: float = 300.0
    deletion_seconds: float = 1.0

    def changed(self, wanted: Any) -> Settings:
        """These settings with some replaced; ValueError with a sentence if one is invalid."""
        if not isinstance(wanted, dict):
            raise ValueError("Limits must be a JSON object.")  # noqa: TRY004  # any mistake is answered with 422
        for name, value in wanted.items():
            if name not in _CHECKS:
                raise ValueError(f"There is no setting {name!r}; the settings are {', '.join(_CHECKS)}.")
            valid, rule = _CHECKS[name]
            if not valid(value):
                raise ValueError(f"{name} must be {rule}.")
        return replace(self, **wanted)

    def row(self) -> dict[str, Any]:
        """The settings and the rates that they govern."""
        return asdict(self) | {"rates": [asdict(rate) for rate in RATES]}


_SCALES = (0.001, 1_000_000)  # beyond them, a window is too long to wait for
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "enabled": (lambda value: type(value) is bool, "true or false"),
    "scale": (
        lambda value: type(value) in (int, float) and _SCALES[0] <= value <= _SCALES[1],
        "a number from {:g} to {:,}".format(*_SCALES),
    ),
    "body_bytes": (lambda value: type(value) is int and value > 0, "an integer above 0"),
    "retry_after": (lambda value: type(value) is bool, "true or false"),
    "token_seconds": (lambda value: type(value) in (int, float) and value >= 0, "a number of at least 0"),
    "deletion_seconds": (lambda value: type(value) in (int, float) and value >= 0, "a number of at least 0"),
}


@dataclass(frozen=True, slots=True)
class Excess:
    """A rate that a request would exceed, and the seconds until it would not."""

    rate: Rate
    seconds: float


class Window:
    """Everything that counts towards one rate, in order of arrival, for all keys together.

    With one queue, entries expire as time passes even if their key never returns.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._entries: deque[tuple[float, Key, int]] = deque()
        self._totals: Counter[Key] = Counter()

    def __len__(self) -> int:
        return len(self._totals)

    def expire(self, horizon: float) -> None:
        """Drop what arrived at or before the horizon."""
        while self._entries and self._entries[0][0] <= horizon:
            _, key, count = self._entries.popleft()
            self._totals[key] -= count
            if not self._totals[key]:
                del self._totals[key]

    def full_until(self, key: Key, count: int) -> float | None:
        """The arrival that must expire before `count` more fit; None if they fit now."""
        surplus = self._totals[key] + count - self._rate.count if key in self._totals else 0
        for arrival, owner, taken in self._entries if surplus > 0 else ():
            if owner == key:
                surplus -= taken
                if surplus <= 0:
                    return arrival
        return None

    def take(self, key: Key, count: int, now: float) -> None:
        """Count what arrived."""
        self._entries.append((now, key, count))
        self._totals[key] += count


class Limits:
    """Accepts or refuses requests by the rate limits; a refused request does not count."""

    def __init__(self, clock: Callable[[], float], settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._clock = clock
        self._windows: dict[Rate, Window] = {}
        self.clear()

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    def clear(self) -> None:
        """Start with empty windows."""
        self._windows = {rate: Window(rate) for rate in RATES}

    def admit(self, batch: Batch) -> Excess | None:
        """Count the batch and return None, or return the rate that it would exceed."""
        if not self.settings.enabled:
            return None
        now = self._clock()
        for rate, window in self._windows.items():
            window.expire(now - rate.seconds / self.settings.scale)
        wanted = _shares(batch)
        for rate, key, count in wanted:
            arrival = self._windows[rate].full_until(key, count)
            if arrival is not None:
                return Excess(rate, arrival + rate.seconds / self.settings.scale - now)
        for rate, key, count in wanted:
            self._windows[rate].take(key, count, now)
        return None


def _shares(batch: Batch) -> list[tuple[Rate, Key, int]]:
    if batch.api is TRACK and batch.bulk:
        identities = Counter(event.identity for event in batch.events if event.identity is not None)
        return [
            (BULK_APP, (batch.app_id, ""), len(batch.events)),
            *((BULK_IDENTITY, (batch.app_id, identity), count) for identity, count in identities.items()),
        ]
    if batch.api is TRACK:
        return [(SINGLE_TRACK, (batch.app_id, event.identity), 1) for event in batch.events if event.identity]
    if batch.api is USERS and not batch.bulk:
        return [(SINGLE_USER, (batch.app_id, write.subject), 1) for write in batch.writes]
    return []
