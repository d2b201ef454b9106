"""Connections to Heap, kept alive, and cut off when a request takes too long.

The time-outs of a socket begin anew with every byte, so that a server which sends one now and then could hold a request
for ever. No thread can be taken out of a read from outside, but its connection can be shut under it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse, RemoteDisconnected
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection


@dataclass(slots=True, eq=False)
class _Request:
    """One under way.

    Attributes:
        deadline: when it is cut off, on the clock of the one who asks.
        connection: what carries it, once there is one.
        sock: the socket of that, once the request is out: a connection that is not to be kept lets go of it then, while
            the answer is still read from it.
    """

    deadline: float
    connection: HTTPConnection | None = None
    sock: socket.socket | None = None


_current = threading.local()


class Connections(HTTPAdapter):
    """The connections of one client, for requests of many threads."""

    def __init__(self, most: int) -> None:
        self._under_way: set[_Request] = set()
        super().__init__(pool_connections=1, pool_maxsize=most)

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """The request that this thread makes inside may be cut off from `deadline` on."""
        request = _Request(deadline)
        self._under_way.add(request)
        _current.request = request
        try:
            yield
        finally:
            self._under_way.discard(request)
            _current.request = None

    def cut(self, now: float) -> None:
        """Cut off the requests whose deadline has come; the thread that waits for one gets a connection error."""
        for request in list(self._under_way):
            sock = request.sock or (request.connection and request.connection.sock)
            if sock and request.deadline <= now:
                with suppress(OSError):  # it has ended meanwhile
                    sock.shutdown(socket.SHUT_RDWR)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As the base does, with connections that can be cut."""
        super().init_poolmanager(*args, **kwargs)
        _watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """The same on the way through a proxy."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _watch(manager)
        return manager


def _watch(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Response(HTTPResponse):
    """An answer whose headers have come to their end: the base takes a connection that breaks off for an end too."""

    def begin(self) -> None:
        file, lines = self.fp, _Lines(self.fp)
        self.fp = lines  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            self.fp = self.fp and file  # it is None where the base has closed it
        if lines.last.strip():
            raise RemoteDisconnected("the headers broke off")


class _Lines:
    """A file that remembers the last line read from it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.last = b"-"

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        self.last = line or b"-"
        return line

    def close(self) -> None:
        self._file.close()


class _Http(HTTPConnection):
    response_class = _Response

    def request(self, *args: Any, **kwargs: Any) -> None:
        with _noted(self):
            super().request(*args, **kwargs)


class _Https(HTTPSConnection):
    response_class = _Response

    def request(self, *args: Any, **kwargs: Any) -> None:
        with _noted(self):
            super().request(*args, **kwargs)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


@contextmanager
def _noted(connection: HTTPConnection) -> Iterator[None]:
    request = getattr(_current, "request", None)
    if request:
        request.connection = connection
    yield
    if request:
        request.sock = connection.sock
