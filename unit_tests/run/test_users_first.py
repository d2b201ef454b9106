"""An event's row can set properties of its user first; it counts once, and a state waits for both."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.delivery.connection_check import PREFLIGHT_EVENT
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.messages import parse_line
from destination_heap_analytics.run.clock import Clock
from destination_heap_analytics.run.event_queue import EventQueue
from destination_heap_analytics.run.preview import Preview
from destination_heap_analytics.run.sync import Sync

API = {
    "api_type": "track",
    "property_columns": "amount",
    "event_column": "'Paid'",
    "identity_column": "email",
    "also_user_properties": "plan, name as Full Name",
}
ACCEPTED = Verdict(Kind.ACCEPTED, 200)


class Heap:
    """A client that refuses the given paths and identities, and keeps everything else in order."""

    def __init__(self, refused: Iterable[tuple[str, str]] = ()) -> None:
        self.refused = set(refused)
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.sizes: list[int] = []

    def post(self, path: str, body: bytes) -> Verdict:
        document = json.loads(body)
        name = path.rpartition("/")[2]
        elements = document.get("users") or document.get("events") or [document]
        self.sizes.append(len(elements))
        if any((name, element["identity"]) in self.refused for element in elements):
            return Verdict(Kind.REFUSED, 400)
        self.taken += [(name, one) for one in elements if one["identity"] != PREFLIGHT_EVENT["identity"]]
        return ACCEPTED

    def cut_overdue(self) -> None: ...

    def close(self) -> None: ...

    def of(self, name: str) -> list[dict[str, Any]]:
        return [element for path, element in self.taken if path == name]


def load(heap: Heap, rows: list[dict[str, Any]], *, mode: str = "bulk", **config: Any) -> tuple[int, int]:
    """Load rows and a state after them; returns the state's counts of delivered and rejected rows."""
    lines = [json.dumps({"type": "RECORD", "record": {"stream": "orders", "data": row}}).encode() for row in rows]
    events: EventQueue[bytes] = EventQueue()
    events.read(([line], 1) for line in [*lines, b'{"type":"STATE","state":{"data":{}}}'])
    sync = Sync(
        parse_config({"app_id": "11", "api": API, "delivery": {"mode": mode}, **config}).settings,
        Stream("orders", None, "full_refresh", "append", (), {}),
        heap,
        None,
        events=events,
        parse=parse_line,
        logger=logging.getLogger("test"),
        clock=Clock(1000.0),
        rng=random.Random(1),
        random_text="r",
    )
    (message,) = sync.run()
    stats = json.loads(message.line)["state"]["destinationStats"]
    return int(stats["recordCount"]), int(stats["rejectedRecordCount"])


def order(email: str, amount: int = 1, **columns: Any) -> dict[str, Any]:
    return {"email": email, "amount": amount, "plan": "pro", "name": "N", **columns}


@pytest.mark.parametrize("mode", ["bulk", "row"])
def test_a_row_sets_its_users_properties_and_then_sends_its_event(mode: str) -> None:
    """Renamed and cast like the event's own."""
    heap = Heap()
    assert load(heap, [order("a"), order("b", plan=None)], mode=mode) == (2, 0)
    users = {user["identity"]: user["properties"] for user in heap.of("add_user_properties")}
    assert users == {"a": {"plan": "pro", "Full Name": "N"}, "b": {"Full Name": "N"}}
    assert [event["properties"] for event in heap.of("track")] == [{"amount": 1}, {"amount": 1}]
    for email in "ab":
        sent = [name for name, element in heap.taken if element["identity"] == email]
        assert sent == ["add_user_properties", "track"]


@pytest.mark.parametrize("mode", ["bulk", "row"])
@pytest.mark.parametrize("refused", ["add_user_properties", "track"])
def test_a_row_of_which_one_part_is_refused_is_rejected_once(refused: str, mode: str) -> None:
    """Without an event if its user's properties were refused."""
    heap = Heap([(refused, "b")])
    assert load(heap, [order("a"), order("b"), order("c")], mode=mode) == (2, 1)
    assert sorted(event["identity"] for event in heap.of("track")) == ["a", "c"]


def test_a_row_that_cannot_set_its_users_properties_sends_nothing() -> None:
    """It is rejected before any part of it is sent."""
    heap = Heap()
    api = {**API, "also_user_properties": "plan::number"}
    assert load(heap, [order("a", plan="1"), order("b")], api=api) == (1, 1)
    assert {element["identity"] for _, element in heap.taken} == {"a"}


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), min_size=1, max_size=30),
    st.sets(st.tuples(st.sampled_from(["add_user_properties", "track"]), st.sampled_from("ab")), max_size=2),
    st.sampled_from(["bulk", "row"]),
)
@settings(max_examples=40)
def test_every_row_is_settled_once_and_rows_of_a_user_keep_their_order(
    rows: list[tuple[str, int]], refused: set[tuple[str, str]], mode: str
) -> None:
    """Whatever Heap refuses, as long as it accepts something."""
    heap = Heap(refused)
    delivered, rejected = load(heap, [order("z"), *(order(email, amount) for email, amount in rows)], mode=mode)
    bad = {email for _, email in refused}
    assert rejected == sum(email in bad for email, _ in rows)
    assert delivered == 1 + len(rows) - rejected == len(heap.of("track"))
    for email in "cdef":
        amounts = [event["properties"]["amount"] for event in heap.of("track") if event["identity"] == email]
        assert amounts == [amount for other, amount in rows if other == email]


def test_many_rows_stay_within_heaps_limit_for_a_request() -> None:
    """Events that wait for their users' properties do not form one large request."""
    heap = Heap()
    assert load(heap, [order(f"user{number}", number) for number in range(5000)]) == (5000, 0)
    assert max(heap.sizes) <= 1000
    assert Counter(name for name, _ in heap.taken) == {"add_user_properties": 5000, "track": 5000}


def test_with_rejected_records_fail_no_later_row_is_sent_as_an_event() -> None:
    """Those of the rows before it are sent."""
    heap = Heap()
    rows = [order("a"), order("b"), {**order("c"), "email": None}, *(order(f"user{number}") for number in range(3000))]
    with pytest.raises(ConfigError, match="Row 3 is rejected"):
        load(heap, rows, rejected_records="fail")
    assert [event["identity"] for event in heap.of("track")] == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"also_user_properties": "plan, id"}, "`api.also_user_properties` lists `id`, but Heap does not allow"),
        ({"also_user_properties": "'x'"}, "`api.also_user_properties` has a constant without a name at character 1"),
        (
            {"identity_column": None, "user_id_column": "heap_id"},
            "`api.also_user_properties` needs `api.identity_column`",
        ),
    ],
)
def test_a_user_property_that_heap_does_not_allow_is_a_configuration_error(change: dict[str, Any], error: str) -> None:
    """As for Add User Properties."""
    with pytest.raises(ConfigError) as wrong:
        parse_config({"app_id": "11", "api": {**API, **change}})
    assert error in str(wrong.value)


def test_an_empty_list_sets_nothing() -> None:
    """The form may save an empty list."""
    assert parse_config({"app_id": "11", "api": {**API, "also_user_properties": " "}}).settings.user_columns is None


def test_a_preview_shows_both_parts_of_a_row() -> None:
    """In the order in which they are sent."""
    bodies: list[dict[str, Any]] = []

    class Shown:
        def begin(self, *_: Any) -> None: ...

        def payload(self, _: int, body: bytes) -> None:
            bodies.append(json.loads(body))

        def end(self, _: Any) -> None: ...

    line = json.dumps({"type": "RECORD", "record": {"stream": "orders", "data": order("a")}}).encode()
    stream = Stream("orders", None, "full_refresh", "append", (), {})
    preview = Preview(parse_config({"app_id": "11", "api": API, "delivery": {"mode": "bulk"}}), stream, "r")
    preview.show([([line], 1)], Shown(), limit=1, progress=Progress())
    users, events = bodies
    assert users["users"] == [{"identity": "a", "properties": {"plan": "pro", "Full Name": "N"}}]
    assert [event["properties"] for event in events["events"]] == [{"amount": 1}]
    assert preview.findings.mapped == 1
