"""`delete_users` deletes exactly the given users; no state is returned before they are deleted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from heap_sandbox.server import Sandbox
from integration_tests.conftest import piped, until

SAMPLES = Path(__file__).resolve().parents[1] / "sample_files"
CATALOG = SAMPLES / "configured_catalog.json"
KEY = "k3y-0f-3v3ryth1ng"
SPEED = 20.0
"""The speed of the connector's clock, so that it soon polls whether a deletion is complete."""


def row(number: int) -> dict[str, Any]:
    data = {"email": f"user{number}@example.com", "heap": number}
    return {"type": "RECORD", "record": {"stream": "users", "data": data, "emitted_at": 1}}


def state(number: int) -> dict[str, Any]:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"n": number}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": stream, "id": number}}


def config(heap: Sandbox, **api: Any) -> dict[str, Any]:
    columns = api or {"identity_column": "email"}
    deletion = {"api_type": "delete_users", "api_key": KEY, "confirm": "delete", **columns}
    return {"app_id": "11", "base_url": heap.url, "api": deletion}


def set_up(heap: Sandbox, users: int, **limits: float) -> None:
    """Create users with an event each, by identity or ID, and set how long tokens and deletions take."""
    by_id = [{"user_id": str(number), "event": "E"} for number in range(users)]
    by_identity = [{"identity": f"user{number}@example.com", "event": "E"} for number in range(users)]
    for events in (by_id, by_identity):
        body = {"app_id": "11", "events": events}
        requests.post(f"{heap.url}/api/track", json=body, timeout=60).raise_for_status()
    wait = {"deletion_seconds": 0.0, **limits}
    requests.post(f"{heap.url}/sandbox/limits", json=wait, timeout=60).raise_for_status()


def who(heap: Sandbox) -> list[str]:
    return sorted(event["identity"] or event["user_id"] for event in heap.events())


@pytest.mark.parametrize("api", [{"identity_column": "email"}, {"user_id_column": "heap"}])
def test_only_the_users_of_the_rows_are_deleted(connector: Any, heap: Sandbox, api: dict[str, str]) -> None:
    """By identity or by Heap's own ID; a repeated user is sent once."""
    set_up(heap, 4)
    before = who(heap)
    run = connector.run("write", config(heap, **api), CATALOG, [row(1), row(2), row(1), state(1)], speed=SPEED)
    assert (run.code, run.states) == (0, [(1, 3, 0)])
    gone = {"user1@example.com", "user2@example.com"} if "identity_column" in api else {"1", "2"}
    assert who(heap) == [user for user in before if user not in gone]
    (deletion,) = heap.deletions()
    assert (deletion["asked"], deletion["events"]) == (2, 2)


def test_a_state_waits_until_heap_has_completed_the_request(connector: Any, heap: Sandbox) -> None:
    """If the run is killed before, it returns none; the next run deletes the same users again, which is harmless."""
    set_up(heap, 2, deletion_seconds=3600)
    rows = [row(0), row(1), state(1)]
    with connector.start(config(heap), CATALOG, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(piped(rows))
        process.stdin.close()
        until(lambda: any("deletion_status" in request["path"] for request in heap.requests()))
        process.kill()
        out = process.stdout.read()
    assert [line for line in map(json.loads, out.splitlines()) if line["type"] == "STATE"] == []
    requests.post(f"{heap.url}/sandbox/limits", json={"deletion_seconds": 0}, timeout=60)
    run = connector.run("write", config(heap), CATALOG, rows, speed=SPEED)
    assert (run.code, run.states) == (0, [(1, 2, 0)])
    assert [(deletion["asked"], deletion["users"]) for deletion in heap.deletions()] == [(2, 2), (2, 0)]
    assert who(heap) == ["0", "1"]


def test_ten_thousand_users_are_one_request(connector: Any, heap: Sandbox) -> None:
    """One more user needs another request; a short-lived token is renewed."""
    set_up(heap, 1, token_seconds=0.5)  # it expires before the first poll
    rows = [*(row(number) for number in range(10_001)), state(1)]
    run = connector.run("write", config(heap), CATALOG, rows)
    assert (run.code, run.states) == (0, [(1, 10_001, 0)])
    assert sorted(deletion["asked"] for deletion in heap.deletions()) == [1, 10_000]
    assert {request["path"] for request in heap.requests() if request["path"].endswith("track")} == {"/api/track"}


def test_the_api_key_is_never_printed(connector: Any) -> None:
    """Whether it is right or wrong, and even if Heap repeats it."""
    with Sandbox.start(api_keys=["another"]) as heap:
        runs = [connector.run("check", config(heap)), connector.run("write", config(heap), CATALOG, [row(1)])]
        answer = {
            "kind": "status",
            "status": 401,
            "path": "/api/public/v0/auth_token",
            "content_type": "application/json",
        }
        echo = answer | {"body": json.dumps({"err": {"message": f"wrong key {KEY}"}})}
        requests.post(f"{heap.url}/sandbox/faults", json=echo, timeout=60).raise_for_status()
        runs += [connector.run("check", config(heap)), connector.run("write", config(heap), CATALOG, [row(1)])]
        assert heap.deletions() == heap.events() == []
    assert runs[0].status[0] == runs[2].status[0] == "FAILED"
    assert "`app_id` or `api.api_key` was refused" in runs[0].status[1]
    assert "(Unauthorized)" in runs[0].status[1]
    assert "(wrong key ****)" in runs[2].status[1]
    assert [(run.code, run.error[0]) for run in runs[1::2]] == [(1, "config_error")] * 2
    assert all(KEY.encode() not in run.out + run.err for run in runs)


def test_check_asks_for_a_token_and_writes_nothing(connector: Any, heap: Sandbox) -> None:
    """No event is sent to an account from which users are deleted."""
    assert connector.run("check", config(heap)).status == ("SUCCEEDED", "")
    assert [request["path"] for request in heap.requests()] == ["/api/public/v0/auth_token"]


def test_preview_counts_who_would_be_deleted(connector: Any, heap: Sandbox) -> None:
    """And sends no request."""
    run = connector.preview(config(heap), CATALOG, piped([row(1), row(2)]))
    assert run.returncode == 0
    text = run.stdout.decode()
    assert "`write` would delete the users of these 2 rows permanently" in text
    assert f"{heap.url}/api/public/v0/user_deletion, up to 10,000 rows per request" in text
    assert KEY not in text
    assert heap.requests() == []
