"""A limit on the whole of a request to S3, beyond botocore's time-outs, each of which a single byte resets.

botocore has no such limit and no way to cancel a request, so the sockets of one that takes too long are shut down from
their own thread. That needs two private names of botocore's (`_endpoint`, `_pool_classes_by_scheme`).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

_AGAIN: Final = 0.1  # seconds; botocore retries on a new connection, which is shut down too


class Call:
    """A call under way: one request or, with retries, several."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._done = threading.Event()
        self.is_late = False

    def extend(self, seconds: float) -> None:
        """Sets a new limit, since data has arrived."""
        self._deadline = time.monotonic() + seconds

    def use(self, connection: socket.socket) -> None:
        """Registers a socket, by its own duplicate: wrapping it in TLS takes the original away.

        The descriptor is duplicated, because a socket wrapped in TLS refuses `dup`.
        """
        with self._lock:
            self._sockets.append(socket.socket(fileno=socket.dup(connection.fileno())))

    def watch(self) -> None:
        """Shuts the sockets down when the time is over, until the call has given up."""
        while not self._done.wait(max(self._deadline - time.monotonic(), _AGAIN)):
            if time.monotonic() >= self._deadline:
                self.is_late = True
                with self._lock:
                    for connection in self._sockets:
                        with suppress(OSError):  # the server closed this one, perhaps; the call may use another
                            connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Releases the sockets."""
        self._done.set()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()


class TimeLimit:
    """The calls of one client, each in the thread that makes it."""

    def __init__(self) -> None:
        self._current = threading.local()

    def install(self, client: Any) -> None:
        """Makes a botocore client report which sockets its calls use."""
        pools = client._endpoint.http_session._pool_classes_by_scheme  # noqa: SLF001  (see the module's docstring)
        for scheme, pool in pools.items():
            pools[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": self._connection_class(pool.ConnectionCls)})

    @contextmanager
    def call(self, seconds: float) -> Iterator[Call]:
        """A call that may take `seconds`, or longer if it is extended."""
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
