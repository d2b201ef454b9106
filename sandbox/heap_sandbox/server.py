"""The sandbox as a server on 127.0.0.1: in this thread, or with `Sandbox` in a separate one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlencode

import orjson
from uvicorn.config import Config
from uvicorn.server import ServerState

from heap_sandbox.app import application
from heap_sandbox.mock.connection import ConnectionProtocol
from heap_sandbox.mock.deletions import Deletions
from heap_sandbox.mock.faults import Faults
from heap_sandbox.mock.heap import Heap
from heap_sandbox.mock.limits import Limits, Settings
from heap_sandbox.mock.pulse import Pulse
from heap_sandbox.mock.store import Store

HOST = "127.0.0.1"
"""The address to listen on, except in a container."""

_KEEP_ALIVE = 60  # seconds; longer than a client pauses between two batches
_BACKLOG = 2048
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAGE = 5000  # rows that a Sandbox reads at a time


def listen(port: int, host: str = HOST) -> socket.socket:
    """A listening socket; port 0 means any free one. OSError if the port is in use or the host is not local."""
    # With the protocol given, asyncio sets TCP_NODELAY on accepted sockets; without it, responses take 40 ms more.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # on Windows the option would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def url(listener: socket.socket) -> str:
    """The URL of the sandbox."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


def assemble(
    store: Store, app_ids: Iterable[str], api_keys: Iterable[str] = (), *, rate_limits: bool, scale: float
) -> Heap:
    """A Heap with this computer's clocks; ValueError with a sentence if a setting is invalid."""
    app_ids = frozenset(app_ids)
    for app_id in app_ids:
        if not (app_id.isascii() and app_id.isdigit()):
            raise ValueError(f"An app ID must consist of digits; {app_id!r} does not.")
    return Heap(
        store=store,
        pulse=Pulse(store),
        limits=Limits(time.monotonic, Settings().changed({"enabled": rate_limits, "scale": scale})),
        app_ids=app_ids,
        now=lambda: datetime.now(timezone.utc),
        timer=time.monotonic,
        faults=Faults(),
        deletions=Deletions(time.monotonic, frozenset(api_keys)),
        stopping=asyncio.Event(),
    )


async def serve(heap: Heap, listener: socket.socket) -> None:
    """Answer requests until `heap.stopping` is set, then close every connection immediately.

    The listener already accepts connections, so clients need not wait for this to start.

    Uses uvicorn's protocol without its Server, which polls ten times a second, handles signals and waits for clients to
    disconnect: too slow for tests that start and stop many sandboxes.
    """
    config = Config(
        application(heap),
        http=ConnectionProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        log_level="error",
        timeout_keep_alive=_KEEP_ALIVE,
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_Shortage(sys.stderr, heap.stopping))
    server = await loop.create_server(
        lambda: ConnectionProtocol(config, state, {}, loop), sock=listener, backlog=_BACKLOG
    )
    await heap.stopping.wait()
    server.close()
    await asyncio.sleep(0)  # accepted sockets become connections
    while state.connections or state.tasks:
        for protocol in list(state.connections):
            protocol.transport.abort()
        await asyncio.sleep(0)


class _Shortage:
    """Reports once that file descriptors ran out.

    asyncio would print a traceback for each connection that it cannot accept, thousands of times a second. It retries
    every second, so connections wait until others are closed.
    """

    def __init__(self, stream: TextIO, stopping: asyncio.Event) -> None:
        self._stream = stream
        self._stopping = stopping
        self._is_reported = False

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self._is_reported and self._stopping.is_set() and isinstance(error, ValueError):
            return  # a retry after the listener was closed
        if not (isinstance(error, OSError) and error.errno in _SHORTAGES):
            loop.default_exception_handler(context)
        elif not self._is_reported:
            self._is_reported = True
            self._stream.write(
                f"New connections must wait: {error.strerror}. Close other connections, or raise `ulimit -n`.\n"
            )
            self._stream.flush()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox, for tests and scripts.

    with Sandbox.start() as heap:
        requests.post(f"{heap.url}/api/track", json=...)
        assert heap.events()[0]["event"] == "Order Placed"
    """

    url: str

    @classmethod
    @contextmanager
    def start(
        cls,
        *,
        database: Path | str | None = None,
        app_ids: Iterable[str] = (),
        api_keys: Iterable[str] = (),
        rate_limits: bool = False,
        scale: float = 1.0,
    ) -> Iterator[Sandbox]:
        """Run a sandbox on a free port in a separate thread.

        Args:
            database: File to keep the data in; by default the data is discarded at the end.
            app_ids: The only apps that exist; if empty, any digits are accepted.
            api_keys: The only API keys that exist; if empty, any key is accepted.
            rate_limits: Whether the documented rate limits are enforced.
            scale: Divides the length of the rates' windows.
        """
        with closing(Store(Path(database) if database else None)) as store:
            heap = assemble(store, app_ids, api_keys, rate_limits=rate_limits, scale=scale)
            with closing(listen(0)) as listener, _thread(heap, listener):
                yield cls(url(listener))

    def events(self, identity: str | None = None) -> list[dict[str, Any]]:
        """Every stored event, oldest first; of one identity if given."""
        return list(self.rows("events", identity=identity))

    def users(self, identity: str | None = None) -> list[dict[str, Any]]:
        """Every user, oldest first; of one identity if given."""
        return list(self.rows("users", identity=identity))

    def accounts(self, account_id: str | None = None) -> list[dict[str, Any]]:
        """Every account, oldest first; of one account_id if given."""
        return list(self.rows("accounts", account_id=account_id))

    def identities(self, identity: str | None = None) -> list[dict[str, Any]]:
        """Every call of Identify, oldest first, with the reason if Heap would ignore it."""
        return list(self.rows("identities", identity=identity))

    def deletions(self) -> list[dict[str, Any]]:
        """Every deletion request, oldest first."""
        return list(self.rows("deletions"))

    def requests(self) -> list[dict[str, Any]]:
        """Every request to Heap, oldest first."""
        return list(self.rows("requests"))

    def stats(self) -> dict[str, int]:
        """Counts of everything that arrived."""
        stats: dict[str, int] = self._call("GET", "/sandbox/stats")
        return stats

    def fault(self, **definition: Any) -> None:
        """Add a fault, such as `fault(kind="status", status=503, times=2)`."""
        self._call("POST", "/sandbox/faults", definition)

    def faults(self) -> list[dict[str, Any]]:
        """The faults and how many requests each has affected."""
        return list(self.rows("faults"))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._call("DELETE", "/sandbox/faults")

    def limits(self, **settings: Any) -> dict[str, Any]:
        """Change some settings, such as `limits(enabled=True, scale=60)`; returns all of them."""
        limits: dict[str, Any] = self._call("POST", "/sandbox/limits", settings)
        return limits

    def reset(self) -> None:
        """Delete stored data, faults and rate limit windows; keep the settings."""
        self._call("POST", "/sandbox/reset")

    def rows(self, table: str, **only: str | None) -> Iterator[dict[str, Any]]:
        """The rows of events, users, accounts, requests or faults, read page by page."""
        filters = {name: value for name, value in only.items() if value is not None}
        after: int | None = 0
        while after is not None:
            page = self._call("GET", f"/sandbox/{table}?" + urlencode({"after": after, "limit": _PAGE} | filters))
            yield from page["rows"]
            after = page["next"]

    def _call(self, method: str, path: str, content: Any = None) -> Any:
        with closing(HTTPConnection(self.url.removeprefix("http://"))) as connection:
            connection.request(method, path, None if content is None else orjson.dumps(content))
            response = connection.getresponse()
            document = orjson.loads(response.read())
        if response.status != HTTPStatus.OK:
            raise ValueError(document["error"])
        return document


@contextmanager
def _thread(heap: Heap, listener: socket.socket) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(heap, listener),), name="heap-sandbox")
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(heap.stopping.set)
        thread.join()
        loop.close()
