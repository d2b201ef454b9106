"""An S3 of one bucket whose answers are scripted by key: short bodies, refusals, drips, objects that change.

    with ScriptedS3({"a.avro": b"..."}) as s3:
        s3.faults["a.avro"] = Refuses(403, "AccessDenied")
        ... Bucket(courier at s3.address) ...

A fault decides how GET and HEAD of its key are answered; listings are always true to `objects`. A list of faults is one
for each request in turn, and none when it is used up.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import Self

BUCKET = "heap-rs3-scripted"
_DRIP = 0.02  # seconds between two bytes; a client that gives up ends the drip


class Fault(Protocol):
    """How a request for an object is answered."""

    def answer(self, request: Request, content: bytes) -> None:
        """Writes the answer."""


@dataclass(frozen=True, slots=True)
class Refuses:
    """An error of S3."""

    status: int
    code: str

    def answer(self, request: Request, content: bytes) -> None:  # noqa: ARG002
        request.send(self.status, f"<Error><Code>{self.code}</Code></Error>".encode())


@dataclass(frozen=True, slots=True)
class Short:
    """Fewer bytes than the object has, under a length that fits them: only the listing shows it."""

    size: int

    def answer(self, request: Request, content: bytes) -> None:
        request.send(200, content[: self.size], etag=etag(content))


@dataclass(frozen=True, slots=True)
class Changed:
    """Another object than the one that is listed."""

    content: bytes

    def answer(self, request: Request, content: bytes) -> None:  # noqa: ARG002
        request.send(200, self.content, etag=etag(self.content))


@dataclass(frozen=True, slots=True)
class Drips:
    """A byte now and then, of the head or of the body, until the client gives up."""

    head: bool = False

    def answer(self, request: Request, content: bytes) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: " + etag(content).encode() + b"\r\n"
        answer += b"X-Long: " if self.head else b"\r\n"
        request.wfile.write(answer[:-8] if self.head else answer)
        request.close_connection = True
        given_up = threading.Event()
        try:
            while not given_up.wait(_DRIP):
                request.wfile.write(b"x")
                request.wfile.flush()
        except OSError:
            given_up.set()


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


@dataclass
class ScriptedS3:
    """The server.

    Attributes:
        objects: what the bucket holds.
        faults: how requests for a key are answered otherwise.
        asked: the keys that were asked for, in order.
        tls: what it speaks TLS with; None: plain HTTP.
    """

    objects: Mapping[str, bytes]
    faults: dict[str, Fault | list[Fault]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Request,), {"s3": self}))
        self._server.daemon_threads = True
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def fault(self, key: str) -> Fault | None:
        scripted = self.faults.get(key)
        if isinstance(scripted, list):
            return scripted.pop(0) if scripted else None
        return scripted


class Request(BaseHTTPRequestHandler):
    """A request of S3's: the listing of the bucket, or an object."""

    s3: ScriptedS3
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        key = unquote(url.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        if not key:
            self.send(200, self._listing(parse_qs(url.query).get("prefix", [""])[0]))
            return
        self.s3.asked.append(key)
        content = self.s3.objects.get(key)
        if content is None:
            self.send(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif fault := self.s3.fault(key):
            fault.answer(self, content)
        else:
            self.send(200, content, etag=etag(content))

    do_HEAD = do_GET  # noqa: N815  (names of http.server)

    def send(self, status: int, content: bytes, etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002
        """Says nothing."""

    def _listing(self, prefix: str) -> bytes:
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>{escape(etag(content))}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, content in sorted(self.s3.objects.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><Name>{BUCKET}</Name>{items}</ListBucketResult>".encode()
