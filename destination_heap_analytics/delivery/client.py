"""One request to Heap, and its verdict.

    2xx that is no HTML page            TAKEN       Heap has the rows
    408, 425, 429, 5xx, or no answer    LATER       Heap or the network does not serve now
    413                                 TOO_LARGE   the body is larger than Heap takes
    401, 404                            NO_ACCESS   the app ID, the host or the path is wrong
    any other 4xx                       REFUSED     a row breaks one of Heap's rules, or the app ID is unknown
    3xx, 2xx with an HTML page          NOT_HEAP    something else answers at this address; redirects are not followed

Heap documents only 200 and 400 (https://developers.heap.io/reference/track-1); the rest is what stands before it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, InvalidHeader, NameResolutionError
from urllib3.util.retry import Retry

from destination_heap_analytics.delivery.transport import Connections
from destination_heap_analytics.version import VERSION

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 60.0
REQUEST_SECONDS: Final = 90.0
"""The whole of a request: a server that sends a byte now and then must not hold it for ever."""

_WORDS_BYTES: Final = 4096
_WORDS_SHOWN: Final = 200


class Kind(Enum):
    """What an answer means for the rows that were sent."""

    TAKEN = "taken"
    REFUSED = "refused"
    TOO_LARGE = "too large"
    NO_ACCESS = "no access"
    NOT_HEAP = "not Heap"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one request.

    Attributes:
        status: the HTTP status; None where no answer came.
        trouble: what kept the answer from coming, or shows that it is not Heap's: a few words of our own.
        words: the beginning of Heap's answer. It may echo the row, so it is for stores and checks, never for a log.
        retry_after: seconds that the answer asks to wait at least; None where it asks nothing.
    """

    kind: Kind
    status: int | None = None
    trouble: str = ""
    words: str = ""
    retry_after: float | None = None

    @property
    def breaks_a_rule(self) -> bool:
        """Whether it is how Heap refuses what breaks its rules; a firewall refuses otherwise."""
        return self.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


class Client(Protocol):
    """Posts a request, and says what came of it."""

    def post(self, path: str, body: bytes) -> Verdict:
        """Post `body`; used by several threads at once."""
        ...

    def cut_overdue(self) -> None:
        """Cut off what takes too long."""
        ...

    def close(self) -> None:
        """Cut off what is in flight, and take no more."""
        ...


class HeapClient:
    """Heap at one base URL, over connections that are kept alive."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        connections: int = 1,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            base_url: scheme and host, without a slash at the end.
            timeout: seconds to connect, and between two bytes of the answer.
            connections: how many to keep alive, one for each thread that posts.
        """
        self._base_url = base_url
        self._timeout = timeout
        self._connections = Connections(connections)
        self._prepared: dict[str, requests.PreparedRequest] = {}
        self._session = _Session()
        self._session.mount("http://", self._connections)
        self._session.mount("https://", self._connections)
        # The environment's proxies and certificates are the same for every request: read them once.
        environment = self._session.merge_environment_settings(base_url, {}, None, None, None)
        self._session.trust_env = False
        self._session.proxies = environment["proxies"]
        self._session.verify = environment["verify"]
        self._session.headers.update(
            {"Content-Type": "application/json", "User-Agent": f"destination-heap-analytics/{VERSION}"}
        )

    def post(self, path: str, body: bytes) -> Verdict:
        """Post one request; every way it can end is a verdict."""
        try:
            with (
                self._connections.until(time.monotonic() + REQUEST_SECONDS),
                self._session.send(
                    self._request(path, body), timeout=self._timeout, allow_redirects=False, stream=True
                ) as answer,
            ):
                return _verdict(answer)
        except (requests.RequestException, HTTPError) as failure:
            return Verdict(Kind.LATER, trouble=_trouble(failure))

    def _request(self, path: str, body: bytes) -> requests.PreparedRequest:
        """A request; but for its body it is the same each time, and preparing it anew takes as long as sending it."""
        if path not in self._prepared:
            self._prepared[path] = self._session.prepare_request(requests.Request("POST", self._base_url + path))
        request = self._prepared[path].copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        return request

    def cut_overdue(self) -> None:
        """Cut off what has taken longer than `REQUEST_SECONDS`; its verdict is LATER."""
        self._connections.cut(time.monotonic())

    def close(self) -> None:
        """Cut off what is in flight, and give the connections up."""
        self._connections.cut(float("inf"))
        self._session.close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # the base's signature
        """Nowhere: a redirect is a verdict. Left to itself, requests reads its address and fails on a bad one."""
        return None


def _verdict(answer: requests.Response) -> Verdict:
    """What the status and the headers say; the body has no part in it, and may break off or be anything."""
    words = _words(answer)
    status = answer.status_code
    is_page = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html"
    if 200 <= status < 300:  # noqa: PLR2004  # the classes of HTTP statuses
        if is_page:
            return Verdict(Kind.NOT_HEAP, status, "an HTML page")
        return Verdict(Kind.TAKEN, status)
    if 300 <= status < 400:  # noqa: PLR2004
        try:
            host = urlsplit(answer.headers.get("Location", "")).hostname
        except ValueError:
            host = None
        return Verdict(Kind.NOT_HEAP, status, f"a redirect to {host}" if host else "a redirect")
    is_refusal = 400 <= status < 500  # noqa: PLR2004
    kind = _KINDS.get(status, Kind.REFUSED if is_refusal else Kind.LATER)
    return Verdict(kind, status, words="" if is_page else words, retry_after=_retry_after(answer))


_KINDS: Final = {
    401: Kind.NO_ACCESS,
    404: Kind.NO_ACCESS,
    408: Kind.LATER,
    413: Kind.TOO_LARGE,
    425: Kind.LATER,
    429: Kind.LATER,
}


def _retry_after(answer: requests.Response) -> float | None:
    """The seconds of a Retry-After header, which may also be a date; None where there is none that can be read."""
    header = answer.headers.get("Retry-After")
    if header is None:
        return None
    try:
        return Retry().parse_retry_after(header)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _words(answer: requests.Response) -> str:
    """The beginning of the answer as one printable line; reading it to its end keeps the connection alive."""
    beginning = b""
    try:
        for block in answer.iter_content(_WORDS_BYTES):
            beginning = beginning or block
            if answer.raw.tell() > _WORDS_BYTES:
                break  # a long answer is no Heap's: give the connection up rather than read it
    except (requests.RequestException, HTTPError):
        pass
    text = beginning.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:_WORDS_SHOWN]


def _trouble(failure: Exception) -> str:
    """Why no answer came, in words that hold nothing of the request."""
    causes = tuple(map(type, _causes(failure)))
    for kind, trouble in (
        (ssl.SSLCertVerificationError, "the TLS certificate is not trusted"),
        (requests.exceptions.SSLError, "the TLS handshake failed"),
        (requests.exceptions.ProxyError, "the proxy on the way failed"),
        (requests.exceptions.ConnectTimeout, "no connection came about in time"),
        (requests.exceptions.Timeout, "no answer came in time"),
        (NameResolutionError, "the host's name is unknown"),
        (ConnectionRefusedError, "nothing listens"),
        (requests.exceptions.ConnectionError, "the connection failed"),
    ):
        if any(issubclass(cause, kind) for cause in causes):
            return trouble
    return "the request failed"


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The failure and what is below it; urllib3 hands a cause on as `reason`, requests as an argument."""
    pending: list[object] = [failure]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException):
            yield cause
            pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
