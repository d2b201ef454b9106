"""No window exceeds its limit, whenever a request arrives between sending and response; nothing waits longer."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from destination_heap_analytics.delivery.rate_limits import MARGIN_SECONDS, NO_LIMIT, Pacer, counter_of
from destination_heap_analytics.heap_api import Rate

MINUTE = 60.0
NEVER = float("inf")


def app_pacer(count: int = 15_000) -> Pacer:
    return Pacer(Rate(count, 60), None)


def key_pacer(count: int = 3) -> Pacer:
    return Pacer(None, Rate(count, 30))


def colliding(key: str) -> str:
    """Another key with the same counter."""
    return next(name for name in map(str, range(10_000_000)) if counter_of(name) == counter_of(key))


def send(pacer: Pacer, rows: int, sent_at: float, landed_at: float) -> None:
    pacer.expire(sent_at)
    pacer.sent(rows, sent_at)
    pacer.completed(rows, (), sent_at, landed_at)


def reserve(pacer: Pacer, keys: Iterable[str]) -> list[bool]:
    return [pacer.reserve(key) for key in keys]


def test_without_a_documented_limit_anything_may_be_sent() -> None:
    """Bulk requests of properties have no documented rate."""
    pacer = Pacer(None, None)
    pacer.sent(10**9, 0.0)
    pacer.completed(1, ["a"], 0.0, 0.1)
    pacer.throttled(0.0, 0.1)
    pacer.give_back(["a"])
    assert pacer.app_has_room_for(10**9)
    assert not pacer.counts_keys
    assert all(reserve(pacer, ["a"] * 100))
    assert pacer.reserve_all(["a"] * 100)
    assert (pacer.expire(100.0), pacer.opens_at) == ([], NEVER)
    assert pacer.rows_within(MINUTE) == NO_LIMIT


def test_a_request_takes_its_share_when_it_is_sent() -> None:
    """Long before the response."""
    pacer = app_pacer()
    pacer.sent(1000, 0.0)
    assert pacer.app_room == 14_000
    assert (pacer.app_has_room_for(14_000), pacer.app_has_room_for(14_001)) == (True, False)


@pytest.mark.parametrize(
    ("landed_at", "free_at"), [(0.1, 61.0), (1.0, 61.0), (1.5, 61.5), (90.0, 150.0)], ids=lambda second: f"{second}s"
)
def test_a_share_is_freed_when_heap_can_no_longer_count_it(landed_at: float, free_at: float) -> None:
    """A minute and a second after sending, or a minute after the response: it may have arrived only then."""
    pacer = app_pacer()
    send(pacer, 1000, 0.0, landed_at)
    assert pacer.opens_at == free_at
    pacer.expire(free_at - 0.001)
    assert pacer.app_room == 14_000
    pacer.expire(free_at)
    assert pacer.app_room == 15_000
    assert pacer.opens_at == NEVER


def test_a_request_without_a_response_does_not_expire() -> None:
    """It may still arrive at any time."""
    pacer = app_pacer()
    pacer.sent(1000, 0.0)
    pacer.expire(1000.0)
    assert (pacer.app_room, pacer.opens_at) == (14_000, NEVER)


def test_shares_are_freed_by_age_not_by_order_of_completion() -> None:
    """A response may be overtaken by a later one."""
    pacer = app_pacer()
    send(pacer, 1, 2.0, 2.1)
    send(pacer, 10, 0.0, 2.5)
    send(pacer, 100, 1.0, 2.6)
    freed = []
    for second in (62.4, 62.5, 62.6, 63.0):
        pacer.expire(second)
        freed.append(15_000 - pacer.app_room)
    assert freed == [111, 101, 1, 0]


def test_a_request_larger_than_the_window_is_sent_when_the_window_is_empty() -> None:
    """Otherwise it would wait forever after a cut."""
    pacer = app_pacer(500)
    assert pacer.app_has_room_for(1000)
    pacer.sent(1, 0.0)
    assert not pacer.app_has_room_for(1000)


def test_the_first_half_of_a_window_may_be_sent_in_a_burst() -> None:
    """A small run needs no more."""
    pacer = app_pacer()
    for _ in range(7):
        pacer.sent(1000, 0.0)
        assert pacer.app_room > 0
    pacer.sent(1000, 0.0)
    assert (pacer.app_room, pacer.app_has_room_for(1)) == (0, False)


def test_the_second_half_is_spread_over_the_window() -> None:
    """A thousand every three seconds, slightly faster than Heap's rate, to make up for delays."""
    pacer = app_pacer()
    for _ in range(8):
        send(pacer, 1000, 0.0, 0.1)
    sent_at = []
    for tenth in range(600):
        pacer.expire(tenth / 10)
        if pacer.app_has_room_for(1000):
            sent_at.append(tenth / 10)
            pacer.sent(1000, tenth / 10)
    assert sent_at == [3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0]


def test_there_is_a_wait_until_the_next_request_of_the_second_half() -> None:
    """Until the window is half empty again, if that comes first."""
    pacer = app_pacer()
    send(pacer, 8000, 0.0, 0.1)
    assert pacer.opens_at == 24.0
    pacer.expire(61.0)
    assert (pacer.opens_at, pacer.app_room) == (NEVER, 15_000)


def test_each_key_has_a_separate_window() -> None:
    """Reserved row by row, before the request that carries them is complete."""
    pacer = key_pacer()
    assert pacer.counts_keys
    assert reserve(pacer, "aaaab") == [True, True, True, False, True]


def test_a_returned_share_can_be_reserved_again() -> None:
    """Its row was not sent."""
    pacer = key_pacer()
    reserve(pacer, "aaa")
    pacer.give_back("aa")
    assert reserve(pacer, "aaa") == [True, True, False]


def test_a_numbered_key_is_recognized_by_its_counter() -> None:
    """When its rows have expired."""
    pacer = key_pacer()
    reserve(pacer, "aaab")
    pacer.completed(4, "aaab", 0.0, 0.2)
    assert pacer.opens_at == 30.0 + MARGIN_SECONDS
    assert pacer.expire(30.9) == []
    assert not pacer.reserve("a")
    assert set(pacer.expire(31.0)) == {counter_of("a"), counter_of("b")}
    assert reserve(pacer, "aaaa") == [True, True, True, False]


def test_a_retry_reserves_all_its_shares_again_or_none() -> None:
    """Its first attempt may have been counted."""
    pacer = key_pacer()
    assert pacer.reserve_all("aab")
    assert not pacer.reserve_all("bbaa")
    assert reserve(pacer, "ab" + "b" + "ab") == [True, True, True, False, False]


def test_two_keys_with_one_counter_share_a_window() -> None:
    """Neither is sent too early."""
    pacer = key_pacer()
    other = colliding("a")
    assert reserve(pacer, ["a", other, "a", other]) == [True, True, True, False]


def test_windows_are_forgotten_when_they_are_empty() -> None:
    """However many keys there were."""
    pacer = Pacer(Rate(10**6, 60), Rate(3, 30))
    for number in range(1000):
        pacer.reserve(f"user{number}")
        pacer.sent(1, number / 100)
        pacer.completed(1, [f"user{number}"], number / 100, number / 100)
    pacer.expire(100.0)
    assert not any(pacer._counts)
    assert (pacer._key_expiries, pacer._app_expiries, pacer._used) == ([], [], 0)


@pytest.mark.parametrize(("rate", "rows"), [(Rate(1000, 60), 5000), (Rate(30, 30), 300)])
def test_what_a_key_may_send_within_a_time(rate: Rate, rows: int) -> None:
    """In proportion to the time."""
    assert Pacer(None, rate).rows_within(300.0) == rows


def test_a_429_cuts_the_apps_share() -> None:
    """Another sender uses this app."""
    pacer = app_pacer()
    pacer.throttled(0.0, 1.0)
    assert pacer.app_limit == 10_500


def test_responses_to_requests_sent_before_a_cut_do_not_cut_again() -> None:
    """Neither does another 429 within five seconds."""
    pacer = app_pacer()
    pacer.throttled(0.0, 10.0)
    for sent_at, now in ((9.9, 20.0), (10.1, 14.9)):
        pacer.throttled(sent_at, now)
        assert pacer.app_limit == 10_500
    pacer.throttled(10.1, 15.0)
    assert pacer.app_limit == pytest.approx(7350, abs=1)


def test_the_share_recovers_gradually() -> None:
    """By two percent of the full rate every ten seconds, up to the full rate."""
    pacer = app_pacer()
    pacer.throttled(0.0, 0.0)
    limits = []
    for second in range(0, 200, 5):
        pacer.expire(float(second))
        limits.append(pacer.app_limit)
    assert limits[:6] == [10_500, 10_500, 10_800, 10_800, 11_100, 11_100]
    assert limits[-1] == 15_000


def test_a_share_is_always_left() -> None:
    """A twentieth, and at least one row."""
    pacers = app_pacer(), app_pacer(10)
    for pacer in pacers:
        for second in range(0, 300, 10):
            pacer.throttled(float(second), float(second))
    assert [pacer.app_limit for pacer in pacers] == [750, 1]
