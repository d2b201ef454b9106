"""Which requests a fault applies to."""

from __future__ import annotations

import re
from typing import Any

import pytest

from heap_sandbox.mock.faults import Applied, Faults, define

TRACK = "/api/track"


def faults(*definitions: dict[str, Any]) -> Faults:
    active = Faults()
    active.add([define(definition) for definition in definitions])
    return active


def kinds(active: Faults, count: int, body: bytes = b"{}") -> list[str | None]:
    return [active.apply(TRACK, body).kind for _ in range(count)]


def test_without_faults_nothing_happens() -> None:
    """No latency and no other fault."""
    assert Faults().apply(TRACK, b"{}") == Applied()
    assert Applied().kind is None


def test_a_fault_applies_to_every_request_by_default() -> None:
    """At every endpoint."""
    active = faults({"kind": "status"})
    assert kinds(active, 3) == ["status"] * 3
    assert active.apply("/api/add_user_properties", b"").kind == "status"


def test_times_limits_the_affected_requests() -> None:
    """To the first n."""
    active = faults({"kind": "hang", "times": 2})
    assert kinds(active, 4) == ["hang", "hang", None, None]


def test_skip_spares_the_first_requests() -> None:
    """The first n that match."""
    assert kinds(faults({"kind": "hang", "skip": 2}), 4) == [None, None, "hang", "hang"]


def test_every_applies_to_each_nth() -> None:
    """For 3: the third, the sixth and so on, after those that are skipped."""
    active = faults({"kind": "hang", "every": 3, "skip": 1})
    assert kinds(active, 7) == [None, None, None, "hang", None, None, "hang"]


def test_path_limits_it_to_an_endpoint() -> None:
    """Requests to other endpoints are neither counted nor affected."""
    active = faults({"kind": "hang", "path": "/api/track", "skip": 1})
    assert active.apply("/api/add_user_properties", b"") == Applied()
    assert kinds(active, 2) == [None, "hang"]


def test_match_limits_it_to_some_bodies() -> None:
    """Those that contain the text."""
    active = faults({"kind": "hang", "match": "Zoë", "skip": 1})
    bodies = ["Zoë", "Alice", "Zoë"]
    assert [active.apply(TRACK, body.encode()).kind for body in bodies] == [None, None, "hang"]


def test_a_seed_makes_probability_repeatable() -> None:
    """The same seed selects the same requests."""
    definition = {"kind": "hang", "probability": 0.3, "seed": 7}
    affected = kinds(faults(definition), 1000)
    assert affected == kinds(faults(definition), 1000)
    assert affected != kinds(faults(definition | {"seed": 8}), 1000)
    assert 200 < affected.count("hang") < 400


def test_a_probability_of_0_or_1_means_never_or_always() -> None:
    """0 never applies, 1 always does."""
    assert set(kinds(faults({"kind": "hang", "probability": 0}), 100)) == {None}
    assert set(kinds(faults({"kind": "hang", "probability": 1}), 100)) == {"hang"}


def test_latencies_add_up_and_the_first_other_fault_applies() -> None:
    """All latencies, then one other fault in the order of definition."""
    active = faults(
        {"kind": "latency", "seconds": 1, "times": 1},
        {"kind": "status", "status": 500, "times": 1},
        {"kind": "reset_after", "times": 1},
        {"kind": "latency", "seconds": 2.5},
    )
    first, second, third = (active.apply(TRACK, b"") for _ in range(3))
    assert (first.seconds, first.kind) == (3.5, "status")
    assert (second.seconds, second.kind) == (2.5, "reset_after")
    assert third == Applied(2.5)
    assert third.kind == "latency"
    assert [row["fired"] for row in active.rows()] == [1, 1, 1, 3]


def test_rows_show_how_often_each_was_applied() -> None:
    """A spent fault stays listed."""
    active = faults({"kind": "reset_before", "times": 1, "skip": 1})
    kinds(active, 3)
    (row,) = active.rows()
    assert row == {
        "id": 1,
        "kind": "reset_before",
        "path": None,
        "match": None,
        "skip": 1,
        "every": 1,
        "times": 1,
        "probability": 1.0,
        "seed": None,
        "matched": 3,
        "fired": 1,
        "spent": True,
    }


@pytest.mark.parametrize("kind", ["status", "reset_before", "reset_after", "hang", "latency"])
def test_a_row_defines_the_same_fault_again(kind: str) -> None:
    """Its fields are a valid definition; null means the default."""
    fault = define({"kind": kind, "match": "x", "times": 2})
    assert define(fault.row()) == fault


def test_clear_removes_all() -> None:
    """None applies afterwards."""
    active = faults({"kind": "hang"})
    active.clear()
    assert kinds(active, 1) == [None]
    assert active.rows() == []


def test_one_can_be_removed_without_the_others() -> None:
    """By its id, which is not reused."""
    active = faults({"kind": "hang"}, {"kind": "reset_before"})
    assert [active.remove(1), active.remove(1)] == [True, False]
    assert kinds(active, 1) == ["reset_before"]
    active.clear()
    active.add([define({"kind": "hang"})])
    assert [row["id"] for row in active.rows()] == [3]


def test_only_faults_after_handling_store() -> None:
    """A reset after storing, and a status with `store`."""
    storing = [{"kind": "reset_after"}, {"kind": "status", "store": True}]
    others = [{"kind": "reset_before"}, {"kind": "status"}, {"kind": "hang"}, {"kind": "latency"}]
    assert [define(one).stores for one in storing + others] == [True, True, False, False, False, False]


def test_a_hang_lasts_an_hour_by_default() -> None:
    """Longer than any client waits."""
    assert define({"kind": "hang"}).seconds == 3600
    assert define({"kind": "latency"}).seconds == 1


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ("hang", "A fault must be a JSON object."),
        ({}, "A fault's kind must be one of status, reset_before, reset_after, hang, latency."),
        ({"kind": []}, "A fault's kind must be one of status, reset_before, reset_after, hang, latency."),
        (
            {"kind": "hang", "status": 500},
            "A hang fault has no 'status'; it has path, match, skip, every, times, probability, seed, seconds.",
        ),
        (
            {"kind": "hang", "path": "/api/v1/track"},
            (
                "path must be one of /api/track, /api/add_user_properties, /api/add_account_properties, "
                "/api/v1/identify, /api/public/v0/auth_token, /api/public/v0/user_deletion, "
                "/api/public/v0/deletion_status."
            ),
        ),
        ({"kind": "hang", "match": 5}, "match must be a string."),
        ({"kind": "hang", "skip": -1}, "skip must be an integer of at least 0."),
        ({"kind": "hang", "every": 0}, "every must be an integer of at least 1."),
        ({"kind": "hang", "times": True}, "times must be an integer of at least 1, or null."),
        ({"kind": "hang", "probability": 1.1}, "probability must be a number from 0 to 1."),
        ({"kind": "hang", "seed": "x"}, "seed must be an integer."),
        ({"kind": "hang", "seconds": -1}, "seconds must be a number of at least 0."),
        ({"kind": "status", "status": 199}, "status must be an integer from 200 to 599."),
        ({"kind": "status", "body": {}}, "body must be a string."),
        ({"kind": "status", "content_type": "a\nb"}, "content_type must be a printable string."),
        ({"kind": "status", "store": 1}, "store must be true or false."),
        ({"kind": "status", "status": 204, "body": "x"}, "A response with status 204 cannot have a body."),
    ],
)
def test_a_wrong_definition_is_explained(definition: Any, sentence: str) -> None:
    """With a message for each mistake."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        define(definition)


@pytest.mark.parametrize(
    "headers", [["a"], {"a": 1}, {"a b": "c"}, {"": "c"}, {"a": "b\r\nc: d"}, {"a": " b"}, {"Content-Length": "5"}]
)
def test_headers_that_would_break_the_response_are_refused(headers: Any) -> None:
    """A fault changes the response, not HTTP."""
    with pytest.raises(ValueError, match="headers must be an object of header names"):
        define({"kind": "status", "headers": headers})
