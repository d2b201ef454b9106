"""A scripted HTTP server: a test determines every byte that each connection receives.

    def handle(client: socket.socket, number: int) -> None:    # number: of the connection, from 0
        while body := take(client):                            # a request, to its last byte
            client.sendall(OK)

    with serving(handle) as url: ...

`answer_bytes` builds answers that are right, or wrong in one place.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

FRAMINGS: Final = (
    "length",
    "chunked",
    "closing",
    "length too short",
    "length too long",
    "negative length",
    "negative chunk",
    "broken chunk",
    "chunk too short",
    "chunked and length",
)
"""How the body of a response is delimited. After `closing` and `length too long`, the server has to close."""


@contextmanager
def serving(handle: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """A server that handles each connection with the function of the test, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []
        sockets: list[socket.socket] = []

        def serve(client: socket.socket, number: int) -> None:
            with client, suppress(OSError):
                handle(client, number)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    sockets.append(client)
                    threads.append(threading.Thread(target=serve, args=(client, len(threads))))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for client in sockets:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def take(client: socket.socket) -> bytes:
    """The body of one request, read to its last byte; empty if the client is gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = client.recv(65536)
        if not block:
            return b""
        received += block
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        block = client.recv(65536)
        if not block:
            return b""
        body += block
    return body


def answer_bytes(status: int, body: bytes, framing: str, *, interim: tuple[int, ...] = ()) -> bytes:
    """A response, after interim ones; `framing` is one of `FRAMINGS`."""
    before = b"".join(b"HTTP/1.1 %d Wait\r\nLink: </a.css>\r\n\r\n" % code for code in interim)
    length, chunk = b"Content-Length: %d\r\n", b"%x\r\n%b\r\n0\r\n\r\n"
    fields, content = {
        "length": (length % len(body), body),
        "chunked": (b"Transfer-Encoding: chunked\r\n", chunk % (len(body), body)),
        "closing": (b"", body),
        "length too short": (length % (len(body) - 1), body),
        "length too long": (length % (len(body) + 10), body),
        "negative length": (length % -5, body),
        "negative chunk": (b"Transfer-Encoding: chunked\r\n", b"-5\r\n" + body),
        "broken chunk": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + body),
        "chunk too short": (b"Transfer-Encoding: chunked\r\n", chunk % (len(body) - 1, body)),
        "chunked and length": (length % 1 + b"Transfer-Encoding: chunked\r\n", chunk % (len(body), body)),
    }[framing]
    return before + b"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\n%b\r\n%b" % (status, fields, content)
