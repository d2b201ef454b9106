"""Connections to Heap: kept alive, and closed if a request takes too long or a response is ambiguous.

requests and urllib3 find the proxy, connect, tunnel and check certificates. A connection that they have left open takes
further requests without them (`Connections.again`), at a tenth of the cost. Answers are read by answer.py instead of
http.client, whose reading cannot be trusted to match answers to requests: it skips no interim answer other than 100
(`HTTPResponse.begin` in https://github.com/python/cpython/blob/3.14/Lib/http/client.py), reads interim answers without
a bound (https://github.com/python/cpython/issues/150743), and discards bytes after an answer unseen.
`_Response` is the only place that knows of http.client's file object.

A socket's time-out restarts with every byte, so a server that sends one now and then could hold a request forever. A
thread cannot be interrupted in a read, but its socket can be shut down.
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

from destination_heap_analytics.delivery.http.answer import Answer, read_answer

_FIELDS: Final = ("Content-Type", "Content-Encoding", "Date", "Location", "Retry-After")
"""Headers that are read. The others are dropped: cookies are not kept, and the framing of the body is already gone."""


_APART_BYTES: Final = 64 * 1024
"""From this size on a body is not copied to be sent together with the headers: its own packets are many."""


class SendTimeoutError(OSError):
    """The body could not be sent within its time limit."""


@dataclass(slots=True, eq=False)
class _Request:
    """A request in progress.

    Attributes:
        connections: the pool that it belongs to.
        deadline: when it is aborted, on the caller's clock.
        send_seconds: how long sending it may take.
        sock: its socket; a duplicate descriptor while the connection is being established.
        is_sent: whether all of it has been sent.
        is_cut: whether it was aborted.
    """

    connections: Connections
    deadline: float
    send_seconds: float
    sock: socket.socket | None = None
    is_sent: bool = False
    is_cut: bool = False


class _Current(threading.local):
    """The request of the current thread: urllib3 passes nothing on to its connections."""

    request: _Request | None = None


_current = _Current()


class Connections(HTTPAdapter):
    """The connections of one client, for requests of many threads.

    Attributes:
        reuses: whether connections are kept alive; not after a server has sent more than its answer, since what it
            sends a moment later would be taken for the answer to the next request.
    """

    def __init__(self, most: int) -> None:
        self._under_way: set[_Request] = set()
        self._pool: _Pool | None = None
        self.reuses = True
        super().__init__(pool_connections=1, pool_maxsize=most)

    @contextmanager
    def until(self, deadline: float, send_seconds: float) -> Iterator[None]:
        """Bound the request that this thread makes inside: from connecting to the last byte of its answer.

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

    def again(self, head: bytes, body: bytes, read_seconds: float) -> Answer | None:
        """Send a request over a connection that an earlier one has left open, to the same host; call it in `until`.

        Returns None, and has sent nothing, if there is no such connection.

        Args:
            head: the request line and headers, with the empty line after them.
            body: what follows.
            read_seconds: how long the server may be silent.

        Raises:
            SendTimeoutError: it could not be sent in time.
            OSError: the connection failed, or was aborted.
            BrokenAnswerError: the bytes are not a response.
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
                pass  # the server may have answered before it had read everything
            sock.settimeout(read_seconds)
            answer = read_answer(sock.recv)
            if answer.has_excess:
                self.reuses = False
            is_reusable = answer.is_reusable and request.is_sent and not _has_pending(sock)
        finally:
            if not (is_reusable and self.reuses):
                connection.close()
            pool.take_back(connection)
        return answer

    def cut(self, now: float) -> None:
        """Abort the requests that are past their deadline; their threads get a connection error."""
        for request in list(self._under_way):
            if request.deadline <= now:
                request.is_cut = True
                sock = request.sock
                if sock is not None:
                    with suppress(OSError):  # it has finished meanwhile
                        sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what is left open."""
        pool, self._pool = self._pool, None
        if pool:
            pool.close()
        super().close()

    def is_pooled_in(self, pool: _Pool) -> None:
        """Keeps a request's connection when the response is complete."""
        self._pool = pool

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As the base does, with connections of this module."""
        super().init_poolmanager(*args, **kwargs)
        _watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """As the base does, with connections of this module."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _watch(manager)
        return manager


def _watch(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Response(HTTPResponse):
    """What http.client and urllib3 see of a response: one that has been read already, and is short."""

    def begin(self) -> None:
        """Read the response; `will_close` makes http.client close a connection that must not be reused."""
        file, self.fp = self.fp, io.BufferedReader(io.BytesIO())
        with file:
            answer = read_answer(file.read1)
        self.fp = io.BufferedReader(io.BytesIO(answer.body))
        self.version, self.status, self.reason = answer.version, answer.status, answer.reason
        self.headers = self.msg = HTTPMessage()
        for name in _FIELDS:
            if (value := answer.fields.get(name.lower())) is not None:
                self.headers[name] = value
        self.length, self.chunked = len(answer.body), False
        self.will_close = not answer.is_reusable
        if answer.has_excess and (request := _current.request):
            request.connections.reuses = False


class _Http(HTTPConnection):
    """A connection that keeps within the limits of the current request."""

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        request = _current.request
        if request:
            request.sock = sock.dup()  # the TLS handshake takes the descriptor out of `sock`, out of reach of `cut`
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
            raise TimeoutError("the proxy did not answer in time")

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
    """Whether TLS has decrypted bytes that were not read; polling the socket does not show them."""
    pending = getattr(sock, "pending", None)
    return bool(pending and pending())


class _Https(_Http, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    """A pool that is known to the client whose request uses it."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        if request := _current.request:
            request.connections.is_pooled_in(self)
        return super()._get_conn(timeout)

    def left_open(self) -> Any | None:
        """A connection on which the server waits for a request; None if there is none."""
        connection: Any = super()._get_conn()
        if connection.sock is None:
            self._put_conn(connection)
            return None
        return connection

    def take_back(self, connection: Any) -> None:
        """It may be closed; then the next request opens it."""
        self._put_conn(connection)


class _HttpPool(_Pool):
    ConnectionCls = _Http


class _HttpsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _Https
