"""The waits of a run, and the time that is left."""

from __future__ import annotations

import pytest

from destination_heap_analytics.delivery.waiting import Wait
from destination_heap_analytics.run.waits import Waits, duration, seconds_left

RATE = Wait("the rate", rate=250.0)
RESPONSES = Wait("answers")
RETRY = Wait("a retry", until=15.0)


def test_the_main_wait_of_an_interval_is_named() -> None:
    """Only if it took at least half of it; then counting restarts."""
    waits = Waits()
    waits.add(RATE, 4.0)
    waits.add(RESPONSES, 3.0)
    waits.add(RATE, 2.0)
    assert waits.recent(10.0) == RATE
    assert waits.recent(10.0) is None
    waits.add(RATE, 4.0)
    waits.add(RESPONSES, 4.5)
    assert waits.recent(10.0) is None


def test_the_latest_of_equal_waits_says_when_it_ends() -> None:
    """Each pause ends at a different time."""
    waits = Waits()
    waits.add(Wait("a pause", until=5.0), 5.0)
    waits.add(Wait("a pause", until=30.0), 5.0)
    assert waits.recent(10.0) == Wait("a pause", until=30.0)


def test_the_summary_names_long_waits_the_longest_first() -> None:
    """Over the whole run, including time already reported."""
    waits = Waits()
    assert waits.summary() is None
    waits.add(RESPONSES, 9.0)
    assert waits.summary() is None
    waits.add(RATE, 3600.0)
    waits.recent(1.0)
    waits.add(RESPONSES, 9.0)
    assert waits.summary() == "Waited 60 min for the rate, 18 s for answers."


@pytest.mark.parametrize(
    ("rows", "wait", "settled", "elapsed", "seconds"),
    [
        (500, RESPONSES, 1000, 10.0, 5.0),
        (500, None, 1000, 10.0, 5.0),
        (500, None, 0, 10.0, None),
        (500, RATE, 0, 10.0, None),
        (500, None, 10, 0.0, None),
        (500, RETRY, 1000, 10.0, None),
        (0, RATE, 1000, 10.0, None),
        (-1, RATE, 1000, 10.0, None),
        (150_000, RATE, 7_500, 10.0, 590.0),
        (5_000, RATE, 15_000, 20.0, 40.0),
        (5_000, RATE, 15_000, 90.0, 20.0),
    ],
)
def test_the_remaining_time_depends_on_the_rate_that_limits_the_run(
    rows: float, wait: Wait | None, settled: int, elapsed: float, seconds: float | None
) -> None:
    """From the beginning, because of the burst; without a rate, at the speed so far; unknown in an outage."""
    assert seconds_left(rows, wait, settled, elapsed) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "120 min"), (9000.0, "2.5 h")]
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    """One number and its unit."""
    assert duration(seconds) == text
