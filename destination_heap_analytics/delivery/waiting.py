"""What keeps rows from being sent, for the log and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Cause(Enum):
    """Why no request can be sent now."""

    PAUSE = auto()
    """Heap returned 429 with a Retry-After header."""
    RETRY = auto()
    """A request failed, and will be retried after a pause."""
    APP_RATE = auto()
    KEY_RATE = auto()
    RESPONSES = auto()
    """The limit of requests in flight is reached, or the last requests are in flight."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a run waits for.

    Attributes:
        what: continues the words "waiting for".
        until: when the wait ends, on the clock of the run; None if that is unknown.
        rate: the rows per second that a rate limit allows; None if the wait has another cause.
    """

    what: str
    until: float | None = None
    rate: float | None = None


RESPONSES: Final = Wait("Heap's responses")
DELETIONS: Final = Wait("Heap to complete its deletion requests")
