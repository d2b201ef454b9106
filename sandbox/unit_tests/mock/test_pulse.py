"""Counters and rates, computed from the request log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from heap_sandbox.mock.pulse import SECONDS, Pulse
from heap_sandbox.mock.rules import ACCOUNTS, TRACK, USERS, Api, read
from heap_sandbox.mock.store import Entry, Store

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
START = int(NOON.timestamp())


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store()) as opened:
        yield opened


def arrive(store: Store, api: Api = TRACK, second: float = 0, reason: str | None = None, **document: Any) -> None:
    batch = None if reason else read(api, {"app_id": "11"} | document)
    elements = len(batch.events + batch.writes) if batch else 1
    request = {"path": api.path, "app_id": "11", "form": "bulk", "elements": elements, "bytes": 1, "sha256": "ab"}
    sender = {"connection": 1, "client_port": 1, "content_type": "application/json"}
    fate = {"status": 400 if reason else 200, "fault": None, "reason": reason}
    store.record(Entry(NOON + timedelta(seconds=second), **request, **sender, **fate), batch, lambda: 0.0)  # type: ignore[arg-type]


def events(*identities: str) -> dict[str, Any]:
    return {"events": [{"identity": who, "event": "E", "idempotency_key": who} for who in identities]}


def look(pulse: Pulse) -> dict[str, Any]:
    while pulse.advance():
        pass
    return pulse.row()


def test_it_counts_per_second_and_in_total(store: Store) -> None:
    """Rows of each kind, and what failed; a duplicate was sent, but is not a row."""
    arrive(store, TRACK, 0.2, **events("a", "b"))
    arrive(store, TRACK, 0.9, **events("b", "c"))
    arrive(store, USERS, 2, users=[{"identity": "a"}])
    arrive(store, ACCOUNTS, 2, account_id="x", properties={})
    arrive(store, TRACK, 2, reason="wrong")
    seen = look(Pulse(store))
    assert seen["counts"] == {
        "events": 3,
        "users": 3,
        "accounts": 1,
        "identities": 0,
        "deletions": 0,
        "requests": 5,
        "failed": 1,
        "duplicates": 1,
    }
    assert seen["rates"] == [[START, 4, 0, 0, 0], [START + 2, 0, 1, 1, 1]]


def test_polling_twice_counts_once(store: Store) -> None:
    """Only what is new is read, and an unfinished second grows."""
    pulse = Pulse(store)
    arrive(store, **events("a"))
    assert look(pulse) == look(pulse) == look(Pulse(store))
    arrive(store, **events("b"))
    assert look(pulse)["rates"] == [[START, 2, 0, 0, 0]]


def test_every_change_of_a_list_shows(store: Store) -> None:
    """A new row, and a row that was written again."""
    pulse = Pulse(store)
    steps = [
        ({"events", "users"}, lambda: arrive(store, **events("a"))),
        (set(), lambda: arrive(store, **events("a"))),
        ({"users"}, lambda: arrive(store, USERS, identity="a", properties={"p": 1})),
        ({"accounts"}, lambda: arrive(store, ACCOUNTS, account_id="x", properties={})),
        ({"accounts"}, lambda: arrive(store, ACCOUNTS, account_id="x", properties={})),
        ({"failed"}, lambda: arrive(store, reason="wrong")),
    ]
    for changed, step in steps:
        before = look(pulse)["changes"]
        step()
        after = look(pulse)["changes"]
        assert {name for name in after if after[name] != before[name]} == changed


def test_only_the_last_minutes_have_rates(store: Store) -> None:
    """The counters continue."""
    for second in (0, 1, SECONDS):
        arrive(store, second=second, reason="wrong")
    seen = look(Pulse(store))
    assert [second for second, *_ in seen["rates"]] == [START + 1, START + SECONDS]
    assert seen["counts"]["failed"] == 3


def test_a_long_log_is_read_in_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that others are served between them."""
    monkeypatch.setattr("heap_sandbox.mock.pulse.CHUNK", 2)
    for _ in range(5):
        arrive(store, reason="wrong")
    pulse = Pulse(store)
    assert [pulse.advance() for _ in range(3)] == [True, True, False]
    assert pulse.row()["counts"]["failed"] == 5


def test_a_poll_ends_while_more_arrives(store: Store) -> None:
    """What comes meanwhile is counted by the next one."""
    pulse = Pulse(store)
    for _ in range(100):
        arrive(store, reason="wrong")
        if not pulse.advance():
            break
    assert pulse.row()["counts"]["failed"] == 1


def test_cleared_data_is_no_longer_counted(store: Store) -> None:
    """Another epoch begins, also where as many requests have come since."""
    pulse = Pulse(store)
    arrive(store, reason="wrong")
    before = look(pulse)
    store.clear()
    arrive(store, **events("a"))
    after = look(pulse)
    assert after["epoch"] != before["epoch"]
    assert (after["counts"]["requests"], after["counts"]["failed"], after["rates"]) == (1, 0, [[START, 1, 0, 0, 0]])
