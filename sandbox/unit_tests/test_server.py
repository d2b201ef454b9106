"""Starting, stopping, and connections."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from heap_sandbox.mock.answers import Hang
from heap_sandbox.mock.connection import Connection
from heap_sandbox.server import HOST, Sandbox, listen, url

TRACK = "/api/track"
EVENT = {"app_id": "11", "identity": "alice", "event": "E"}
BODY = b'{"app_id": "11", "identity": "alice", "event": "E"}'


@contextmanager
def client(heap: Sandbox, data: bytes = b"") -> Iterator[socket.socket]:
    """A connection that has sent something and reads when it is asked to."""
    address = heap.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((address[0], int(address[1])), timeout=30)) as connection:
        connection.sendall(data)
        yield connection


def request(body: bytes = BODY) -> bytes:
    head = f"POST {TRACK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def wait_for_fault(heap: Sandbox, count: int = 1) -> None:
    while sum(fault["fired"] for fault in heap.faults()) < count:
        pass  # each look is a separate request, which gives the other one time to arrive


def test_it_listens_on_this_computer_only() -> None:
    """127.0.0.1, never another address."""
    with closing(listen(0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1" == HOST
        assert url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_answers_are_not_delayed() -> None:
    """Without TCP_NODELAY, which asyncio sets only if the protocol is given, each would take 40 ms more."""
    with closing(listen(0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_busy_port_is_an_error() -> None:
    """Two sandboxes do not share a port."""
    with closing(listen(0)) as listener, pytest.raises(OSError, match="in use"):
        listen(listener.getsockname()[1])


def test_several_run_side_by_side() -> None:
    """Each with its own port and its own data."""
    with Sandbox.start() as one, Sandbox.start() as other:
        assert one.url != other.url
        assert requests.post(one.url + TRACK, json=EVENT, timeout=30).ok
        assert (len(one.events()), len(other.events())) == (1, 0)


def test_it_leaves_nothing_behind() -> None:
    """No thread, no signal handler, no port."""
    threads = threading.active_count()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Sandbox.start() as heap:
        assert threading.active_count() == threads + 1
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert threading.active_count() == threads
    with pytest.raises(requests.ConnectionError):
        requests.post(heap.url + TRACK, json=EVENT, timeout=30)


def test_it_stops_if_the_block_raises() -> None:
    """The error propagates."""
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError), Sandbox.start():
        raise ZeroDivisionError
    assert threading.active_count() == threads


def test_it_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Nothing on stdout or stderr, even for invalid requests."""
    with Sandbox.start() as heap:
        requests.post(heap.url + TRACK, json=EVENT, timeout=30)
        with client(heap, b"nonsense\r\n\r\n") as connection:
            assert b"400" in connection.recv(1000)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_file_keeps_the_data(tmp_path: Path) -> None:
    """A second run continues from the end of the first."""
    for _ in range(2):
        with Sandbox.start(database=tmp_path / "heap.db") as heap:
            requests.post(heap.url + TRACK, json=EVENT | {"idempotency_key": "k"}, timeout=30)
            rows = (len(heap.events()), heap.stats())
    assert rows[0] == 1
    assert (rows[1]["requests"], rows[1]["duplicates"], rows[1]["connections"]) == (2, 1, 2)


@pytest.mark.parametrize("wrong", [{"app_ids": ["x"]}, {"scale": 0}, {"database": "/dev/null/heap.db"}])
def test_wrong_settings_are_explained(wrong: dict[str, Any]) -> None:
    """Before anything starts."""
    threads = threading.active_count()
    with pytest.raises(Exception, match=r"consist of digits|from 0.001|cannot be used"), Sandbox.start(**wrong):
        pass
    assert threading.active_count() == threads


def test_many_rows_are_read_in_pages(heap: Sandbox) -> None:
    """The caller gets one list."""
    events = [{"identity": f"{i}", "event": "E"} for i in range(1000)]
    for _ in range(6):
        requests.post(heap.url + TRACK, json={"app_id": "11", "events": events}, timeout=30)
    assert [row["id"] for row in heap.events()] == list(range(1, 6001))


def test_a_wrong_fault_is_an_error_with_a_sentence(heap: Sandbox) -> None:
    """So that the test that caused it fails."""
    with pytest.raises(ValueError, match="A fault's kind must be one of"):
        heap.fault(kind="bang")


def test_clear_faults_ends_them(heap: Sandbox) -> None:
    """The next request is handled as usual."""
    heap.fault(kind="status")
    heap.clear_faults()
    assert requests.post(heap.url + TRACK, json=EVENT, timeout=30).ok


def test_it_stops_while_clients_stay_connected() -> None:
    """Idle, with an incomplete request, or during a hang or latency."""
    with ExitStack() as stop:
        heap = stop.enter_context(Sandbox.start())
        heap.fault(kind="hang", match="hang")
        heap.fault(kind="latency", seconds=3600, match="late")
        with (
            client(heap) as idle,
            closing(HTTPConnection(heap.url.removeprefix("http://"))) as kept,
            client(heap, request()[:-1]) as half,
            client(heap, request(b'{"app_id": "hang"}')) as hanging,
            client(heap, request(b'{"app_id": "late"}')) as late,
        ):
            kept.request("GET", "/sandbox/stats")
            kept.getresponse().read()
            wait_for_fault(heap, 2)
            stop.close()
            for connection in (idle, half, hanging, late):
                with suppress(ConnectionResetError):
                    assert connection.recv(1) == b""


def test_a_reset_is_not_an_orderly_close(heap: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The application reaches the connection of its request (guards connection.py against a new uvicorn)."""
    heap.fault(kind="reset_before", times=1)
    with client(heap, request()) as victim, client(heap) as bystander:
        with pytest.raises(ConnectionResetError):
            victim.recv(1)
        bystander.sendall(request())
        assert bystander.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert caplog.records == []


class Gone(asyncio.Transport):
    """The transport of a client that has disconnected."""

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        pass


def test_a_hang_ends_when_its_client_disconnects() -> None:
    """Instead of an hour later."""

    async def leave() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        raise AssertionError

    async def hang() -> None:
        await Hang(3600, asyncio.Event())({"state": {"connection": Connection(Gone())}}, leave, send)

    asyncio.run(hang())


def test_others_are_served_while_one_hangs(heap: Sandbox) -> None:
    """Only that request waits."""
    heap.fault(kind="hang", times=1)
    with client(heap, request()):
        wait_for_fault(heap)
        assert requests.post(heap.url + TRACK, json=EVENT, timeout=30).ok
    assert len(heap.requests()) == 2


@pytest.mark.parametrize("then", ["status", "reset_after", "hang"])
def test_a_client_may_disconnect_during_a_latency(heap: Sandbox, then: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its request is still handled, without an error."""
    heap.fault(kind="latency", seconds=0.2, times=1)
    heap.fault(kind=then, times=1)
    with client(heap, request()):
        wait_for_fault(heap, 2)
    while not heap.requests():
        pass
    assert [row["fault"] for row in heap.requests()] == [then]
    assert len(heap.events()) == int(then == "reset_after")
    assert caplog.records == []


def test_resetting_a_closed_connection_does_nothing() -> None:
    """Its socket no longer exists."""
    Connection(Gone()).reset()


def test_requests_may_follow_each_other_without_waiting(heap: Sandbox) -> None:
    """Two requests in one packet are two requests."""
    with client(heap, request() * 2) as connection:
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 2:
            received += connection.recv(1000)
    assert len(heap.events()) == 2
