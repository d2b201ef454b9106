"""`/health` and `/metrics` of the daemon, for supervisors and monitoring."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from heap_courier.errors import SetupError

_PATIENCE: Final = 10  # seconds for a request to arrive


@dataclass(slots=True)
class Health:
    """Whether the daemon is working.

    Attributes:
        keepers: the current threads that keep schedules and watch deadlines.
        is_stopping: whether the daemon is shutting down.
    """

    keepers: Sequence[threading.Thread] = ()
    is_stopping: bool = False

    def problem(self) -> str:
        """What is wrong, in a sentence; empty if all is well."""
        if self.is_stopping:
            return "The daemon is stopping."
        dead = [thread.name for thread in self.keepers if not thread.is_alive()]
        return f"Stopped unexpectedly: {', '.join(dead)}. Restart the daemon." if dead else ""


@contextmanager
def health_served(host: str, port: int, health: Health, metrics: Callable[[], tuple[str, bytes]]) -> Iterator[str]:
    """Serves `/health` and `/metrics` while the block runs; yields the server's URL.

    Args:
        host: the address to listen on.
        port: 0 chooses a free one.
        health: `/health` responds with status 503 if it has a problem.
        metrics: returns the content type and the text of `/metrics`.

    Raises:
        SetupError: it cannot listen there.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "heap-courier", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, *metrics())
            elif path == "/health":
                problem = health.problem()
                status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
                self._answer(status, _TEXT, f"{problem or 'The daemon is running.'}\n".encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"Not found. Available: /health, /metrics.\n")

        do_HEAD = do_GET  # noqa: N815  (the library's)

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's)
            """Logs nothing: requests arrive every few seconds."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Logs nothing: the client has disconnected."""

    try:
        server = Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SetupError(f"Cannot listen on {host}:{port}: {reason}. Choose another --health-port.") from error
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_TEXT: Final = "text/plain; charset=utf-8"
