"""A door before an S3, to hold a run at a certain file for as long as a test likes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

_HOP: frozenset[str] = frozenset({"transfer-encoding", "connection", "content-length", "content-encoding"})


@dataclass
class Gate:
    """Passes requests on, but holds those for keys with `part` in them until it is opened."""

    s3: str
    part: str
    url: str = ""
    count: int = 0  # of requests that were held
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


@contextmanager
def gate(s3: str, part: str) -> Iterator[Gate]:
    """A closed one, on its own port; it opens at the end of the block."""
    door = Gate(s3, part)
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, _query = self.path.partition("?")
            if door.part in path:
                with counting:
                    door.count += 1
                door.reached.set()
                door.opened.wait()
            answer = requests.get(door.s3 + self.path, headers=dict(self.headers), timeout=60)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client is gone
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    door.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield door
    finally:
        door.opened.set()
        server.shutdown()
        server.server_close()
        thread.join()
