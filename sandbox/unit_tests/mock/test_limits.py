"""The documented rate limits, with a clock that the test controls."""

from __future__ import annotations

import re
from typing import Any

import pytest

from heap_sandbox.mock.limits import BULK_APP, BULK_IDENTITY, SINGLE_TRACK, SINGLE_USER, Excess, Limits, Rate, Settings
from heap_sandbox.mock.rules import ACCOUNTS, TRACK, USERS, Batch, read


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> Limits:
    return Limits(clock, Settings(enabled=True))


def bulk(*identities: str, app_id: str = "11") -> Batch:
    return read(TRACK, {"app_id": app_id, "events": [{"identity": who, "event": "E"} for who in identities]})


def crowd(number: int) -> Batch:
    return bulk(*(f"{number}-{i}" for i in range(1000)))


def track(identity: str = "alice", app_id: str = "11") -> Batch:
    return read(TRACK, {"app_id": app_id, "identity": identity, "event": "E"})


def user(identity: str = "alice") -> Batch:
    return read(USERS, {"app_id": "11", "identity": identity})


def times(limits: Limits, batch: Batch, count: int) -> list[Excess | None]:
    return [limits.admit(batch) for _ in range(count)]


def test_nothing_is_counted_until_enabled(clock: Clock) -> None:
    """The rate limits are off by default."""
    limits = Limits(clock)
    assert times(limits, track(), 100) == [None] * 100
    assert len(limits) == 0


def test_an_app_can_have_15_000_bulk_events_per_minute(limits: Limits) -> None:
    """Fifteen full requests fit, and not one event more (bulk-track)."""
    assert [limits.admit(crowd(i)) for i in range(15)] == [None] * 15
    assert limits.admit(bulk("one more")) == Excess(BULK_APP, 60.0)
    assert limits.admit(bulk("another app", app_id="12")) is None


def test_an_identity_can_have_1000_bulk_events_per_minute(limits: Limits) -> None:
    """Counted across requests, by identity and app (bulk-track)."""
    assert limits.admit(bulk(*["alice"] * 999)) is None
    assert limits.admit(bulk("alice", "alice")) == Excess(BULK_IDENTITY, 60.0)
    assert limits.admit(bulk("alice", "Alice")) is None
    assert limits.admit(bulk("alice", app_id="12")) is None


def test_an_identity_can_have_30_single_events_in_30_seconds(limits: Limits) -> None:
    """Single requests have their own limit (track-1)."""
    assert times(limits, track(), 31) == [None] * 30 + [Excess(SINGLE_TRACK, 30.0)]
    assert limits.admit(track("bob")) is None
    assert limits.admit(track(app_id="12")) is None
    assert limits.admit(bulk("alice")) is None


def test_an_identity_can_have_30_single_user_writes_in_30_seconds(limits: Limits) -> None:
    """As add-user-properties says."""
    assert times(limits, user(), 31) == [None] * 30 + [Excess(SINGLE_USER, 30.0)]
    assert limits.admit(user("bob")) is None


@pytest.mark.parametrize(
    "document",
    [
        {"app_id": "11", "users": [{"identity": "alice"}] * 1000},
        {"app_id": "11", "account_id": "acme", "properties": {}},
    ],
)
def test_other_calls_have_no_rate(limits: Limits, document: dict[str, Any]) -> None:
    """None is documented for users in bulk or for accounts."""
    batch = read(USERS if "users" in document else ACCOUNTS, document)
    assert times(limits, batch, 50) == [None] * 50


def test_a_user_id_counts_for_the_app_only(limits: Limits) -> None:
    """The limits per user are documented for identities."""
    assert times(limits, read(TRACK, {"app_id": "11", "user_id": "5", "event": "E"}), 31) == [None] * 31
    batch = read(TRACK, {"app_id": "11", "events": [{"user_id": "5", "event": "E"}] * 1000})
    assert times(limits, batch, 16) == [None] * 15 + [Excess(BULK_APP, 60.0)]


def test_a_window_slides(limits: Limits, clock: Clock) -> None:
    """Each arrival expires one window later."""
    for _ in range(30):
        assert limits.admit(track()) is None
        clock.now += 1
    assert limits.admit(track()) is None
    assert limits.admit(track()) == Excess(SINGLE_TRACK, 1.0)
    clock.now += 0.75
    assert limits.admit(track()) == Excess(SINGLE_TRACK, 0.25)
    clock.now += 0.25
    assert limits.admit(track()) is None


def test_the_wait_reaches_until_the_whole_request_fits(limits: Limits, clock: Clock) -> None:
    """A larger request waits for more to expire."""
    for size in (400, 300, 300):
        assert limits.admit(bulk("bob", *["alice"] * size)) is None
        clock.now += 10
    assert limits.admit(bulk(*["alice"] * 400)) == Excess(BULK_IDENTITY, 30.0)
    assert limits.admit(bulk(*["alice"] * 401)) == Excess(BULK_IDENTITY, 40.0)


def test_a_refused_request_does_not_count(limits: Limits) -> None:
    """Neither towards the limit that refused it nor towards any other."""
    assert limits.admit(bulk(*["alice"] * 1000)) is None
    for _ in range(20):
        assert limits.admit(bulk("alice", *(f"{i}" for i in range(999)))) == Excess(BULK_IDENTITY, 60.0)
    assert [limits.admit(crowd(i)) for i in range(14)] == [None] * 14


def test_scale_shortens_the_windows(clock: Clock) -> None:
    """60 turns a minute into a second."""
    limits = Limits(clock, Settings(enabled=True, scale=60))
    assert limits.admit(bulk(*["alice"] * 1000)) is None
    assert limits.admit(bulk("alice")) == Excess(BULK_IDENTITY, 1.0)
    clock.now += 1
    assert limits.admit(bulk("alice")) is None


def test_empty_windows_are_removed(limits: Limits, clock: Clock) -> None:
    """So identities that never return take no memory."""
    for i in range(15):
        limits.admit(crowd(i))
    assert len(limits) == 15_001
    clock.now += 60
    limits.admit(track())
    assert len(limits) == 1


def test_clearing_empties_the_windows(limits: Limits) -> None:
    """The next request is accepted."""
    assert times(limits, track(), 31)[-1] is not None
    limits.clear()
    assert limits.admit(track()) is None


def test_settings_can_be_changed_one_by_one() -> None:
    """The others keep their values."""
    changed = Settings().changed({"enabled": True, "scale": 60}).changed({"body_bytes": 10, "retry_after": False})
    assert changed == Settings(enabled=True, scale=60, body_bytes=10, retry_after=False)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ([], "Limits must be a JSON object."),
        (
            {"speed": 1},
            (
                "There is no setting 'speed'; the settings are enabled, scale, body_bytes, retry_after, "
                "token_seconds, deletion_seconds."
            ),
        ),
        ({"enabled": 1}, "enabled must be true or false."),
        ({"retry_after": None}, "retry_after must be true or false."),
        ({"scale": 0}, "scale must be a number from 0.001 to 1,000,000."),
        ({"scale": True}, "scale must be a number from 0.001 to 1,000,000."),
        ({"body_bytes": 0}, "body_bytes must be an integer above 0."),
        ({"body_bytes": 1.5}, "body_bytes must be an integer above 0."),
    ],
)
def test_wrong_settings_are_explained(wanted: Any, sentence: str) -> None:
    """With a message for each mistake."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Settings().changed(wanted)


def test_the_settings_show_the_documented_rates() -> None:
    """With count and window."""
    rates = [Rate(**rate) for rate in Settings().row()["rates"]]
    assert [(rate.count, rate.seconds) for rate in rates] == [(15_000, 60), (1_000, 60), (30, 30), (30, 30)]
