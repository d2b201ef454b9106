"""Decides what a response means for the rows of a request. Pure: sends nothing, changes nothing; `now` is in seconds.

    ACCEPTED                 Deliver
    RETRYABLE                Retry the same bytes with exponential back-off; Stop after ten minutes
    TOO_LARGE, REFUSED       Split, until each bad row is alone in its request; then Reject it
    NO_ACCESS                the same, but Stop if the run has delivered nothing
    NOT_HEAP, LOCKED_OUT     Stop

A status that Heap does not use to refuse rows may come from a proxy, so a row sent alone is retried before it is
rejected.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.errors import Reason, RowRejectedError

BUDGET_SECONDS: Final = 600.0
"""How long a request is retried; for 429, how long a run continues without delivering anything."""

POISON_SECONDS: Final = 300.0
"""How long a batch may get only 500, while others are delivered, before one of its rows is suspected."""

_SUSPECT_SECONDS: Final = 30.0
"""The same for a part of a suspected batch."""

_LAST_SUSPECT_SECONDS: Final = 120.0
"""The same for a row that is sent alone."""

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0

REFUSED_TRIES: Final = 12
"""How often a row is sent alone before it is rejected with a status that Heap does not use to refuse rows."""

_REFUSED_PAUSE: Final = 4.0
"""The longest pause between these attempts."""

_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class History:
    """The failed attempts to send the same rows.

    Attributes:
        failures: the number of failed attempts.
        since: when the first retryable failure occurred; infinity if the rows were only refused.
        only_500: whether each of these failures was a 500.
        is_suspect: whether one of the rows is suspected to make Heap fail.
    """

    failures: int = 0
    since: float = _NEVER
    only_500: bool = True
    is_suspect: bool = False

    def failed(self, status: int | None, now: float) -> History:
        """The history with one more retryable failure."""
        only_500 = self.only_500 and status == HTTPStatus.INTERNAL_SERVER_ERROR
        return History(self.failures + 1, min(self.since, now), only_500, self.is_suspect)


NO_FAILURES: Final = History()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that got a response.

    Attributes:
        rows: the number of rows in it; 0 for a probe of the setup.
        history: the attempts before it.
    """

    rows: int
    history: History


@dataclass(frozen=True, slots=True)
class RunSoFar:
    """What the run has learned about Heap.

    Attributes:
        is_reached: whether Heap has accepted anything.
        delivered_at: when it last accepted rows, or when the run began.
    """

    is_reached: bool
    delivered_at: float


@dataclass(frozen=True, slots=True)
class Deliver:
    """Heap has the rows."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the same bytes again.

    Attributes:
        at: the earliest time.
        history: including this failure.
        holds_until: no request may be sent before then, because Heap limits the app; None if others may be sent.
    """

    at: float
    history: History
    holds_until: float | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Send the rows in smaller requests.

    Attributes:
        is_suspect: whether one of them is suspected to make Heap fail.
    """

    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """The row was sent alone and refused."""

    rejection: RowRejectedError


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the run because of this response.

    Attributes:
        asked: how long Heap asks to wait, in seconds, if that is too long; None otherwise.
        is_poison: whether the row makes Heap fail even when sent alone.
    """

    asked: float | None = None
    is_poison: bool = False


Decision = Deliver | Retry | Split | Reject | Stop


def decide(verdict: Verdict, attempt: Attempt, run: RunSoFar, now: float, rng: random.Random) -> Decision:
    """Decide what happens to the rows.

    Args:
        verdict: the outcome of the request.
        attempt: the request.
        run: what the run has learned about Heap.
        now: seconds.
        rng: adds jitter to the pauses.
    """
    match verdict.kind:
        case Kind.ACCEPTED:
            return Deliver()
        case Kind.RETRYABLE:
            return _later(verdict, attempt, run, now, rng)
        case Kind.NOT_HEAP | Kind.LOCKED_OUT:
            return Stop()
        case Kind.NO_ACCESS if not run.is_reached:
            return Stop()
    return _refused(verdict, attempt, now, rng)


def _refused(verdict: Verdict, attempt: Attempt, now: float, rng: random.Random) -> Decision:
    if attempt.rows > 1:
        return Split()
    history = attempt.history
    if not verdict.breaks_a_rule and history.failures < REFUSED_TRIES - 1:
        pause = rng.uniform(0.0, min(_REFUSED_PAUSE, _FIRST_PAUSE * 2**history.failures))
        return Retry(now + pause, replace(history, failures=history.failures + 1))
    if not attempt.rows:
        return Stop()
    reason = Reason.REFUSED if verdict.breaks_a_rule else Reason.NO_ENTRY
    if verdict.kind is Kind.TOO_LARGE:
        reason = Reason.TOO_LARGE
    return Reject(RowRejectedError(reason, status=verdict.status, words=verdict.words))


def _later(verdict: Verdict, attempt: Attempt, run: RunSoFar, now: float, rng: random.Random) -> Decision:
    history = attempt.history.failed(verdict.status, now)
    if history.only_500 and run.delivered_at >= history.since and (decision := _suspected(attempt, history, now)):
        return decision
    if not verdict.was_sent and attempt.rows > 1:
        return Split()  # a smaller body may be sent in time
    is_throttled = verdict.status == HTTPStatus.TOO_MANY_REQUESTS
    since = max(run.delivered_at, history.since) if is_throttled else history.since
    left = since + BUDGET_SECONDS - now
    asked = verdict.retry_after or 0.0
    if left <= 0:
        return Stop()
    if asked > left:
        return Stop(asked)
    ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(history.failures - 1, 10))
    pause = max(asked, min(left, rng.uniform(0.0, ceiling)))
    return Retry(now + pause, history, now + asked if is_throttled and asked else None)


def _suspected(attempt: Attempt, history: History, now: float) -> Decision | None:
    """The decision if one of the rows seems to make Heap fail while other requests are accepted; None otherwise."""
    failing = now - history.since
    if attempt.rows > 1:
        is_late = failing >= (_SUSPECT_SECONDS if history.is_suspect else POISON_SECONDS)
        return Split(is_suspect=True) if is_late else None
    is_late = attempt.rows == 1 and history.is_suspect and failing >= _LAST_SUSPECT_SECONDS
    return Stop(is_poison=True) if is_late else None
