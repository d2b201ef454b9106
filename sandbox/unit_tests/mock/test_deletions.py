"""Deletions: Heap's documented responses, and what is deleted."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from heap_sandbox.server import Sandbox

TOKEN = "/api/public/v0/auth_token"  # noqa: S105  # an address
SUBMIT = "/api/public/v0/user_deletion"
STATUS = "/api/public/v0/deletion_status"


@pytest.fixture
def heap() -> Iterator[Sandbox]:
    with Sandbox.start(app_ids=["11", "12"], api_keys=["key"]) as sandbox:
        yield sandbox


def login(heap: Sandbox, app_id: str = "11", key: str = "key") -> requests.Response:
    return requests.post(heap.url + TOKEN, auth=(app_id, key), timeout=30)


def bearer(heap: Sandbox) -> dict[str, str]:
    return {"Authorization": f"Bearer {login(heap).json()['access_token']}"}


def submit(heap: Sandbox, users: Any, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.post(heap.url + SUBMIT, json={"users": users}, headers=headers or bearer(heap), timeout=30)


def limit(heap: Sandbox, **settings: float) -> None:
    requests.post(f"{heap.url}/sandbox/limits", json=settings, timeout=30).raise_for_status()


def track(heap: Sandbox, app_id: str, **who: str) -> None:
    event = {"app_id": app_id, "event": "E", **who}
    requests.post(f"{heap.url}/api/track", json=event, timeout=30).raise_for_status()


def test_a_token_is_for_an_app_id_and_its_key(heap: Sandbox) -> None:
    """Sent with HTTP Basic."""
    answer = login(heap)
    assert (answer.status_code, list(answer.json())) == (200, ["access_token"])


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic x",
        "Basic " + base64.b64encode(b"\xff").decode(),
        "Bearer " + base64.b64encode(b"11:key").decode(),
    ],
)
def test_other_credentials_are_unauthorized(heap: Sandbox, authorization: str) -> None:
    """With a message in `err`."""
    answer = requests.post(heap.url + TOKEN, headers={"Authorization": authorization}, timeout=30)
    assert (answer.status_code, answer.json()) == (401, {"err": {"message": "Unauthorized"}})


@pytest.mark.parametrize(("app_id", "key"), [("11", "wrong"), ("11", ""), ("13", "key"), ("", "key"), ("x", "key")])
def test_a_wrong_app_or_key_is_unauthorized(heap: Sandbox, app_id: str, key: str) -> None:
    """Even if the app exists."""
    assert login(heap, app_id, key).status_code == 401


def test_a_request_is_pending_then_complete(heap: Sandbox) -> None:
    """After a time that can be set."""
    limit(heap, deletion_seconds=3600)
    submitted = submit(heap, [{"identity": "alice"}])
    number = submitted.json()["deletion_request_id"]
    assert (submitted.status_code, submitted.json()) == (
        201,
        {"deletion_request_location": f"{STATUS}/{number}", "deletion_request_id": number, "status": "pending"},
    )
    url = f"{heap.url}{STATUS}/{number}"
    assert requests.get(url, headers=bearer(heap), timeout=30).json() == {
        "deletion_request_id": number,
        "status": "pending",
    }
    limit(heap, deletion_seconds=0)
    answer = requests.get(url, headers=bearer(heap), timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (200, "complete")
    unknown = requests.get(f"{heap.url}{STATUS}/none", headers=bearer(heap), timeout=30)
    assert (unknown.status_code, unknown.json()) == (404, {"err": {"message": "Not found"}})


def test_a_token_is_valid_for_five_minutes(heap: Sandbox) -> None:
    """By default; a reset invalidates all tokens."""
    assert requests.get(f"{heap.url}/sandbox/limits", timeout=30).json()["token_seconds"] == 300
    headers = bearer(heap)
    assert submit(heap, [{"identity": "alice"}], headers).status_code == 201
    limit(heap, token_seconds=0)
    old = bearer(heap)
    assert submit(heap, [{"identity": "alice"}], old).status_code == 401
    assert requests.get(f"{heap.url}{STATUS}/x", headers=old, timeout=30).status_code == 401
    requests.post(f"{heap.url}/sandbox/reset", timeout=30)
    assert submit(heap, [{"identity": "alice"}], headers).status_code == 401


def test_the_users_and_their_events_are_gone_from_all_environments(heap: Sandbox) -> None:
    """Others stay; later rows are counted and listed as usual."""
    for app_id in ("11", "12"):
        track(heap, app_id, identity="alice")
        track(heap, app_id, identity="bob")
        track(heap, app_id, user_id="7")
        track(heap, app_id, user_id="8")
    epoch = requests.get(f"{heap.url}/sandbox/newest/events", timeout=30).json()["epoch"]
    assert (
        submit(heap, [{"identity": "alice"}, {"user_id": 7}, {"user_id": "9"}, {"identity": "eve"}]).status_code == 201
    )
    assert sorted({event["identity"] or event["user_id"] for event in heap.events()}) == ["8", "bob"]
    assert [user["identity"] for user in heap.users()] == ["bob", "bob"]
    (deletion,) = heap.deletions()
    assert {name: deletion[name] for name in ("app_id", "asked", "users", "events")} == {
        "app_id": "11",
        "asked": 4,
        "users": 2,
        "events": 4,
    }
    assert requests.get(f"{heap.url}/sandbox/newest/events", timeout=30).json()["epoch"] != epoch
    track(heap, "11", identity="alice")
    stats = heap.stats()
    assert (stats["events"], stats["deletions"], stats["deleted_users"], stats["deleted_events"]) == (5, 1, 2, 4)


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        (None, "users: must be a list"),
        ([], "users: has 0 elements; 1 to 10000 are allowed"),
        ([{"identity": "a"}] * 10_001, "users: has 10001 elements; 1 to 10000 are allowed"),
        (["a"], "users[0]: must be an object"),
        ([{}], "users[0].identity: exactly one of identity and user_id is required"),
        ([{"identity": "a", "user_id": 1}], "users[0].identity: exactly one of identity and user_id is required"),
        ([{"identity": ""}], "users[0].identity: is empty"),
        ([{"user_id": -1}], f"users[0].user_id: must be from 0 to {2**53 - 1}"),
    ],
)
def test_a_request_that_breaks_a_rule_deletes_no_one(heap: Sandbox, users: Any, reason: str) -> None:
    """One wrong user fails the whole request, and the reason is in the log."""
    track(heap, "11", identity="a")
    answer = submit(heap, users)
    assert (answer.status_code, answer.json()) == (400, {"err": {"message": reason}})
    assert (heap.requests()[-1]["reason"], heap.deletions(), len(heap.users())) == (reason, [], 1)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", TOKEN), ("GET", SUBMIT), ("POST", f"{STATUS}/x"), ("PUT", SUBMIT)]
)
def test_other_methods_are_not_allowed(heap: Sandbox, method: str, path: str) -> None:
    """Each endpoint has its own."""
    assert requests.request(method, heap.url + path, timeout=30).status_code == 405


def test_faults_apply_to_deletions_too(heap: Sandbox) -> None:
    """By endpoint; if nothing is stored, no one is deleted."""
    track(heap, "11", identity="a")
    for path in (TOKEN, SUBMIT, STATUS):
        fault = {"kind": "status", "status": 503, "path": path, "times": 1}
        requests.post(f"{heap.url}/sandbox/faults", json=fault, timeout=30).raise_for_status()
    assert login(heap).status_code == 503
    headers = bearer(heap)
    assert submit(heap, [{"identity": "a"}], headers).status_code == 503
    assert heap.deletions() == []
    assert requests.get(f"{heap.url}{STATUS}/x", headers=headers, timeout=30).status_code == 503
    assert submit(heap, [{"identity": "a"}], headers).status_code == 201
