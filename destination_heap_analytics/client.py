"""One request to Heap, and its verdict.

    2xx that is no HTML page          TAKEN       Heap has the row
    400, 422                          REFUSED     a value breaks one of Heap's rules, or the app ID is unknown
    413                               TOO_LARGE   the body is larger than Heap takes
    401, 403, 404                     NO_ACCESS   the app ID, the host or the path is wrong
    3xx, 2xx with an HTML page        NOT_HEAP    something else answers at this address; redirects are not followed
    anything else, or no answer       LATER       Heap or the network does not serve now

Heap documents only 200 and 400 (https://developers.heap.io/reference/track-1); the rest is what stands before it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import orjson
import requests
from urllib3.exceptions import HTTPError, NameResolutionError

from destination_heap_analytics.heap_api import Endpoint
from destination_heap_analytics.version import VERSION

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 60.0
_WORDS_BYTES: Final = 4096
_WORDS_SHOWN: Final = 200


class Kind(Enum):
    """What an answer means for the row that was sent."""

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
    """

    kind: Kind
    status: int | None = None
    trouble: str = ""
    words: str = ""


class Client(Protocol):
    """Sends one element, and says what came of it."""

    def post(self, endpoint: Endpoint, element: Mapping[str, Any]) -> Verdict:
        """Send `element` as a single request."""
        ...


class HeapClient:
    """Heap at one base URL for one app, over one connection that is kept alive."""

    def __init__(
        self,
        base_url: str,
        app_id: str,
        *,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            base_url: scheme and host, without a slash at the end.
            app_id: goes into every body.
            timeout: seconds to connect, and between two bytes of the answer.
        """
        self._base_url = base_url
        self._app_id = app_id
        self._timeout = timeout
        self._session = _Session()
        self._session.headers.update(
            {"Content-Type": "application/json", "User-Agent": f"destination-heap-analytics/{VERSION}"}
        )

    def post(self, endpoint: Endpoint, element: Mapping[str, Any]) -> Verdict:
        """Send one element in a request of its own; every way it can end is a verdict."""
        body = orjson.dumps({"app_id": self._app_id, **element})
        try:
            with self._session.post(
                self._base_url + endpoint.path,
                data=body,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return _verdict(answer)
        except (requests.RequestException, HTTPError) as failure:
            return Verdict(Kind.LATER, trouble=_trouble(failure))

    def close(self) -> None:
        """Give the connection up."""
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
    return Verdict(_KINDS.get(status, Kind.LATER), status, words="" if is_page else words)


_KINDS: Final = {
    400: Kind.REFUSED,
    422: Kind.REFUSED,
    413: Kind.TOO_LARGE,
    401: Kind.NO_ACCESS,
    403: Kind.NO_ACCESS,
    404: Kind.NO_ACCESS,
}


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
