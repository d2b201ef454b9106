"""A request is aborted when it takes too long, at any stage."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from unittest.mock import Mock

import pytest

from destination_heap_analytics.delivery.http.client import HeapClient, Kind, Verdict

LONG = 60.0


def take_request(connection: socket.socket) -> None:
    """Read up to the body, which is an empty object."""
    content = b"-"
    while content and not content.endswith(b"{}"):
        content = connection.recv(65536)


def take_head(connection: socket.socket) -> None:
    """Read up to the end of the headers."""
    content = b""
    while not content.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        content += byte


@contextmanager
def proxy(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does this with each connection once it has received headers."""
    with server(answer, take=take_head) as url:
        yield url


@contextmanager
def server(
    answer: Callable[[socket.socket], None], take: Callable[[socket.socket], None] = take_request
) -> Iterator[str]:
    """A server that does this with each connection once it has received a request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    take(connection)
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
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", Kind.RETRYABLE),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4000\r\n\r\n", Kind.ACCEPTED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", Kind.ACCEPTED),
    ],
    ids=["in a header", "in the body of a connection that ends with it", "in the body"],
)
def test_a_server_that_trickles_bytes_cannot_hold_up_a_request(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes, kind: Kind
) -> None:
    """Each byte restarts the socket's time-out; if the status has arrived, it decides the outcome."""
    monkeypatch.setattr("destination_heap_analytics.delivery.http.client.REQUEST_SECONDS", 0.2)
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
def test_truncated_headers_are_not_a_response(answer: bytes) -> None:
    """The rest of the response is unknown: it might have been a page."""
    with server(lambda connection: connection.sendall(answer)) as url:
        client = HeapClient(url)
        assert client.post("/api/track", b"{}").kind is Kind.RETRYABLE
        client.close()


def test_a_request_within_its_time_is_not_cut() -> None:
    """Neither is the next one over the same connection."""

    def answer(connection: socket.socket) -> None:
        for _ in range(2):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            take_request(connection)

    with server(answer) as url:
        client = HeapClient(url)
        for _ in range(2):
            client.cut_overdue()
            assert client.post("/api/track", b"{}").kind is Kind.ACCEPTED
        client.close()


def test_a_closed_client_aborts_requests_in_flight() -> None:
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
    assert [verdict.kind for verdict in verdicts] == [Kind.RETRYABLE]


def cut_while(client: HeapClient, body: bytes = b"{}", begun: threading.Event | None = None) -> Verdict:
    """Post a request, and abort it at its deadline, as the run does, but not before `begun` is set."""
    verdicts: list[Verdict] = []
    thread = threading.Thread(target=lambda: verdicts.append(client.post("/api/track", body)))
    thread.start()
    assert begun is None or begun.wait(LONG)
    end = time.monotonic() + LONG
    while thread.is_alive() and time.monotonic() < end:
        client.cut_overdue()
        thread.join(0.01)
    client.close()
    (verdict,) = verdicts
    return verdict


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.1 200 Connection established\r\nX-Slow: "], ids=["status", "header"]
)
def test_a_proxy_that_drips_its_response_is_aborted(monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    """A request is bounded from the first byte of the tunnel on."""
    monkeypatch.setattr("destination_heap_analytics.delivery.http.client.REQUEST_SECONDS", 0.2)
    with proxy(drip(beginning)) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        assert cut_while(HeapClient("https://heap.invalid")).kind is Kind.RETRYABLE


def test_a_tls_handshake_that_drips_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handshake is a part of the request too."""
    monkeypatch.setattr("destination_heap_analytics.delivery.http.client.REQUEST_SECONDS", 0.0)
    begun = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection.recv(1)
        begun.set()
        drip(b"\x16\x03\x03\x40\x00")(connection)  # a record that is as long as one can be

    with proxy(answer) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        assert cut_while(HeapClient("https://heap.invalid"), begun=begun).kind is Kind.RETRYABLE


LARGE = b"x" * 16 * 1024 * 1024
"""More than the buffers of both sides."""


@pytest.mark.parametrize("limit", ["SEND_SECONDS", "REQUEST_SECONDS"])
def test_the_verdict_shows_that_a_body_could_not_be_sent_in_time(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """Whether sending takes too long, or the whole request: a smaller body may get through."""
    client = "destination_heap_analytics.delivery.http.client"
    monkeypatch.setattr(f"{client}.SEND_BYTES_PER_SECOND", 1 << 60)
    monkeypatch.setattr(f"{client}.SEND_SECONDS", LONG)
    monkeypatch.setattr(f"{client}.{limit}", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # nothing reads
        verdict = cut_while(HeapClient(f"http://127.0.0.1:{listener.getsockname()[1]}"), LARGE)
    assert (verdict.kind, verdict.was_sent) == (Kind.RETRYABLE, False)
    assert verdict.trouble == "the request could not be sent in time"


def test_sending_has_more_time_than_connecting() -> None:
    """The body is large, and the server starts reading only after the connect time-out has passed."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    timed_out = threading.Event()

    def slowly(connection: socket.socket) -> None:
        timed_out.wait(0.5)
        left = len(LARGE)
        while left > 0 and (block := connection.recv(1 << 20)):
            left -= len(block)
        answer(connection)

    with proxy(slowly) as url:
        client = HeapClient(url, timeout=(0.1, LONG))
        assert client.post("/api/track", LARGE).kind is Kind.ACCEPTED
        client.close()


def test_a_connection_with_data_after_the_response_is_not_reused() -> None:
    """Neither is any other of this client: more excess bytes might arrive a moment later."""
    connections: list[int] = []

    def answer(connection: socket.socket) -> None:
        connections.append(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + b"HTTP/1.1" * (len(connections) == 1))
        take_request(connection)

    with server(answer) as url:
        client = HeapClient(url)
        for _ in range(3):
            assert client.post("/api/track", b"{}").kind is Kind.ACCEPTED
        client.close()
    assert len(connections) == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 11\r\n\r\nbad\xffidentity",
        b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 429 Slow Down\r\nretry-after: 7\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 X\r\nRetry-After: Fri, 21 Oct 2022 04:10:54 GMT\r\nDate: Fri, 21 Oct 2022 04:09:54 GMT\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Ty",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"SSH-2.0\r\n",
        b"",
    ],
)
def test_a_request_is_the_same_over_an_open_and_a_new_connection(answer: bytes) -> None:
    """The request has the same headers, in any order, and every response has the same verdict."""
    heads: list[set[bytes]] = []
    connections = iter([[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", answer], [answer]])

    def serve(connection: socket.socket) -> None:
        for sends in next(connections):
            sent = b""
            while not sent.endswith(b"\r\n\r\n{}"):
                sent += connection.recv(65536) or b"\r\n\r\n{}"
            heads.append(
                set(sent.lower().splitlines()) - {b"accept-encoding: gzip, deflate", b"accept-encoding: identity"}
            )
            connection.sendall(sends)

    with server(serve, take=lambda _: None) as url:
        client = HeapClient(url)
        assert client.post("/api/track", b"{}").kind is Kind.ACCEPTED
        on_open = client.post("/api/track", b"{}")
        client.close()
        client = HeapClient(url)
        on_new = client.post("/api/track", b"{}")
        client.close()
    assert on_open == on_new
    assert heads[0] == heads[1] == heads[2]


def test_a_large_body_arrives_whole_on_an_open_connection() -> None:
    """It is sent separately from the headers."""
    received: list[bytes] = []
    body = b"{" + b"x" * 1_000_000 + b"}"

    def serve(connection: socket.socket) -> None:
        for _ in range(2):
            sent = b""
            while not sent.endswith(b"x}"):
                sent += connection.recv(1 << 20) or b"x}"
            received.append(sent.partition(b"\r\n\r\n")[2])
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with server(serve, take=lambda _: None) as url:
        client = HeapClient(url)
        assert [client.post("/api/track", body).kind for _ in range(2)] == [Kind.ACCEPTED, Kind.ACCEPTED]
        client.close()
    assert received == [body, body]


def test_requests_and_urllib3_are_needed_only_to_open_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further requests bypass them, even after the server has closed a connection in the meantime."""
    opened: list[int] = []

    def answer(connection: socket.socket) -> None:
        opened.append(1)
        for _ in range(2):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            take_request(connection)

    with server(answer) as url:
        client = HeapClient(url)
        send = Mock(wraps=client._session.send)
        monkeypatch.setattr(client._session, "send", send)
        for _ in range(4):
            assert client.post("/api/track", b"{}").kind in {Kind.ACCEPTED, Kind.RETRYABLE}
        client.close()
    assert send.call_count == len(opened) < 4


def test_the_verdict_shows_a_silent_server_on_an_open_connection() -> None:
    """As on a new connection, the request times out."""
    done = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        done.wait(LONG)

    with server(answer) as url:
        client = HeapClient(url, timeout=(LONG, 0.1))
        assert client.post("/api/track", b"{}").kind is Kind.ACCEPTED
        verdict = client.post("/api/track", b"{}")
        done.set()
        client.close()
    assert (verdict.kind, verdict.trouble) == (Kind.RETRYABLE, "the request timed out")
