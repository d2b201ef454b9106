"""What is stored, and how it is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_sandbox.mock.database import Unusable
from heap_sandbox.mock.rules import ACCOUNTS, IDENTIFY, TRACK, USERS, Api, read
from heap_sandbox.mock.store import Entry, Store

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))
SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(-9, 9)
)


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store()) as opened:
        yield opened


def record(store: Store, api: Api, connection: Any = 1, **fields: Any) -> None:
    batch = read(api, {"app_id": "11"} | fields)
    elements = len(batch.events + batch.writes)
    store.record(entry(api.path, elements=elements or 1, connection=connection), batch, lambda: 1.5)


def entry(path: str = "/api/track", **fields: Any) -> Entry:
    body: dict[str, Any] = {"app_id": "11", "form": "bulk", "elements": 1, "bytes": 10, "sha256": "ab"}
    fate: dict[str, Any] = {"status": 200, "fault": None, "reason": None}
    sender: dict[str, Any] = {"connection": 1, "client_port": 5000, "content_type": "application/json"}
    return Entry(received=NOON, path=path, **(body | fate | sender | fields))


def event(identity: str = "alice", **fields: Any) -> dict[str, Any]:
    return {"identity": identity, "event": "E"} | fields


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = orjson.loads(orjson.dumps(store.page(table).rows))
    return shown


def test_an_event_is_stored_completely(store: Store) -> None:
    """Every column of an event."""
    element = event(
        timestamp="2017-03-10T22:21:56+01:00", idempotency_key="k", session_id="s", properties={"a": [1, 2]}
    )
    record(store, TRACK, events=[element])
    assert rows(store, "events") == [
        {
            "id": 1,
            "app_id": "11",
            "identity": "alice",
            "user_id": None,
            "event": "E",
            "timestamp": "2017-03-10T22:21:56+01:00",
            "timestamp_given": True,
            "time": "2017-03-10T21:21:56.000000+00:00",
            "idempotency_key": "k",
            "session_id": "s",
            "properties": {"a": "1||2"},
            "payload": element,
            "request": 1,
            "position": 0,
        }
    ]


def test_an_event_without_a_timestamp_has_the_time_of_arrival(store: Store) -> None:
    """And shows that it had none."""
    record(store, TRACK, **event())
    (row,) = rows(store, "events")
    assert (row["timestamp"], row["timestamp_given"], row["time"]) == (None, False, "2026-06-01T10:00:00.000000+00:00")


def test_a_single_event_has_no_position(store: Store) -> None:
    """Positions are for batches."""
    record(store, TRACK, **event())
    record(store, TRACK, events=[event(), event()])
    assert [(row["request"], row["position"]) for row in rows(store, "events")] == [(1, None), (2, 0), (2, 1)]


def test_a_repeated_key_never_changes_the_stored_event(store: Store) -> None:
    """Neither in a later request nor within one."""
    record(store, TRACK, events=[event("alice", idempotency_key="k"), event("bob", idempotency_key="k")])
    record(store, TRACK, **event("carol", idempotency_key="k", properties={"a": 1}))
    assert [(row["identity"], row["properties"]) for row in rows(store, "events")] == [("alice", {})]
    assert [row["duplicates"] for row in rows(store, "requests")] == [1, 1]
    assert [user["identity"] for user in rows(store, "users")] == ["alice"]


def test_a_key_belongs_to_its_app(store: Store) -> None:
    """Two apps may use the same key; events without a key are never duplicates."""
    record(store, TRACK, **event(idempotency_key="k"))
    record(store, TRACK, **event(idempotency_key="k"), app_id="12")
    record(store, TRACK, events=[event(), event()])
    assert len(rows(store, "events")) == 4


def test_an_event_creates_its_user(store: Store) -> None:
    """Once, without properties; a user_id names a user that Heap knows already (track-1)."""
    record(store, TRACK, events=[event("alice"), event("bob"), event("alice"), {"user_id": "5", "event": "E"}])
    shown = [(user["identity"], user["properties"], user["writes"]) for user in rows(store, "users")]
    assert shown == [("alice", {}, 0), ("bob", {}, 0)]


@pytest.mark.parametrize(("api", "subject"), [(USERS, "identity"), (ACCOUNTS, "account_id")])
def test_properties_are_merged_and_the_last_write_wins(store: Store, api: Api, subject: str) -> None:
    """Added if missing, overwritten if present, across requests and within one."""
    record(store, api, **{subject: "a", "properties": {"plan": "free", "seats": 1}})
    writes = [{subject: "a", "properties": {"plan": plan, plan: True}} for plan in ("pro", "max")]
    record(store, api, **{api.plural: writes})
    (row,) = rows(store, api.plural)
    assert row == {
        "id": 1,
        "app_id": "11",
        subject: "a",
        "properties": {"plan": "max", "seats": 1, "pro": True, "max": True},
        "writes": 3,
        "revision": 2001,
        "request": 2,
    }


def test_users_of_two_apps_are_two(store: Store) -> None:
    """An identity belongs to its app, and is case-sensitive."""
    record(store, USERS, identity="alice", properties={"a": 1})
    record(store, USERS, identity="alice", properties={"a": 2}, app_id="12")
    record(store, USERS, identity="Alice")
    assert [(user["app_id"], user["identity"]) for user in rows(store, "users")] == [
        ("11", "alice"),
        ("12", "alice"),
        ("11", "Alice"),
    ]


def test_an_event_leaves_the_properties_of_its_user_alone(store: Store) -> None:
    """If the user exists."""
    record(store, USERS, identity="alice", properties={"a": 1})
    record(store, TRACK, **event("alice"))
    assert [(user["properties"], user["writes"]) for user in rows(store, "users")] == [({"a": 1}, 1)]


@given(st.lists(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3), SCALARS)))
def test_merging_is_what_a_dictionary_does(writes: list[dict[str, Any]]) -> None:
    """For all keys and values."""
    expected: dict[str, Any] = {}
    with closing(Store()) as store:
        for properties in writes:
            record(store, ACCOUNTS, account_id="a", properties=properties)
            expected |= properties
        shown = [row["properties"] for row in rows(store, "accounts")]
    assert shown == ([expected] if writes else [])


def test_a_request_is_logged_with_its_outcome(store: Store) -> None:
    """Even one that stored nothing and got no response."""
    store.record(entry(status=None, fault="hang", reason="because", elements=None), None, lambda: 2.5)
    assert rows(store, "requests") == [
        {
            "id": 1,
            "received": "2026-06-01T10:00:00.000000+00:00",
            "path": "/api/track",
            "app_id": "11",
            "form": "bulk",
            "elements": None,
            "duplicates": 0,
            "bytes": 10,
            "sha256": "ab",
            "status": None,
            "stored": False,
            "fault": "hang",
            "reason": "because",
            "connection": 1,
            "client_port": 5000,
            "content_type": "application/json",
            "milliseconds": 2.5,
        }
    ]


def test_a_request_and_its_elements_are_one_transaction(store: Store) -> None:
    """If logging fails, nothing is stored."""

    def fail() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.record(entry(), read(TRACK, {"app_id": "11"} | event()), fail)
    assert rows(store, "events") == rows(store, "users") == rows(store, "requests") == []
    record(store, TRACK, **event())
    assert len(rows(store, "events")) == 1


def test_pages_follow_each_other(store: Store) -> None:
    """Oldest first; the last has no next cursor."""
    record(store, TRACK, events=[event(f"{i}") for i in range(5)])
    pages = [store.page("events", after, 2) for after in (0, 2, 4)]
    assert [[row["id"] for row in page.rows] for page in pages] == [[1, 2], [3, 4], [5]]
    assert [page.next for page in pages] == [2, 4, None]
    assert [page.total for page in pages] == [5, 5, 5]


def test_a_full_last_page_is_the_last(store: Store) -> None:
    """No empty page follows."""
    record(store, TRACK, events=[event(f"{i}") for i in range(4)])
    assert store.page("events", 2, 2).next is None


def test_a_page_can_be_of_one_subject_only(store: Store) -> None:
    """Total, rows and next then cover only that subject."""
    record(store, TRACK, events=[event(who) for who in ("a", "b", "a", "a")])
    page = store.page("events", 0, 2, ("identity", "a"))
    assert (page.total, [row["id"] for row in page.rows], page.next) == (3, [1, 3], 3)


def test_a_row_can_be_read_alone(store: Store) -> None:
    """With the time at which it was created or last changed."""
    record(store, USERS, identity="alice", properties={"a": 1})
    record(store, TRACK, **event())
    shown = orjson.loads(orjson.dumps(store.row("users", 1)))
    assert (shown["identity"], shown["properties"], shown["received"]) == (
        "alice",
        {"a": 1},
        "2026-06-01T10:00:00.000000+00:00",
    )
    request = store.row("requests", 2)
    assert request
    assert request["path"] == "/api/track"
    assert store.row("events", 2) is None


def listed(store: Store, view: str, **asked: Any) -> list[Any]:
    return [row["who"] for row in store.newest(view, **asked).rows]


def test_the_newest_come_first(store: Store) -> None:
    """Users and accounts by their last change; an event creates a user but changes none."""
    record(store, USERS, users=[{"identity": who} for who in "abc"])
    record(store, USERS, users=[{"identity": "b"}, {"identity": "a"}])
    record(store, TRACK, events=[event("c"), event("d")])
    record(store, ACCOUNTS, accounts=[{"account_id": who, "properties": {}} for who in "xyx"])
    assert listed(store, "users") == ["d", "a", "b", "c"]
    assert listed(store, "accounts") == ["x", "y"]
    assert listed(store, "events") == ["d", "c"]


def test_a_list_continues_from_its_last_page(store: Store) -> None:
    """Before its last row, or after its newest."""
    record(store, TRACK, events=[event(who) for who in "abcde"])
    found = store.newest("events", limit=2)
    assert ([row["who"] for row in found.rows], found.next, found.newest) == (["e", "d"], 4, 5)
    assert listed(store, "events", before=4) == ["c", "b", "a"]
    assert listed(store, "events", since=3) == ["e", "d"]
    assert store.newest("events", since=5).next is None


def test_a_long_search_runs_in_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has the cursor of the next, until all rows are searched."""
    monkeypatch.setattr("heap_sandbox.mock.store.CHUNK", 2)
    record(store, USERS, users=[{"identity": f"{number}"} for number in range(5)])
    found, seen = store.newest("users", "0"), 1
    while found.next is not None:
        assert found.rows == []
        found, seen = store.newest("users", "0", found.next), seen + 1
    assert ([row["who"] for row in found.rows], seen) == (["0"], 3)


def test_failed_requests_are_those_refused_or_hit_by_a_fault(store: Store) -> None:
    """A delay alone is not a failure."""
    for fate in ({"reason": "wrong"}, {"fault": "latency"}, {"fault": "hang"}, {}, {"fault": "status", "reason": "x"}):
        store.record(entry(**fate), None, lambda: 0.0)
    assert [row["id"] for row in store.newest("failed").rows] == [5, 3, 1]
    assert [row["id"] for row in store.newest("failed", "WRONG").rows] == [1]


def test_ids_that_restart_belong_to_another_epoch(store: Store) -> None:
    """So that a new row is not mistaken for an old one."""
    before = store.epoch
    store.clear()
    assert store.epoch != before


def test_there_are_four_tables(store: Store) -> None:
    """No other name reaches SQL."""
    with pytest.raises(ValueError, match="There is no table 'sqlite_master'"):
        store.page("sqlite_master")
    with pytest.raises(ValueError, match="There is no table 'sqlite_master'"):
        store.row("sqlite_master", 1)


def test_stats_count_everything(store: Store) -> None:
    """Everything that arrived."""
    record(store, TRACK, events=[event("a", idempotency_key="k"), event("b", idempotency_key="k")])
    record(store, USERS, users=[{"identity": "a"}, {"identity": "c"}], connection=2)
    record(store, ACCOUNTS, account_id="acme", properties={}, connection=2)
    store.record(entry(status=400, reason="wrong", connection=3), None, lambda: 0.0)
    store.record(entry(status=None, fault="hang", connection=3), None, lambda: 0.0)
    assert store.stats() == {
        "requests": 5,
        "refused": 1,
        "faulted": 1,
        "events": 1,
        "duplicates": 1,
        "users": 2,
        "accounts": 1,
        "identities": 0,
        "ignored_identities": 0,
        "deletions": 0,
        "deleted_users": 0,
        "deleted_events": 0,
        "user_writes": 2,
        "account_writes": 1,
        "connections": 3,
    }
    assert store.last_connection() == 3


def test_clearing_deletes_everything(store: Store) -> None:
    """As if nothing had arrived."""
    record(store, TRACK, **event(idempotency_key="k"))
    store.clear()
    assert set(store.stats().values()) == {0}
    record(store, TRACK, **event(idempotency_key="k"))
    assert [row["id"] for row in rows(store, "events")] == [1]


def test_a_file_keeps_the_data(tmp_path: Path) -> None:
    """Stored rows are still there, and idempotency keys still known."""
    file = tmp_path / "heap.db"
    for _ in range(2):
        with closing(Store(file)) as store:
            record(store, TRACK, **event(idempotency_key="k"))
    with closing(Store(file)) as store:
        assert [row["identity"] for row in rows(store, "events")] == ["alice"]
        assert [row["id"] for row in rows(store, "requests")] == [1, 2]


def test_a_path_that_cannot_be_a_database_is_explained(tmp_path: Path) -> None:
    """A missing folder, a folder, and a file of another kind."""
    text = tmp_path / "text.db"
    text.write_text("This is a text of more than a hundred characters, and certainly no database. " * 3)
    for path in (tmp_path / "no" / "heap.db", tmp_path, text):
        with pytest.raises(Unusable) as error:
            Store(path)
        assert str(error.value).startswith(f"The database {path} cannot be used: ")


def test_a_database_of_another_version_is_distinguished_from_that_of_another_program(tmp_path: Path) -> None:
    """With what to do; its rows stay."""
    file = tmp_path / "heap.db"
    with closing(Store(file)) as store:
        record(store, TRACK, **event())
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 1")
    with pytest.raises(
        Unusable, match="it was created by another version of the sandbox; delete it or choose another file"
    ):
        Store(file)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT COUNT(*) FROM events").fetchone() == (1,)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """No table is added to it."""
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE precious (x)")
    with pytest.raises(Unusable, match="it is not a database of this sandbox"):
        Store(file)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def identify(store: Store, identity: str, user_id: str, days: int = 0) -> str | None:
    batch = read(IDENTIFY, {"app_id": "11", "identity": identity, "user_id": user_id})
    made = replace(entry(IDENTIFY.path), received=NOON + timedelta(days=days))
    store.record(made, batch, lambda: 1.5)
    ignored: str | None = rows(store, "identities")[-1]["ignored"]
    return ignored


def test_identify_moves_the_events_of_a_user_id(store: Store) -> None:
    """To a user that is created if missing; other events stay unchanged."""
    record(store, TRACK, events=[{"user_id": "7", "event": "E"}, {"user_id": "8", "event": "E"}, event("alice")])
    assert identify(store, "bob", "7") is None
    assert [(row["identity"], row["user_id"]) for row in rows(store, "events")] == [
        ("bob", "7"),
        (None, "8"),
        ("alice", None),
    ]
    assert [row["identity"] for row in rows(store, "users")] == ["alice", "bob"]


def test_a_user_id_keeps_its_first_identity(store: Store) -> None:
    """Later calls change nothing; they are logged with the reason, which Heap does not give."""
    record(store, TRACK, user_id="7", event="E")
    assert identify(store, "bob", "7") is None
    assert identify(store, "bob", "7") == "it repeats an earlier call"
    assert identify(store, "eve", "7") == "the user_id has another identity"
    assert [row["identity"] for row in rows(store, "events")] == ["bob"]
    assert store.stats()["identities"] == 1
    assert store.stats()["ignored_identities"] == 2


def test_an_identity_is_given_ten_user_ids_within_thirty_days(store: Store) -> None:
    """And another only once the first of them is older."""
    assert {identify(store, "bob", str(number), days=number) for number in range(10)} == {None}
    assert identify(store, "bob", "10", days=29) == "the identity has been given 10 user_ids within 30 days"
    assert identify(store, "eve", "10", days=29) is None
    assert identify(store, "bob", "11", days=30) is None
