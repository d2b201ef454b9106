"""What keeps rows from being sent: for the log and for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Cause(Enum):
    """Why no request is sent now."""

    PAUSE = auto()
    """Heap answered 429 with a Retry-After header."""
    RETRY = auto()
    """A request failed, and is retried after a pause."""
    APP_RATE = auto()
    KEY_RATE = auto()
    ANSWERS = auto()
    """The limit of requests in flight is reached, or the last ones are in flight."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a run waits for.

    Attributes:
        what: the end of a sentence that begins with "waiting for".
        until: when that ends, in the seconds of the run; None if it is not known.
        rate: rows per second that it lets through; None if it is not a rate.
    """

    what: str
    until: float | None = None
    rate: float | None = None


ANSWERS: Final = Wait("Heap's responses")
DELETIONS: Final = Wait("Heap to complete its deletion requests")
