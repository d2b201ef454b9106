"""A minimal HTTP server: accepts any POST, returns `{}`, and counts. All lines of the table post to it.

It must cost so little that it does not affect the measurement. To count rows, it searches the body once, at
about a nanosecond per byte, in a separate process and on a separate core.

    python benchmarks/server.py 0 50    two ports on 127.0.0.1, one that responds immediately and one after 50 ms

It prints its ports as JSON, and ends with its standard input, so that it never outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

HOST = "127.0.0.1"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ROW = b'"identity":'  # once in every row; inside a JSON text, its quotes would be escaped
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}"
_TAKEN = _HEAD.format(2, "{}").encode()
_SECONDS = 30.0


@dataclass(slots=True)
class Counts:
    """What has been posted so far.

    Attributes:
        size: the total size of all bodies in bytes.
        cpu: the CPU time of the server in seconds.
    """

    requests: int = 0
    rows: int = 0
    size: int = 0
    cpu: float = 0.0

    def since(self, before: Counts) -> Counts:
        """What was posted between two moments."""
        return Counts(
            self.requests - before.requests, self.rows - before.rows, self.size - before.size, self.cpu - before.cpu
        )


@dataclass(frozen=True, slots=True)
class Server:
    """The server as seen by clients: a port for each latency, in milliseconds."""

    ports: dict[int, int]

    @classmethod
    @contextmanager
    def start(cls, latencies: Iterable[int]) -> Iterator[Server]:
        """A server in another process, stopped at the end of the block."""
        process = subprocess.Popen(  # noqa: S603  # this very file
            [sys.executable, str(Path(__file__)), *map(str, latencies)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C goes to its parent, which then stops it
        )
        try:
            assert process.stdout  # noqa: S101  # it is piped
            yield cls({int(latency): port for latency, port in json.loads(process.stdout.readline()).items()})
        finally:
            process.terminate()
            process.communicate()

    def url(self, latency: int) -> str:
        """The address at which responses take `latency` milliseconds."""
        return f"http://{HOST}:{self.ports[latency]}"

    def counts(self) -> Counts:
        """What has been posted so far, to all ports."""
        connection = HTTPConnection(HOST, next(iter(self.ports.values())), timeout=_SECONDS)
        try:
            connection.request("GET", "/")
            return Counts(**json.loads(connection.getresponse().read()))
        finally:
            connection.close()


class _Connection(asyncio.Protocol):
    """A client connection without pipelining: the client waits for a response before it sends more."""

    def __init__(self, counts: Counts, delay: float) -> None:
        self._counts = counts
        self._delay = delay
        self._received = bytearray()
        self._head = 0  # size of the request's head; 0 until it is complete
        self._body = 0  # and of its body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  # it is TCP
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._head:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(received, 0, end + 2)
            self._head, self._body = end + 4, int(length[1]) if length else 0
        if len(received) >= self._head + self._body:
            if received.startswith(b"GET "):
                self._tell()
            else:
                self._take()
            self._head = 0
            received.clear()

    def _take(self) -> None:
        counts = self._counts
        counts.requests += 1
        counts.rows += self._received.count(_ROW, self._head)
        counts.size += self._body
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, _TAKEN)
        else:
            self._transport.write(_TAKEN)

    def _tell(self) -> None:
        self._counts.cpu = time.process_time()
        counts = json.dumps(asdict(self._counts))
        self._transport.write(_HEAD.format(len(counts), counts).encode())


async def _serve(latencies: Iterable[int]) -> None:
    loop = asyncio.get_running_loop()
    counts = Counts()
    ports = {}
    for latency in latencies:
        server = await loop.create_server(partial(_Connection, counts, latency / 1000), HOST, 0)
        ports[latency] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(map(int, sys.argv[1:])))
