"""Hostile input gets an error message, within bounds of time and memory."""

from __future__ import annotations

import asyncio
import errno
import io
import resource
import socket
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from heap_sandbox.mock.faults import MAXIMUM
from heap_sandbox.mock.limits import Limits, Settings
from heap_sandbox.mock.rules import APIS, parse, read
from heap_sandbox.mock.store import HIGHEST_ID, Store
from heap_sandbox.mock.values import Refused
from heap_sandbox.page.control import BODY_MAXIMUM, whole
from heap_sandbox.server import Sandbox, _Shortage

EVENT = {"app_id": "11", "identity": "alice", "event": "E"}
NUMBERS = [2**63 - 1, 2**63, 2**64, 10**19 - 1, 10**30, 10**5000]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: f"{number:.0e}" if number < 10**30 else "vast")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/sandbox/{table}/{{}}") for table in ("events", "users", "accounts", "requests")),
        ("DELETE", "/sandbox/faults/{}"),
        ("GET", "/sandbox/events?after={}"),
        ("GET", "/sandbox/requests?limit={}"),
        ("GET", "/sandbox/newest/events?before={}"),
        ("GET", "/sandbox/newest/users?since={}"),
        ("GET", "/sandbox/newest/failed?limit={}"),
    ],
)
def test_a_number_of_any_size_is_answered(
    heap: Sandbox, method: str, path: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With 404 or 422, even if it is too large for SQLite or `int`."""
    digits = f"1{'0' * 5000}" if number > 10**30 else str(number)
    answer = requests.request(method, heap.url + path.format(digits), timeout=30)
    assert answer.status_code in ({200} if "?" in path and number <= HIGHEST_ID else {404, 422})
    assert "error" in answer.json() or answer.status_code == 200
    assert caplog.records == []


@given(st.text("0123456789", min_size=1, max_size=25), st.integers(0, 1))
def test_a_parameter_is_a_number_that_the_database_can_hold(digits: str, minimum: int) -> None:
    """Otherwise ValueError."""
    if minimum <= int(digits) <= HIGHEST_ID and len(digits) <= 19:
        assert whole(digits, "limit", minimum) == int(digits)
    else:
        with pytest.raises(ValueError, match="limit must be an integer"):
            whole(digits, "limit", minimum)


@pytest.mark.parametrize("path", ["/sandbox/faults", "/sandbox/limits"])
def test_a_large_body_is_refused_before_it_is_stored(heap: Sandbox, path: str) -> None:
    """With 413, with or without a Content-Length."""
    for data in (b"[" * (BODY_MAXIMUM + 1), iter([b"[" * BODY_MAXIMUM, b"["])):
        with closing(requests.Session()) as session:
            try:
                answer = session.post(heap.url + path, data=data, timeout=30)
            except requests.ConnectionError:
                continue  # the sandbox hung up while the body was being sent
        assert answer.status_code == 413
        assert f"larger than {BODY_MAXIMUM:,} bytes" in answer.json()["error"]
    assert heap.faults() == []


def test_a_body_of_the_maximum_size_is_read(heap: Sandbox) -> None:
    """The limit is inclusive."""
    body = b'{"kind": "hang"}'.ljust(BODY_MAXIMUM)
    assert requests.post(heap.url + "/sandbox/faults", data=body, timeout=30).status_code == 200


@pytest.mark.parametrize("depth", [500, 1000, 1020, 100_000])
@pytest.mark.parametrize("number", [b"1", b"1" * 25, b"1" * 5000], ids=["short", "long", "vast"])
@pytest.mark.parametrize("path", ["/api/track", "/sandbox/faults"])
def test_deep_nesting_is_answered(heap: Sandbox, path: str, number: bytes, depth: int) -> None:
    """With 400 by Heap's endpoints and 422 by the sandbox's own."""
    body = b'{"app_id": "11", "event": "E", "identity": "a", "properties": {"a": %b}}'
    body %= b"[" * depth + number + b"]" * depth
    headers = {"Content-Type": "application/json"}
    answer = requests.post(heap.url + path, data=body, headers=headers, timeout=30)
    assert answer.status_code == {"/api/track": 400, "/sandbox/faults": 422}[path]


def test_the_number_of_faults_is_limited(heap: Sandbox) -> None:
    """A list that exceeds the limit is refused completely."""
    url = heap.url + "/sandbox/faults"
    many = [{"kind": "hang", "skip": 9}] * (MAXIMUM - 1)
    assert requests.post(url, json=many, timeout=30).status_code == 200
    answer = requests.post(url, json=many[:2], timeout=30)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"At most {MAXIMUM:,} faults")
    assert len(heap.faults()) == MAXIMUM - 1


@pytest.mark.parametrize("scale", [0.001, 1_000_000])
def test_a_window_has_a_finite_length_at_any_scale(scale: float) -> None:
    """So that a response can say how long to wait."""
    limits = Limits(lambda: 0.0, Settings().changed({"enabled": True, "scale": scale}))
    batch = read(APIS["/api/track"], EVENT)
    waits = [limits.admit(batch) for _ in range(31)]
    assert waits[-1] is not None
    assert 0 < waits[-1].seconds < 10**6


@pytest.mark.parametrize("scale", [0, -1, 1e-300, 5e-324, 1e300, float("inf"), float("nan")])
def test_a_scale_without_bounds_is_refused(scale: float) -> None:
    """A window would be infinite or empty."""
    with pytest.raises(ValueError, match="scale must be a number from"):
        Settings().changed({"scale": scale})


def test_a_database_that_fails_is_reported(heap: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 503 by every endpoint and no traceback; afterwards it works again."""

    def fail(*_arguments: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "record", fail)
        patched.setattr(Store, "stats", fail)
        answers = [
            requests.post(heap.url + "/api/track", json=EVENT, timeout=30),
            requests.get(heap.url + "/sandbox/stats", timeout=30),
        ]
    for answer in answers:
        assert answer.status_code == 503
        assert "database or disk is full" in answer.json()["error"]
    assert requests.post(heap.url + "/api/track", json=EVENT, timeout=30).status_code == 200


def test_a_shortage_of_descriptors_is_reported_once() -> None:
    """Instead of a traceback for each connection that asyncio cannot accept."""
    stream, others = io.StringIO(), []
    loop = asyncio.new_event_loop()
    with closing(loop):
        loop.default_exception_handler = others.append  # type: ignore[method-assign]
        report = _Shortage(stream, asyncio.Event())
        for number in (errno.EMFILE, errno.ENFILE, errno.EMFILE):
            report(
                loop, {"message": "socket.accept() out of system resource", "exception": OSError(number, "Too many")}
            )
        other = {"message": "a defect", "exception": ZeroDivisionError()}
        report(loop, other)
    assert stream.getvalue() == (
        "New connections must wait: Too many. Close other connections, or raise `ulimit -n`.\n"
    )
    assert others == [other]


def test_a_sandbox_without_descriptors_recovers() -> None:
    """One line on standard error, and the next connections are answered."""
    command = [sys.executable, "-m", "heap_sandbox.cli", "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)),  # noqa: PLW1509  # before any thread
    )
    try:
        assert process.stdout
        assert process.stderr
        heap = Sandbox(process.stdout.readline().split()[-1])
        port = int(heap.url.rpartition(":")[2])
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
            assert process.stderr.readline().startswith("New connections must wait: Too many open files.")
        assert heap.stats()["requests"] == 0
        process.terminate()
        assert process.communicate(timeout=60)[1] == ""
    finally:
        process.kill()
        process.communicate()


@given(st.binary(max_size=200), st.integers(0, 40))
def test_any_body_is_read_or_refused(noise: bytes, digits: int) -> None:
    """No other exception reaches the server."""
    for body in (noise, b'{"a": %b}' % (b"9" * digits), b"[" + noise + b" " + b"9" * digits):
        with suppress(Refused):
            parse(body)
