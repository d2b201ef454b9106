"""A clock may run faster than real time."""

from __future__ import annotations

import time

from destination_heap_analytics.run.clock import Clock


def test_it_starts_at_zero_and_moves_forward() -> None:
    """In seconds."""
    clock = Clock()
    first = clock.now()
    assert 0 <= first <= clock.now() < 60


def test_its_seconds_may_be_shorter_than_real_seconds() -> None:
    """Then real waits are shorter by the same factor."""
    clock, began = Clock(speed=1000.0), time.monotonic()
    time.sleep(0.01)
    assert clock.now() >= 10
    assert clock.now() <= (time.monotonic() - began + 0.001) * 1000
    assert clock.real(60.0) == 0.06
