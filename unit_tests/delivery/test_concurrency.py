"""The number of requests that may be in flight is determined by probing."""

from __future__ import annotations

import pytest

from destination_heap_analytics.delivery.concurrency import START, Concurrency


def busy(limit: Concurrency, seconds: int, *, since: int = 0) -> list[int]:
    """The limits found each second, while as many requests as allowed are in flight."""
    found = []
    for second in range(since, since + seconds):
        limit.sending(limit.limit, float(second))
        found.append(limit.limit)
    return found


def test_the_limit_doubles_each_second_up_to_the_most() -> None:
    """As long as no response indicates congestion."""
    assert busy(Concurrency(16), 5) == [4, 8, 16, 16, 16]


def test_the_limit_does_not_grow_within_a_second() -> None:
    """However many requests are sent."""
    limit = Concurrency(64)
    for tenth in range(10):
        limit.sending(limit.limit, tenth / 10)
    assert limit.limit == START
    limit.sending(limit.limit, 1.0)
    assert limit.limit == 2 * START


def test_a_limit_that_was_not_reached_does_not_grow() -> None:
    """Higher limits have not been tested."""
    limit = Concurrency(64)
    for second in range(10):
        limit.sending(START - 1, float(second))
    assert limit.limit == START


def test_the_start_does_not_exceed_the_most() -> None:
    """A small limit applies from the beginning."""
    limit = Concurrency(2)
    assert limit.limit == 2
    assert busy(limit, 3) == [2, 2, 2]


def test_congestion_halves_the_limit_which_then_grows_by_one() -> None:
    """Doubling is over for the rest of the run."""
    limit = Concurrency(16)
    busy(limit, 3)
    limit.congested(2.0, 3.0)
    assert limit.limit == 8
    assert busy(limit, 10, since=3) == [8, 9, 10, 11, 12, 13, 14, 15, 16, 16]


def test_responses_to_requests_sent_before_a_cut_do_not_cut_again() -> None:
    """Sixteen requests that fail together count once, not sixteen times."""
    limit = Concurrency(16)
    busy(limit, 3)
    for sent_at in (2.0, 2.1, 2.9):
        limit.congested(sent_at, 3.0)
    assert limit.limit == 8
    limit.congested(3.1, 3.5)
    assert limit.limit == 4


@pytest.mark.parametrize("cuts", [3, 10])
def test_one_request_may_always_be_sent(cuts: int) -> None:
    """Otherwise nothing would show that Heap is available again."""
    limit = Concurrency(4)
    for second in range(cuts):
        limit.congested(float(second), second + 0.5)
    assert limit.limit == 1
    assert busy(limit, 3, since=cuts) == [1, 2, 3]
