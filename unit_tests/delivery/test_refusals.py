"""Refused rows wait until it is clear whether they are wrong or the setup is."""

from __future__ import annotations

import pytest

from destination_heap_analytics.delivery.refusals import DOUBTS, Refusals, Refused
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.mapping.payload import Payload
from destination_heap_analytics.protocol.checkpoints import Checkpoint

NEVER = float("inf")


def refused(number: int, *, since: float = 0.0, serial: int = 1, size: int = 2) -> Refused:
    item = Payload(number, Checkpoint(), None, "key", b"x" * size, None)
    return Refused(item, RowRejectedError(Reason.REFUSED), since, serial)


def test_a_row_waits_for_a_request_that_was_sent_after_it_was_refused() -> None:
    """A request that was sent before proves nothing."""
    refusals = Refusals(0.0)
    first, second = refused(1, serial=3), refused(2, serial=5)
    refusals.hold(first)
    refusals.hold(second)
    assert refusals.accepted(3) == []
    assert refusals.accepted(5) == [first]
    assert not refusals.is_empty
    assert refusals.accepted(6) == [second]
    assert refusals.is_empty


@pytest.mark.parametrize(("is_idle", "now"), [(True, 0.0), (False, 3.0)])
def test_a_probe_is_sent_if_there_is_no_other_evidence(is_idle: bool, now: float) -> None:
    """Immediately if there are no other requests, otherwise after three seconds."""
    refusals = Refusals(0.0)
    assert refusals.due(0.0, is_idle=True) is None
    refusals.hold(refused(1))
    assert refusals.due(now - 0.1, is_idle=False) is None
    probe = refusals.due(now, is_idle=is_idle)
    assert probe is refusals.probe is not None
    probe.is_in_flight = True
    assert refusals.due(now + 60, is_idle=True) is None


def test_many_refusals_hold_back_everything_else() -> None:
    """Until the probe gets a response; the next probe waits two seconds."""
    refusals = Refusals(0.0)
    for number in range(1, DOUBTS + 1):
        assert not refusals.holds_all
        refusals.count(number)
    assert refusals.due(0.0, is_idle=False)
    assert (refusals.holds_all, refusals.last_row) == (True, DOUBTS)
    refusals.probe = None
    refusals.accepted(1)
    assert not refusals.holds_all
    for number in range(DOUBTS):
        refusals.count(number)
    assert refusals.due(1.9, is_idle=False) is None
    assert refusals.wake_at(1.9) == 2.0
    assert refusals.due(2.0, is_idle=False)


def test_a_failed_probe_is_sent_again_when_it_is_due() -> None:
    """The run wakes for it."""
    refusals = Refusals(0.0)
    refusals.hold(refused(1))
    probe = refusals.due(5.0, is_idle=True)
    assert probe
    probe.due_at = 8.0
    assert (refusals.due(7.9, is_idle=True), refusals.wake_at(7.9)) == (None, 8.0)
    assert refusals.due(8.0, is_idle=True) is probe
    assert refusals.wake_at(8.0) == NEVER


@pytest.mark.parametrize(("rows", "size"), [(1000, 1), (16, 1024 * 1024)])
def test_the_rows_held_back_are_bounded(rows: int, size: int) -> None:
    """In rows and bytes."""
    refusals = Refusals(0.0)
    for number in range(rows):
        assert refusals.has_room
        refusals.hold(refused(number, size=size))
    assert not refusals.has_room
