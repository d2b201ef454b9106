"""What a response means for the rows of a request, as a table; nothing is sent."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.delivery.decision import (
    BUDGET_SECONDS,
    NO_FAILURES,
    POISON_SECONDS,
    REFUSED_TRIES,
    Attempt,
    Decision,
    Deliver,
    History,
    Reject,
    Retry,
    RunSoFar,
    Split,
    Stop,
    decide,
)
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.errors import Reason

NOW = 1000.0
NEW = RunSoFar(is_reached=False, delivered_at=0.0)
REACHED = RunSoFar(is_reached=True, delivered_at=NOW - 1)
ACCEPTED = Verdict(Kind.ACCEPTED, 200)
BAD = Verdict(Kind.REFUSED, 400)
BLOCKED = Verdict(Kind.REFUSED, 403)
LARGE = Verdict(Kind.TOO_LARGE, 413)
NO_ACCESS = Verdict(Kind.NO_ACCESS, 404)
BUSY = Verdict(Kind.RETRYABLE, 503)
FAILED = Verdict(Kind.RETRYABLE, 500)
THROTTLED = Verdict(Kind.RETRYABLE, 429)
UNSENT = Verdict(Kind.RETRYABLE, trouble="too slow", was_sent=False)
LAST_TRY = History(failures=REFUSED_TRIES - 1)


def failing(seconds: float, **changes: Any) -> History:
    return replace(History(failures=3, since=NOW - seconds), **changes)


def decided(verdict: Verdict, rows: int, history: History = NO_FAILURES, run: RunSoFar = REACHED) -> Decision:
    return decide(verdict, Attempt(rows, history), run, NOW, random.Random(1))


@pytest.mark.parametrize(
    ("verdict", "rows", "history", "run", "decision"),
    [
        (ACCEPTED, 3, NO_FAILURES, NEW, Deliver()),
        (ACCEPTED, 0, LAST_TRY, NEW, Deliver()),
        (Verdict(Kind.NOT_HEAP, 302), 3, NO_FAILURES, REACHED, Stop()),
        (Verdict(Kind.LOCKED_OUT, 401), 1, NO_FAILURES, REACHED, Stop()),
        (NO_ACCESS, 3, NO_FAILURES, NEW, Stop()),
        (NO_ACCESS, 3, NO_FAILURES, REACHED, Split()),
        (BAD, 3, NO_FAILURES, NEW, Split()),
        (LARGE, 2, NO_FAILURES, NEW, Split()),
        (BAD, 0, NO_FAILURES, REACHED, Stop()),
        (BLOCKED, 0, LAST_TRY, REACHED, Stop()),
        (UNSENT, 2, NO_FAILURES, NEW, Split()),
        (BUSY, 2, failing(BUDGET_SECONDS), REACHED, Stop()),
        (BUSY, 0, failing(BUDGET_SECONDS), REACHED, Stop()),
        (replace(BUSY, retry_after=601.0), 2, NO_FAILURES, REACHED, Stop(601.0)),
        (THROTTLED, 2, failing(BUDGET_SECONDS), NEW, Stop()),
        (FAILED, 2, failing(POISON_SECONDS), REACHED, Split(is_suspect=True)),
        (FAILED, 2, failing(30, is_suspect=True), REACHED, Split(is_suspect=True)),
        (FAILED, 1, failing(120, is_suspect=True), REACHED, Stop(is_poison=True)),
    ],
)
def test_each_response_has_a_decision(
    verdict: Verdict, rows: int, history: History, run: RunSoFar, decision: Decision
) -> None:
    """Given what the run knew before it."""
    assert decided(verdict, rows, history, run) == decision


@pytest.mark.parametrize(
    ("verdict", "rows", "history", "run"),
    [
        (BLOCKED, 1, NO_FAILURES, REACHED),
        (LARGE, 1, NO_FAILURES, REACHED),
        (NO_ACCESS, 1, NO_FAILURES, REACHED),
        (BLOCKED, 0, NO_FAILURES, REACHED),
        (UNSENT, 1, NO_FAILURES, NEW),
        (BUSY, 2, failing(BUDGET_SECONDS - 1), REACHED),
        (THROTTLED, 2, failing(5000), REACHED),
        (FAILED, 2, failing(POISON_SECONDS), RunSoFar(is_reached=True, delivered_at=0.0)),
        (FAILED, 2, failing(POISON_SECONDS, only_500=False), REACHED),
        (FAILED, 2, failing(POISON_SECONDS - 1), REACHED),
        (FAILED, 1, failing(POISON_SECONDS), REACHED),
        (FAILED, 0, failing(POISON_SECONDS), REACHED),
    ],
)
def test_what_may_still_be_accepted_is_sent_again(verdict: Verdict, rows: int, history: History, run: RunSoFar) -> None:
    """With one more failure in its history."""
    decision = decided(verdict, rows, history, run)
    assert isinstance(decision, Retry)
    assert decision.history.failures == history.failures + 1
    assert NOW <= decision.at <= NOW + 30
    assert decision.holds_until is None


@pytest.mark.parametrize(
    ("verdict", "history", "reason"),
    [
        (BAD, NO_FAILURES, Reason.REFUSED),
        (Verdict(Kind.REFUSED, 422), NO_FAILURES, Reason.REFUSED),
        (BLOCKED, LAST_TRY, Reason.NO_ENTRY),
        (NO_ACCESS, LAST_TRY, Reason.NO_ENTRY),
        (LARGE, LAST_TRY, Reason.TOO_LARGE),
    ],
)
def test_a_row_sent_alone_is_rejected_with_its_reason(verdict: Verdict, history: History, reason: Reason) -> None:
    """And the text of Heap's response."""
    decision = decided(replace(verdict, words="no"), 1, history)
    assert isinstance(decision, Reject)
    assert (decision.rejection.reason, decision.rejection.words) == (reason, "no")


@pytest.mark.parametrize(("verdict", "holds_until"), [(THROTTLED, NOW + 20), (BUSY, None)])
def test_only_429_holds_the_app(verdict: Verdict, holds_until: float | None) -> None:
    """Retry-After in other responses applies only to their own request."""
    decision = decided(replace(verdict, retry_after=20.0), 2)
    assert isinstance(decision, Retry)
    assert (decision.at, decision.holds_until) == (NOW + 20, holds_until)


VERDICTS = st.builds(
    Verdict,
    kind=st.sampled_from(Kind),
    status=st.none() | st.integers(100, 999),
    retry_after=st.none() | st.floats(0, 1e9),
    was_sent=st.booleans(),
)
HISTORIES = st.builds(
    History, st.integers(0, 2000), st.floats(0, NOW) | st.just(float("inf")), st.booleans(), st.booleans()
)


@given(
    VERDICTS, st.builds(Attempt, st.integers(0, 3), HISTORIES), st.builds(RunSoFar, st.booleans(), st.floats(0, NOW))
)
def test_every_response_has_a_decision_that_fits_its_request(verdict: Verdict, attempt: Attempt, run: RunSoFar) -> None:
    """Only several rows are split, only a single row is rejected, and only rows that Heap accepted are delivered."""
    decision = decide(verdict, attempt, run, NOW, random.Random(1))
    assert isinstance(decision, Deliver) is (verdict.kind is Kind.ACCEPTED)
    if isinstance(decision, Split):
        assert attempt.rows > 1
    if isinstance(decision, Reject):
        assert attempt.rows == 1
    if isinstance(decision, Retry):
        assert NOW <= decision.at <= NOW + BUDGET_SECONDS
