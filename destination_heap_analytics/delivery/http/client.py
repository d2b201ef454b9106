"""Posts one request to Heap and classifies the response.

    2xx other than an HTML page         TAKEN       Heap has accepted the rows
    408, 425, 429, 5xx, or no answer    LATER       Heap or the network is unavailable
    413                                 TOO_LARGE   the body is larger than Heap accepts
    401, 404                            NO_ACCESS   the app ID, the host or the path is wrong
    401 to an API key (deletion.py)     LOCKED_OUT  the app ID or its API key is wrong
    any other 4xx                       REFUSED     a row breaks one of Heap's rules, or the app ID is unknown
    3xx, 2xx with an HTML page          NOT_HEAP    something else answers at this address; redirects are not followed

Heap documents only 200 and 400 (https://developers.heap.io/reference/track-1); other statuses come from what is in
front of it.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from enum import Enum
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, NameResolutionError

from destination_heap_analytics.delivery.http.transport import Connections, SendTimeoutError
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.version import VERSION

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 60.0
REQUEST_SECONDS: Final = 90.0
"""The limit of a whole request, from connecting to the last byte of the response, plus the time to send its body."""

SEND_SECONDS: Final = 10.0
SEND_BYTES_PER_SECOND: Final = 10_000
"""Sending a body may take `SEND_SECONDS` plus its size at this rate, which is the slowest supported network."""

REFUSED_CONNECTION: Final = "the connection was refused"
"""No server listens at an address."""

_WORDS_BYTES: Final = 4096
_WORDS_SHOWN: Final = 200


class Kind(Enum):
    """What a response means for the rows that were sent."""

    TAKEN = "taken"
    REFUSED = "refused"
    TOO_LARGE = "too large"
    NO_ACCESS = "no access"
    LOCKED_OUT = "locked out"
    NOT_HEAP = "not Heap"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one request.

    Attributes:
        status: the HTTP status; None if there was no response.
        trouble: why there was no response, or why it is not Heap's, in a few words of our own.
        words: the beginning of the response. It may echo the row, so it is for stored rows and `check`, never a log.
        retry_after: the least number of seconds to wait, if the response says so.
        was_sent: whether the whole body was sent within its time limit.
        content: the beginning of an accepted request's answer, for APIs whose answer says something.
    """

    kind: Kind
    status: int | None = None
    trouble: str = ""
    words: str = ""
    retry_after: float | None = None
    was_sent: bool = True
    content: bytes = b""

    @property
    def is_refusal(self) -> bool:
        """Whether the rows, or the app, were refused."""
        return self.kind in {Kind.REFUSED, Kind.TOO_LARGE, Kind.NO_ACCESS}

    @property
    def breaks_a_rule(self) -> bool:
        """Whether the status is the one with which Heap refuses what breaks its rules; firewalls use others."""
        return self.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


class Client(Protocol):
    """Posts requests."""

    def post(self, path: str, body: bytes) -> Verdict:
        """Post `body` and return the outcome; used by several threads at once."""
        ...

    def cut_overdue(self) -> None:
        """Abort requests that take too long."""
        ...

    def close(self) -> None:
        """Abort what is in flight, and accept no more."""
        ...


class HeapClient:
    """Heap at one base URL, over keep-alive connections."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        connections: int = 1,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Raises:
            ConfigError: the environment names CA certificates that cannot be read.

        Args:
            base_url: scheme and host, without a slash at the end.
            timeout: seconds to connect, and between two bytes of the response.
            connections: how many to keep alive; one per thread that posts.
        """
        self._base_url = base_url
        self._timeout = timeout
        self._connections = Connections(connections)
        self._prepared: dict[str, tuple[requests.PreparedRequest, bytes]] = {}
        self._session = _Session()
        self._session.mount("http://", self._connections)
        self._session.mount("https://", self._connections)
        # The environment's proxies and certificates are the same for every request: read them once.
        environment = self._session.merge_environment_settings(base_url, {}, None, None, None)
        self._session.trust_env = False
        # Plain HTTP is for this machine alone (config/): through a proxy the rows would leave it unencrypted.
        self._session.proxies = environment["proxies"] if base_url.startswith("https:") else {}
        if isinstance(verify := environment["verify"], str) and base_url.startswith("https:"):
            _check_certificates(verify)
        self._session.verify = verify
        self._session.headers.update(
            {"Content-Type": "application/json", "User-Agent": f"destination-heap-analytics/{VERSION}"}
        )

    def post(self, path: str, body: bytes) -> Verdict:
        """Post one request; every outcome is a verdict."""
        return self._exchange(lambda: self._post(path, body), len(body))

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Verdict:
        """The same for a request of any method, with its own headers."""
        request = requests.Request(method, self._base_url + path, headers=dict(headers), data=body)
        return self._exchange(lambda: self._sent(self._session.prepare_request(request)), len(body))

    def _exchange(self, send: Callable[[], Verdict], size: int) -> Verdict:
        send_seconds = SEND_SECONDS + size / SEND_BYTES_PER_SECOND
        deadline = time.monotonic() + REQUEST_SECONDS + size / SEND_BYTES_PER_SECOND
        try:
            with self._connections.until(deadline, send_seconds):
                return send()
        except (OSError, HTTPError) as failure:  # OSError: what requests raises, and what it does not catch
            causes = tuple(_causes(failure))
            was_sent = not any(isinstance(cause, SendTimeoutError) for cause in causes)
            return Verdict(Kind.LATER, trouble=_trouble(causes), was_sent=was_sent)

    def _sent(self, request: requests.PreparedRequest) -> Verdict:
        with self._session.send(request, timeout=self._timeout, allow_redirects=False, stream=True) as answer:
            return _verdict(answer.status_code, answer.headers, _beginning(answer))

    def _post(self, path: str, body: bytes) -> Verdict:
        """Post over a connection that is open already, or else by a new one."""
        if path not in self._prepared:
            request = self._session.prepare_request(requests.Request("POST", self._base_url + path))
            self._prepared[path] = request, _head(request)
        prepared, head = self._prepared[path]
        try:
            answer = self._connections.again(head % len(body), body, self._timeout[1])
        except (HTTPException, ssl.SSLError, ConnectionError) as failure:
            raise requests.ConnectionError(failure) from failure
        if answer is not None:
            content = b"" if "content-encoding" in answer.fields else answer.body
            return _verdict(answer.status, CaseInsensitiveDict(answer.fields), content)
        request = prepared.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        return self._sent(request)

    def cut_overdue(self) -> None:
        """Abort requests that are past their deadline; their verdict is LATER."""
        self._connections.cut(time.monotonic())

    def close(self) -> None:
        """Abort what is in flight, and close the connections."""
        self._connections.cut(float("inf"))
        self._session.close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # the base's signature
        """None: a redirect is a verdict. By default requests parses its address and fails on a bad one."""
        return None


def _head(request: requests.PreparedRequest) -> bytes:
    """The request line and headers of a POST, as http.client sends them, with `%d` for the length of its body.

    No coding is asked for: answers are short.
    """
    headers = {**request.headers, "Host": urlsplit(request.url or "").netloc, "Accept-Encoding": "identity"}
    headers.pop("Content-Length", None)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join([f"POST {request.path_url} HTTP/1.1", *lines])
    return text.replace("%", "%%").encode("latin-1") + b"\r\nContent-Length: %d\r\n\r\n"


def _verdict(status: int, headers: Mapping[str, str], content: bytes) -> Verdict:
    """Classify by status and headers. The body may be truncated or anything; it only reveals a page without a type."""
    words = printable_words(content)
    is_page = _is_page(headers.get("Content-Type", ""), words)
    if 200 <= status < 300:  # noqa: PLR2004  # the classes of HTTP statuses
        if is_page:
            return Verdict(Kind.NOT_HEAP, status, "an HTML page")
        return Verdict(Kind.TAKEN, status, content=content)
    if 300 <= status < 400:  # noqa: PLR2004
        try:
            host = urlsplit(headers.get("Location", "")).hostname
        except ValueError:
            host = None
        return Verdict(Kind.NOT_HEAP, status, f"a redirect to {host}" if host else "a redirect")
    is_refusal = 400 <= status < 500  # noqa: PLR2004
    kind = _KINDS.get(status, Kind.REFUSED if is_refusal else Kind.LATER)
    return Verdict(kind, status, words="" if is_page else words, retry_after=_retry_after(headers))


_KINDS: Final = {
    401: Kind.NO_ACCESS,
    404: Kind.NO_ACCESS,
    408: Kind.LATER,
    413: Kind.TOO_LARGE,
    425: Kind.LATER,
    429: Kind.LATER,
}


def _is_page(content_type: str, words: str) -> bool:
    """Whether a response is a page for people, such as a login or a parked domain; Heap's are JSON or text."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in _PAGES or (not media_type and words.lstrip("\ufeff ").startswith("<"))


_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait in a Retry-After header, given in seconds or as a date; None if there is none or it cannot be parsed.

    A date is compared with the response's own Date: the clock of this machine may be wrong.
    """
    header = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", header):
        return float(header)
    if (come_back := _time(header)) is None:
        return None
    date = _time(headers.get("Date", ""))
    return max(0.0, come_back - (time.time() if date is None else date))


def _time(header: str) -> float | None:
    """The seconds since the epoch of an HTTP date; None if it is not one."""
    parsed = parsedate_tz(header)
    try:
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError):
        return None


def _beginning(answer: requests.Response) -> bytes:
    """The beginning of the body; reading it to its end keeps the connection alive."""
    beginning = b""
    try:
        for block in answer.iter_content(_WORDS_BYTES):
            beginning = beginning or block
            if answer.raw.tell() > _WORDS_BYTES:
                break  # Heap's responses are shorter: close the connection rather than read on
    except (requests.RequestException, HTTPError):
        pass
    return beginning


def printable_words(content: bytes) -> str:
    """The beginning of a body as one printable line."""
    text = content.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:_WORDS_SHOWN]


def _trouble(causes: Sequence[BaseException]) -> str:
    """Why there was no response, in words that contain nothing of the request."""
    if any(getattr(cause, "errno", None) in {errno.EMFILE, errno.ENFILE} for cause in causes):
        return "this process has run out of file descriptors"
    for kind, trouble in (
        (SendTimeoutError, "the request could not be sent in time"),
        (ssl.SSLCertVerificationError, "the TLS certificate is not trusted"),
        (requests.exceptions.SSLError, "the TLS handshake failed"),
        (requests.exceptions.ProxyError, "the proxy failed"),
        (requests.exceptions.ConnectTimeout, "connecting timed out"),
        (requests.exceptions.Timeout, "no answer came in time"),
        (TimeoutError, "no answer came in time"),
        (NameResolutionError, "the host name cannot be resolved"),
        (ConnectionRefusedError, REFUSED_CONNECTION),
        (requests.exceptions.ConnectionError, "the connection failed"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return trouble
    return "the request failed"


def _check_certificates(path: str) -> None:
    """Check the CA certificates that the environment names, which would otherwise fail at every request."""
    try:
        if Path(path).is_dir():
            ssl.create_default_context(capath=path)
        else:
            ssl.create_default_context(cafile=path)
    except OSError as failure:  # an SSLError is one too
        variable = next((name for name in _CA_VARIABLES if os.environ.get(name) == path), _CA_VARIABLES[0])
        reason = "are not PEM" if isinstance(failure, ssl.SSLError) else f"cannot be read: {failure.strerror}"
        raise ConfigError(
            f"The CA certificates in {path}, set by the environment variable {variable}, {reason}. "
            f"Correct {variable}, or unset it to use the certificates that come with the connector."
        ) from None


_CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The failure and its causes; urllib3 passes a cause on as `reason`, requests as an argument."""
    pending: list[object] = [failure]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException):
            yield cause
            pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
