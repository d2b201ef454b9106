"""A limit on the total time of a call to S3: a single byte resets each of botocore's own timeouts.

botocore has no such limit and cannot cancel a request, so a separate thread shuts down the sockets of a call that takes
too long. That needs two private names of botocore (`_endpoint`, `_pool_classes_by_scheme`).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

_AGAIN: Final = 0.1  # seconds until the next shutdown, since botocore retries on a new connection


class Call:
    """A call in progress: one request, or several with its retries."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._done = threading.Event()
        self.is_late = False

    def extend(self, seconds: float) -> None:
        """Gives the call this many seconds from now on, because data has arrived."""
        self._deadline = time.monotonic() + seconds

    def use(self, connection: socket.socket) -> None:
        """Registers a duplicate of a socket, because wrapping the original in TLS detaches it.

        The descriptor is duplicated, because a TLS socket does not support `dup`.
        """
        with self._lock:
            self._sockets.append(socket.socket(fileno=socket.dup(connection.fileno())))

    def watch(self) -> None:
        """Shuts down the sockets once the time limit is reached, until the call has failed."""
        while not self._done.wait(max(self._deadline - time.monotonic(), _AGAIN)):
            if time.monotonic() >= self._deadline:
                self.is_late = True
                with self._lock:
                    for connection in self._sockets:
                        with suppress(OSError):  # the server may have closed this one; the call may use another
                            connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Releases the sockets."""
        self._done.set()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()


class TimeLimit:
    """The time limit of one client's calls. Each thread makes one call at a time."""

    def __init__(self) -> None:
        self._current = threading.local()

    def install(self, client: Any) -> None:
        """Makes a botocore client register the sockets that its calls use."""
        pools = client._endpoint.http_session._pool_classes_by_scheme  # noqa: SLF001  (see the module's docstring)
        for scheme, pool in pools.items():
            pools[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": self._connection_class(pool.ConnectionCls)})

    @contextmanager
    def call(self, seconds: float) -> Iterator[Call]:
        """Limits the calls inside the block to `seconds`, unless the limit is extended."""
        call = self._current.call = Call(seconds)
        threading.Thread(target=call.watch, name="time-limit", daemon=True).start()
        try:
            yield call
        finally:
            self._current.call = None
            call.end()

    def _use(self, connection: socket.socket | None) -> None:
        call = getattr(self._current, "call", None)
        if call and connection:
            call.use(connection)

    def _connection_class(self, base: Any) -> Any:
        limit = self

        class Connection(base):  # type: ignore[misc]
            def _new_conn(self) -> Any:
                connection = super()._new_conn()
                limit._use(connection)
                return connection

            def request(self, *arguments: Any, **options: Any) -> Any:
                limit._use(self.sock)
                return super().request(*arguments, **options)

        return Connection
