"""The same rows give the same bytes, without duplicates; a batch is full at Heap's limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from destination_heap_analytics.delivery import batch
from destination_heap_analytics.delivery.batch import MAX_KEPT, Envelope, OpenBatch, elements, halves
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.payload import Payload, Payloads
from destination_heap_analytics.protocol.checkpoints import Checkpoint


def user(number: int, key: str, **properties: Any) -> Payload:
    """A row of user properties."""
    return Payload(
        number, Checkpoint(), None, key, json.dumps({"identity": key, "properties": properties}).encode(), None
    )


def event(number: int, key: str, token: str) -> Payload:
    """A row of events."""
    element = {"identity": key, "event": "e", "properties": {"n": number}, "idempotency_key": token}
    return Payload(number, Checkpoint(), None, key, json.dumps(element).encode(), token)


def numbers(items: Sequence[Payload]) -> list[int]:
    return [item.number for item in items]


def sent(api: Api, *items: Payload, bulk: bool = True) -> Any:
    return json.loads(Envelope("11", api.endpoint, bulk=bulk).body(items))


def test_a_single_request_is_the_row_itself() -> None:
    """With the app ID added."""
    assert sent(Api.USER_PROPERTIES, user(1, "a", x=1), bulk=False) == {
        "app_id": "11",
        "identity": "a",
        "properties": {"x": 1},
    }


@pytest.mark.parametrize(
    ("api", "field"),
    [(Api.TRACK, "events"), (Api.USER_PROPERTIES, "users"), (Api.ACCOUNT_PROPERTIES, "accounts")],
)
def test_a_bulk_request_lists_its_rows_in_order(api: Api, field: str) -> None:
    """Under Heap's name for the list."""
    first, second = user(1, "b", x=1), user(2, "a", x=2)
    assert sent(api, first, second) == {"app_id": "11", field: [json.loads(first.body), json.loads(second.body)]}


@pytest.mark.parametrize("second", ["a", "b"])
def test_rows_that_are_being_sent_can_be_sent_again(second: str) -> None:
    """All of them, or some, with the same bytes, whether or not two are merged into one element."""
    given_rows = [user(1, "a", x=1), user(2, second, x=2), user(3, "c", x=3)]
    envelope, items = Envelope("11", Api.USER_PROPERTIES.endpoint, bulk=True), Payloads.of(given_rows)
    assert envelope.body(items) == envelope.body(items) == envelope.body(given_rows)
    assert [item.body for item in items] == [row.body for row in given_rows]
    assert [envelope.body(half) for half in halves(items)] == [envelope.body(half) for half in halves(given_rows)]


def test_later_properties_of_a_key_are_merged_over_earlier_ones() -> None:
    """The result is the same as sending them one by one; a key keeps its first position."""
    body = sent(Api.USER_PROPERTIES, user(1, "a", x=1, y=1), user(2, "b", x=2), user(3, "a", x=3, z=3))
    assert body["users"] == [
        {"identity": "a", "properties": {"x": 3, "y": 1, "z": 3}},
        {"identity": "b", "properties": {"x": 2}},
    ]


def test_a_merged_account_keeps_its_own_key_field() -> None:
    """It differs between accounts and users."""
    rows = [
        Payload(n, Checkpoint(), None, "acme", b'{"account_id":"acme","properties":{"n":%d}}' % n, None) for n in (1, 2)
    ]
    assert sent(Api.ACCOUNT_PROPERTIES, *rows)["accounts"] == [{"account_id": "acme", "properties": {"n": 2}}]


def test_events_with_one_idempotency_key_are_sent_once() -> None:
    """Only the first, because Heap would keep no other. Different events of one identity are kept."""
    body = sent(Api.TRACK, event(1, "a", "t"), event(2, "a", "u"), event(3, "b", "t"))
    assert [element["properties"]["n"] for element in body["events"]] == [1, 2]


def test_the_same_rows_make_the_same_bytes() -> None:
    """A retried request is identical, byte for byte."""
    rows = [user(1, "a", x="ü", y=[1.0, 2]), user(2, "a", z=2**53), user(3, "b", x=None)]
    envelope = Envelope("11", Api.USER_PROPERTIES.endpoint, bulk=True)
    assert envelope.body(rows) == envelope.body(list(rows))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("abcd", [[1, 2], [3, 4]]),
        ("abcde", [[1, 2, 3], [4, 5]]),
        ("ab", [[1], [2]]),
        ("abac", [[1, 3, 2], [4]]),
        ("aaa", [[1], [2], [3]]),
    ],
)
def test_a_batch_is_halved_by_its_elements(keys: str, expected: list[list[int]]) -> None:
    """The rows of one element stay together; if it is the only element, each row is sent by itself."""
    parts = halves([user(number, key) for number, key in enumerate(keys, 1)])
    assert [numbers(part) for part in parts] == expected


def test_rows_of_one_element_are_distinguished_by_their_idempotency_keys() -> None:
    """If they have one; else by their identity."""
    rows = [event(1, "a", "t"), event(2, "a", "u"), event(3, "a", "t")]
    assert [numbers(element) for element in elements(rows)] == [[1, 3], [2]]


def filled(keys: str, *, most: int, merges: bool) -> OpenBatch:
    rows = OpenBatch(most, merges=merges)
    for number, key in enumerate(keys, 1):
        rows.add(user(number, key), float(number))
    return rows


@pytest.mark.parametrize(
    ("keys", "merges", "is_full"),
    [("aab", True, False), ("aabc", True, True), ("ab", False, False), ("aab", False, True)],
)
def test_a_batch_is_full_with_so_many_elements(keys: str, merges: bool, is_full: bool) -> None:
    """Rows of one key are one element if they are merged."""
    assert filled(keys, most=3, merges=merges).is_full is is_full


def test_a_batch_is_full_with_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with this many rows, however few elements they form."""
    monkeypatch.setattr(batch, "MAX_BYTES", 100)
    monkeypatch.setattr(batch, "MAX_ITEMS", 1000)
    assert [filled("a" * count, most=1000, merges=False).is_full for count in (2, 3)] == [False, True]
    monkeypatch.setattr(batch, "MAX_BYTES", 10**9)
    assert [filled("a" * count, most=1000, merges=True).is_full for count in (999, 1000)] == [False, True]


def test_a_smaller_limit_makes_a_batch_full() -> None:
    """And a larger one makes room in it again."""
    rows = filled("abc", most=5, merges=False)
    rows.limit(3)
    assert rows.is_full
    rows.limit(4)
    assert not rows.is_full


def test_a_batch_is_as_old_as_its_oldest_row() -> None:
    """It need not be the first row; an empty batch has no age."""
    rows = OpenBatch(10, merges=False)
    assert rows.since == float("inf")
    rows.add(user(1, "a"), 5.0)
    rows.add(user(2, "b"), 3.0)
    rows.add(user(3, "c"), 6.0)
    assert rows.since == 3.0


@pytest.mark.parametrize(
    ("keys", "merges", "most", "count"),
    [("abcd", False, 4, 4), ("abcd", False, 3, 3), ("aabc", True, 2, 3), ("aab", True, 2, 3), ("aabab", True, 1, 2)],
)
def test_a_request_has_the_first_rows_up_to_a_number_of_elements(
    keys: str, merges: bool, most: int, count: int
) -> None:
    """It ends before the first that would be one too many."""
    assert filled(keys, most=10, merges=merges).count(most) == count


def test_a_request_is_limited_in_bytes_but_has_at_least_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single row may be larger; Heap decides whether it is too large."""
    rows = filled("abcd", most=10, merges=False)
    size = len(rows.items[0].body) + 1
    for limit, count in ((4 * size, 4), (4 * size - 1, 3), (2 * size, 2), (size, 1), (1, 1)):
        monkeypatch.setattr(batch, "MAX_BYTES", limit)
        assert rows.count(10) == count
    assert filled("a", most=10, merges=False).count(10) == 1


def test_a_request_is_limited_in_rows_however_few_elements_they_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is kept until Heap responds."""
    monkeypatch.setattr(batch, "MAX_ITEMS", 3)
    assert filled("aaaa", most=10, merges=True).count(10) == 3


def test_source_rows_kept_for_storage_count_towards_a_full_batch() -> None:
    """A wide row may be mapped to a small payload, and both are in memory."""
    batch = OpenBatch(1000, merges=False)
    wide = Payload(1, Checkpoint(), b"x" * (MAX_KEPT // 4), "a", b"{}", None)
    for _ in range(3):
        batch.add(wide, 0.0)
    assert not batch.is_full
    batch.add(wide, 0.0)
    assert batch.is_full
    batch.hold(batch.items[:3], 0.0)
    assert not batch.is_full
    batch.add(replace(wide, source={"a": 1}), 0.0)
    assert not batch.is_full


def test_a_deletion_lists_each_user_once_and_no_app() -> None:
    """The token identifies the app."""
    rows = [
        Payload(number, Checkpoint(), None, key, b'{"user_id":%b}' % key.encode(), None)
        for number, key in enumerate("121")
    ]
    assert sent(Api.DELETE_USERS, *rows) == {"users": [{"user_id": 1}, {"user_id": 2}]}
    assert sent(Api.DELETE_USERS, rows[0], rows[2]) == {"users": [{"user_id": 1}]}
