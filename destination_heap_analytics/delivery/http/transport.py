"""Connections to Heap: kept alive, and closed if a request takes too long or a response is ambiguous.

requests and urllib3 find the proxy, connect, tunnel and check certificates. Further requests reuse the open connection
without them (`Connections.again`), at a tenth of the cost. Responses are parsed by response.py instead of http.client,
which can match a response to the wrong request: it skips only interim responses with status 100 (`HTTPResponse.begin`
in https://github.com/python/cpython/blob/3.14/Lib/http/client.py), reads any number of them
(https://github.com/python/cpython/issues/150743), and silently discards bytes after a response.
Only `_Response` touches http.client's file object.

A socket's time-out restarts with every byte, so a server that sends a byte from time to time could hold up a request
forever. A thread that is blocked in a read cannot be interrupted, but its socket can be shut down.
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse as PooledResponse

from destination_heap_analytics.delivery.http.response import Response, read_response

_FIELDS: Final = ("Content-Type", "Content-Encoding", "Date", "Location", "Retry-After")
"""Headers that are kept. All others are dropped: there are no cookies, and the body is already decoded."""


_APART_BYTES: Final = 64 * 1024
"""From this size on, a body is sent separately from the headers, which saves a copy: it fills many packets anyway."""


class SendTimeoutError(OSError):
    """The body could not be sent within its time limit."""


@dataclass(slots=True, eq=False)
class _Request:
    """A request in progress.

    Attributes:
        connections: the pool of its connection.
        deadline: when it is aborted, on the caller's clock.
        send_seconds: how long sending may take.
        sock: its socket; a duplicate descriptor while the connection is being established.
        is_sent: whether it has been sent completely.
        is_cut: whether it was aborted.
    """

    connections: Connections
    deadline: float
    send_seconds: float
    sock: socket.socket | None = None
    is_sent: bool = False
    is_cut: bool = False


class _Current(threading.local):
    """The request of the current thread: urllib3 cannot pass it to its connections."""

    request: _Request | None = None


_current = _Current()


class Connections(HTTPAdapter):
    """The connections of one client, for requests from many threads.

    Attributes:
        reuses: whether connections are kept alive. False once a server has sent more than a response: what it sends
            later could be taken for the response to the next request.
    """

    def __init__(self, most: int) -> None:
        self._under_way: set[_Request] = set()
        self._pool: _Pool | None = None
        self.reuses = True
        super().__init__(pool_connections=1, pool_maxsize=most)

    @contextmanager
    def until(self, deadline: float, send_seconds: float) -> Iterator[None]:
        """Limit the time of the request that this thread makes in the block, from connecting to the last byte.

        Args:
            deadline: when `cut` may abort it.
            send_seconds: how long sending may take.
        """
        request = _Request(self, deadline, send_seconds)
        self._under_way.add(request)
        _current.request = request
        try:
            yield
        except Exception as failure:
            if request.is_cut and not request.is_sent and request.sock is not None:
                raise SendTimeoutError from failure
            raise
        finally:
            self._under_way.discard(request)
            _current.request = None

    def again(self, head: bytes, body: bytes, read_seconds: float) -> Response | None:
        """Send a request over an open connection to the same host; call it inside `until`.

        Returns None without sending anything if no connection is open.

        Args:
            head: the request line and headers, with the empty line after them.
            body: the body.
            read_seconds: how long the server may be silent.

        Raises:
            SendTimeoutError: it could not be sent in time.
            OSError: the connection failed, or was aborted.
            BrokenResponseError: the bytes are not a response.
        """
        pool, request = self._pool, _current.request
        if pool is None or request is None or (connection := pool.left_open()) is None:
            return None
        sock = request.sock = connection.sock
        is_reusable = False
        try:
            if request.is_cut:
                raise TimeoutError
            sock.settimeout(request.send_seconds)
            try:
                if len(body) < _APART_BYTES:
                    sock.sendall(head + body)
                else:
                    sock.sendall(head)
                    sock.sendall(body)
                request.is_sent = True
            except TimeoutError as failure:
                raise SendTimeoutError from failure
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server may have responded before it read everything
            sock.settimeout(read_seconds)
            response = read_response(sock.recv)
            if response.has_excess:
                self.reuses = False
            is_reusable = response.is_reusable and request.is_sent and not _has_pending(sock)
        finally:
            if not (is_reusable and self.reuses):
                connection.close()
            pool.take_back(connection)
        return response

    def cut(self, now: float) -> None:
        """Abort the requests that are past their deadline; their threads get a connection error."""
        for request in list(self._under_way):
            if request.deadline <= now:
                request.is_cut = True
                sock = request.sock
                if sock is not None:
                    with suppress(OSError):  # it has already completed
                        sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all open connections."""
        pool, self._pool = self._pool, None
        if pool:
            pool.close()
        super().close()

    def is_pooled_in(self, pool: _Pool) -> None:
        """Remember the pool that keeps the connection of a request."""
        self._pool = pool

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As in the base class, but with the connections of this module."""
        super().init_poolmanager(*args, **kwargs)
        _watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """As in the base class, but with the connections of this module."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _watch(manager)
        return manager


def _watch(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Response(HTTPResponse):
    """A response as http.client and urllib3 see it: already read completely, and short."""

    def begin(self) -> None:
        """Read the response; `will_close` makes http.client close a connection that must not be reused."""
        file, self.fp = self.fp, io.BufferedReader(io.BytesIO())
        with file:
            response = read_response(file.read1)
        self.fp = io.BufferedReader(io.BytesIO(response.body))
        self.version, self.status, self.reason = response.version, response.status, response.reason
        self.headers = self.msg = HTTPMessage()
        for name in _FIELDS:
            if (value := response.fields.get(name.lower())) is not None:
                self.headers[name] = value
        self.length, self.chunked = len(response.body), False
        self.will_close = not response.is_reusable
        if response.has_excess and (request := _current.request):
            request.connections.reuses = False


class _Http(HTTPConnection):
    """A connection that enforces the limits of the current request."""

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        request = _current.request
        if request:
            request.sock = sock.dup()  # the TLS handshake detaches the descriptor from `sock`, so `cut` needs its own
            if request.is_cut:
                sock.shutdown(socket.SHUT_RDWR)
        return sock

    def connect(self) -> None:
        request = _current.request
        try:
            super().connect()
        finally:
            if request and request.sock is not None:
                made, request.sock = request.sock, None
                made.close()

    def _tunnel(self) -> None:
        super()._tunnel()
        if _current.request and _current.request.is_cut:  # http.client accepts truncated headers as complete
            raise TimeoutError("the proxy did not respond in time")

    def request(self, *args: Any, **kwargs: Any) -> None:
        request = _current.request
        if request is None:
            super().request(*args, **kwargs)
            return
        if self.sock is None:
            self.connect()
        request.sock = self.sock
        timeout, self.timeout = self.timeout, request.send_seconds
        self.sock.settimeout(request.send_seconds)
        try:
            super().request(*args, **kwargs)
            request.is_sent = True
        except TimeoutError as failure:
            raise SendTimeoutError from failure
        finally:
            self.timeout = timeout

    def getresponse(self) -> PooledResponse:  # type: ignore[override]  # as urllib3 does itself
        response = super().getresponse()
        request = _current.request
        if request and (not request.connections.reuses or not request.is_sent or _has_pending(self.sock)):
            self.close()
        return response


def _has_pending(sock: Any) -> bool:
    """Whether TLS has decrypted bytes that have not been read; polling the socket does not reveal them."""
    pending = getattr(sock, "pending", None)
    return bool(pending and pending())


class _Https(_Http, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    """A pool that registers itself with the client of the current request."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        if request := _current.request:
            request.connections.is_pooled_in(self)
        return super()._get_conn(timeout)

    def left_open(self) -> Any | None:
        """A connection that is still open; None if there is none."""
        connection: Any = super()._get_conn()
        if connection.sock is None:
            self._put_conn(connection)
            return None
        return connection

    def take_back(self, connection: Any) -> None:
        """Put a connection back. If it is closed, the next request reopens it."""
        self._put_conn(connection)


class _HttpPool(_Pool):
    ConnectionCls = _Http


class _HttpsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _Https
