"""Which requests a fault applies to."""

from __future__ import annotations

import re
from typing import Any

import pytest

from heap_sandbox.mock.faults import Faults, Strike, define

TRACK = "/api/track"


def faults(*definitions: dict[str, Any]) -> Faults:
    armed = Faults()
    armed.add([define(definition) for definition in definitions])
    return armed


def kinds(armed: Faults, count: int, body: bytes = b"{}") -> list[str | None]:
    return [armed.strike(TRACK, body).kind for _ in range(count)]


def test_no_fault_no_harm() -> None:
    """Without faults nothing happens."""
    assert Faults().strike(TRACK, b"{}") == Strike()
    assert Strike().kind is None


def test_a_fault_applies_to_every_request_by_default() -> None:
    """Always, at every address."""
    armed = faults({"kind": "status"})
    assert kinds(armed, 3) == ["status"] * 3
    assert armed.strike("/api/add_user_properties", b"").kind == "status"


def test_times_ends_it() -> None:
    """At most n requests are affected."""
    armed = faults({"kind": "hang", "times": 2})
    assert kinds(armed, 4) == ["hang", "hang", None, None]


def test_skip_leaves_the_first_ones_alone() -> None:
    """The first n matching requests pass."""
    assert kinds(faults({"kind": "hang", "skip": 2}), 4) == [None, None, "hang", "hang"]


def test_every_applies_to_each_nth() -> None:
    """The third, the sixth and so on of those that were not skipped."""
    armed = faults({"kind": "hang", "every": 3, "skip": 1})
    assert kinds(armed, 7) == [None, None, None, "hang", None, None, "hang"]


def test_path_narrows_it() -> None:
    """Requests to other addresses neither count nor suffer."""
    armed = faults({"kind": "hang", "path": "/api/track", "skip": 1})
    assert armed.strike("/api/add_user_properties", b"") == Strike()
    assert kinds(armed, 2) == [None, "hang"]


def test_match_narrows_it() -> None:
    """Only bodies that hold the text count."""
    armed = faults({"kind": "hang", "match": "Zoë", "skip": 1})
    bodies = ["Zoë", "Alice", "Zoë"]
    assert [armed.strike(TRACK, body.encode()).kind for body in bodies] == [None, None, "hang"]


def test_probability_is_repeatable_by_its_seed() -> None:
    """The same seed selects the same requests."""
    definition = {"kind": "hang", "probability": 0.3, "seed": 7}
    struck = kinds(faults(definition), 1000)
    assert struck == kinds(faults(definition), 1000)
    assert struck != kinds(faults(definition | {"seed": 8}), 1000)
    assert 200 < struck.count("hang") < 400


def test_a_probability_of_0_or_1_means_never_or_always() -> None:
    """0 never applies, 1 always does."""
    assert set(kinds(faults({"kind": "hang", "probability": 0}), 100)) == {None}
    assert set(kinds(faults({"kind": "hang", "probability": 1}), 100)) == {"hang"}


def test_latencies_add_up_and_the_first_other_fault_applies() -> None:
    """All latencies, then one other fault in the order of definition."""
    armed = faults(
        {"kind": "latency", "seconds": 1, "times": 1},
        {"kind": "status", "status": 500, "times": 1},
        {"kind": "reset_after", "times": 1},
        {"kind": "latency", "seconds": 2.5},
    )
    first, second, third = (armed.strike(TRACK, b"") for _ in range(3))
    assert (first.seconds, first.kind) == (3.5, "status")
    assert (second.seconds, second.kind) == (2.5, "reset_after")
    assert third == Strike(2.5)
    assert third.kind == "latency"
    assert [row["fired"] for row in armed.rows()] == [1, 1, 1, 3]


def test_rows_tell_how_often_each_has_fired() -> None:
    """A spent fault stays listed."""
    armed = faults({"kind": "reset_before", "times": 1, "skip": 1})
    kinds(armed, 3)
    (row,) = armed.rows()
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
    """What is shown can be asked for; null means the default."""
    fault = define({"kind": kind, "match": "x", "times": 2})
    assert define(fault.row()) == fault


def test_clear_ends_all() -> None:
    """No fault outlives it."""
    armed = faults({"kind": "hang"})
    armed.clear()
    assert kinds(armed, 1) == [None]
    assert armed.rows() == []


def test_one_can_be_stopped_without_the_others() -> None:
    """By its id, which no later one gets."""
    armed = faults({"kind": "hang"}, {"kind": "reset_before"})
    assert [armed.remove(1), armed.remove(1)] == [True, False]
    assert kinds(armed, 1) == ["reset_before"]
    armed.clear()
    armed.add([define({"kind": "hang"})])
    assert [row["id"] for row in armed.rows()] == [3]


def test_only_an_answer_given_after_handling_stores() -> None:
    """The lost acknowledgement, and a status that asks for it."""
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
        ("hang", "A fault is a JSON object."),
        ({}, "A fault's kind is one of status, reset_before, reset_after, hang, latency."),
        ({"kind": []}, "A fault's kind is one of status, reset_before, reset_after, hang, latency."),
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
        ({"kind": "hang", "skip": -1}, "skip must be an integer from 0."),
        ({"kind": "hang", "every": 0}, "every must be an integer from 1."),
        ({"kind": "hang", "times": True}, "times must be an integer from 1, or null."),
        ({"kind": "hang", "probability": 1.1}, "probability must be a number from 0 to 1."),
        ({"kind": "hang", "seed": "x"}, "seed must be an integer."),
        ({"kind": "hang", "seconds": -1}, "seconds must be a number from 0."),
        ({"kind": "status", "status": 199}, "status must be an integer from 200 to 599."),
        ({"kind": "status", "body": {}}, "body must be a string."),
        ({"kind": "status", "content_type": "a\nb"}, "content_type must be a printable string."),
        ({"kind": "status", "store": 1}, "store must be true or false."),
        ({"kind": "status", "status": 204, "body": "x"}, "An answer with status 204 has no body."),
    ],
)
def test_a_wrong_definition_is_explained(definition: Any, sentence: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        define(definition)


@pytest.mark.parametrize(
    "headers", [["a"], {"a": 1}, {"a b": "c"}, {"": "c"}, {"a": "b\r\nc: d"}, {"a": " b"}, {"Content-Length": "5"}]
)
def test_headers_that_would_break_the_answer_are_refused(headers: Any) -> None:
    """A fault changes an answer, not HTTP."""
    with pytest.raises(ValueError, match="headers must be an object of header names"):
        define({"kind": "status", "headers": headers})
