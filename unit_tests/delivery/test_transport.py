"""A request is cut off when it takes too long, wherever it is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from destination_heap_analytics.delivery.client import HeapClient, Kind, Verdict

LONG = 60.0


def take_request(connection: socket.socket) -> None:
    """Read up to the body, which is an empty object."""
    content = b"-"
    while content and not content.endswith(b"{}"):
        content = connection.recv(65536)


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does this with each connection, once a request has come."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    take_request(connection)
                    answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(LONG)


def drip(beginning: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(beginning)
            while True:
                connection.sendall(b"x")
                time.sleep(0.01)

    return answer


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", Kind.LATER),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4000\r\n\r\n", Kind.TAKEN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", Kind.TAKEN),
    ],
    ids=["in a header", "in the body of a connection that ends with it", "in the body"],
)
def test_a_server_that_sends_a_byte_now_and_then_does_not_hold_a_request(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes, kind: Kind
) -> None:
    """Each byte starts the socket's time-out anew; where the status has come it says what became of the rows."""
    monkeypatch.setattr("destination_heap_analytics.delivery.client.REQUEST_SECONDS", 0.2)
    verdicts: list[Verdict] = []
    with server(drip(beginning)) as url:
        client = HeapClient(url)
        thread = threading.Thread(target=lambda: verdicts.append(client.post("/api/track", b"{}")))
        thread.start()
        end = time.monotonic() + LONG
        while thread.is_alive() and time.monotonic() < end:
            client.cut_overdue()
            time.sleep(0.01)
        thread.join(LONG)
        client.close()
    assert [verdict.kind for verdict in verdicts] == [kind]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Ty", b"HTTP/1.1 200 OK\r\nDate: x\r\n", b"HTTP/1.1 200 OK\r\n"]
)
def test_an_answer_whose_headers_break_off_is_none(answer: bytes) -> None:
    """What it would have been is not known: a page, perhaps."""
    with server(lambda connection: connection.sendall(answer)) as url:
        client = HeapClient(url)
        assert client.post("/api/track", b"{}").kind is Kind.LATER
        client.close()


def test_a_request_within_its_time_is_not_cut() -> None:
    """Nor is the next one, over the same connection."""

    def answer(connection: socket.socket) -> None:
        for _ in range(2):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            take_request(connection)

    with server(answer) as url:
        client = HeapClient(url)
        for _ in range(2):
            client.cut_overdue()
            assert client.post("/api/track", b"{}").kind is Kind.TAKEN
        client.close()


def test_a_closed_client_cuts_off_what_is_in_flight() -> None:
    """So that nothing more is sent, and nothing waits."""
    arrived, gone = threading.Event(), threading.Event()

    def answer(connection: socket.socket) -> None:
        arrived.set()
        if connection.recv(1) == b"":
            gone.set()

    verdicts: list[Verdict] = []
    with server(answer) as url:
        client = HeapClient(url)
        thread = threading.Thread(target=lambda: verdicts.append(client.post("/api/track", b"{}")))
        thread.start()
        assert arrived.wait(LONG)
        client.close()
        thread.join(LONG)
        assert gone.wait(LONG)
    assert [verdict.kind for verdict in verdicts] == [Kind.LATER]
