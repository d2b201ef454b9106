"""Posts one request to Heap and classifies the response.

    2xx other than an HTML page         ACCEPTED    Heap has accepted the rows
    408, 425, 429, 5xx, no response     RETRYABLE   Heap or the network is unavailable
    413                                 TOO_LARGE   the body is larger than Heap accepts
    401, 404                            NO_ACCESS   the app ID, the host or the path is wrong
    401 to an API key (deletion.py)     LOCKED_OUT  the app ID or its API key is wrong
    any other 4xx                       REFUSED     a row breaks one of Heap's rules, or the app ID is unknown
    3xx, 2xx with an HTML page          NOT_HEAP    another server is at this address; redirects are not followed

Heap documents only 200 and 400 (https://developers.heap.io/reference/track-1); other statuses come from the servers in
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
"""The time limit of a request, from connecting to the last byte of the response, in addition to sending its body."""

SEND_SECONDS: Final = 10.0
SEND_BYTES_PER_SECOND: Final = 10_000
"""Sending a body may take `SEND_SECONDS` plus its size at this rate, which is the slowest supported network."""

REFUSED_CONNECTION: Final = "the connection was refused"
"""The trouble if no server is listening at an address."""

_WORDS_BYTES: Final = 4096
_WORDS_SHOWN: Final = 200


class Kind(Enum):
    """What a response means for the rows that were sent."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    TOO_LARGE = "too large"
    NO_ACCESS = "no access"
    LOCKED_OUT = "locked out"
    NOT_HEAP = "not Heap"
    RETRYABLE = "retryable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one request.

    Attributes:
        status: the HTTP status; None if there was no response.
        trouble: why there was no response, or why it is not Heap's; never text from the response.
        words: the beginning of an error response. It may echo the row, so it is only for stored rows and `check`, never
            for a log.
        retry_after: the minimum number of seconds to wait, if the response has one.
        was_sent: whether the whole body was sent within its time limit.
        content: the beginning of the response to an accepted request, for APIs that return data.
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
        """Whether Heap refused the rows or the app."""
        return self.kind in {Kind.REFUSED, Kind.TOO_LARGE, Kind.NO_ACCESS}

    @property
    def breaks_a_rule(self) -> bool:
        """Whether Heap uses this status for rows that break its rules; firewalls use others."""
        return self.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


class Client(Protocol):
    """Posts requests."""

    def post(self, path: str, body: bytes) -> Verdict:
        """Post `body` and return the outcome; called by several threads at the same time."""
        ...

    def cut_overdue(self) -> None:
        """Abort requests that take too long."""
        ...

    def close(self) -> None:
        """Abort requests in flight, and accept no more."""
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
            ConfigError: the CA certificates set in the environment cannot be read.

        Args:
            base_url: scheme and host, without a trailing slash.
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
        # Plain HTTP is only for this machine (config/): through a proxy, rows would leave it unencrypted.
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
        """Send one request of any method, with its own headers; every outcome is a verdict."""
        request = requests.Request(method, self._base_url + path, headers=dict(headers), data=body)
        return self._exchange(lambda: self._sent(self._session.prepare_request(request)), len(body))

    def _exchange(self, send: Callable[[], Verdict], size: int) -> Verdict:
        send_seconds = SEND_SECONDS + size / SEND_BYTES_PER_SECOND
        deadline = time.monotonic() + REQUEST_SECONDS + size / SEND_BYTES_PER_SECOND
        try:
            with self._connections.until(deadline, send_seconds):
                return send()
        except (OSError, HTTPError) as failure:  # the errors of requests are OSErrors too
            causes = tuple(_causes(failure))
            was_sent = not any(isinstance(cause, SendTimeoutError) for cause in causes)
            return Verdict(Kind.RETRYABLE, trouble=_trouble(causes), was_sent=was_sent)

    def _sent(self, request: requests.PreparedRequest) -> Verdict:
        with self._session.send(request, timeout=self._timeout, allow_redirects=False, stream=True) as response:
            return _verdict(response.status_code, response.headers, _beginning(response))

    def _post(self, path: str, body: bytes) -> Verdict:
        """Post over an open connection if there is one, otherwise over a new one."""
        if path not in self._prepared:
            request = self._session.prepare_request(requests.Request("POST", self._base_url + path))
            self._prepared[path] = request, _head(request)
        prepared, head = self._prepared[path]
        try:
            response = self._connections.again(head % len(body), body, self._timeout[1])
        except (HTTPException, ssl.SSLError, ConnectionError) as failure:
            raise requests.ConnectionError(failure) from failure
        if response is not None:
            content = b"" if "content-encoding" in response.fields else response.body
            return _verdict(response.status, CaseInsensitiveDict(response.fields), content)
        request = prepared.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        return self._sent(request)

    def cut_overdue(self) -> None:
        """Abort requests that are past their deadline; their verdict is RETRYABLE."""
        self._connections.cut(time.monotonic())

    def close(self) -> None:
        """Abort requests in flight, and close the connections."""
        self._connections.cut(float("inf"))
        self._session.close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # the base's signature
        """None, because a redirect is a verdict. By default, requests parses its address and fails if it is invalid."""
        return None


def _head(request: requests.PreparedRequest) -> bytes:
    """The request line and headers of a POST, as http.client sends them, with `%d` for the length of its body.

    No compression is requested: responses are short.
    """
    headers = {**request.headers, "Host": urlsplit(request.url or "").netloc, "Accept-Encoding": "identity"}
    headers.pop("Content-Length", None)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join([f"POST {request.path_url} HTTP/1.1", *lines])
    return text.replace("%", "%%").encode("latin-1") + b"\r\nContent-Length: %d\r\n\r\n"


def _verdict(status: int, headers: Mapping[str, str], content: bytes) -> Verdict:
    """Classify by status and headers. The body may be truncated; it is only used to detect a page without a type."""
    words = printable_words(content)
    is_page = _is_page(headers.get("Content-Type", ""), words)
    if 200 <= status < 300:  # noqa: PLR2004  # the classes of HTTP statuses
        if is_page:
            return Verdict(Kind.NOT_HEAP, status, "an HTML page")
        return Verdict(Kind.ACCEPTED, status, content=content)
    if 300 <= status < 400:  # noqa: PLR2004
        try:
            host = urlsplit(headers.get("Location", "")).hostname
        except ValueError:
            host = None
        return Verdict(Kind.NOT_HEAP, status, f"a redirect to {host}" if host else "a redirect")
    is_refusal = 400 <= status < 500  # noqa: PLR2004
    kind = _KINDS.get(status, Kind.REFUSED if is_refusal else Kind.RETRYABLE)
    return Verdict(kind, status, words="" if is_page else words, retry_after=_retry_after(headers))


_KINDS: Final = {
    401: Kind.NO_ACCESS,
    404: Kind.NO_ACCESS,
    408: Kind.RETRYABLE,
    413: Kind.TOO_LARGE,
    425: Kind.RETRYABLE,
    429: Kind.RETRYABLE,
}


def _is_page(content_type: str, words: str) -> bool:
    """Whether a response is an HTML page, such as a login or a parked domain; Heap's are JSON or text."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in _PAGES or (not media_type and words.lstrip("\ufeff ").startswith("<"))


_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait in a Retry-After header, given in seconds or as a date; None if there is none or it cannot be parsed.

    A date is compared with the response's Date header: the clock of this machine may be wrong.
    """
    header = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", header):
        return float(header)
    if (come_back := _time(header)) is None:
        return None
    date = _time(headers.get("Date", ""))
    return max(0.0, come_back - (time.time() if date is None else date))


def _time(header: str) -> float | None:
    """An HTTP date in seconds since the epoch; None if it is invalid."""
    parsed = parsedate_tz(header)
    try:
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError):
        return None


def _beginning(response: requests.Response) -> bytes:
    """The beginning of the body. A short body is read to its end, which keeps the connection alive."""
    beginning = b""
    try:
        for block in response.iter_content(_WORDS_BYTES):
            beginning = beginning or block
            if response.raw.tell() > _WORDS_BYTES:
                break  # Heap's responses are shorter: close the connection rather than read on
    except (requests.RequestException, HTTPError):
        pass
    return beginning


def printable_words(content: bytes) -> str:
    """The beginning of a body as one printable line."""
    text = content.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:_WORDS_SHOWN]


def _trouble(causes: Sequence[BaseException]) -> str:
    """Why there was no response, without any content of the request."""
    if any(getattr(cause, "errno", None) in {errno.EMFILE, errno.ENFILE} for cause in causes):
        return "this process has run out of file descriptors"
    for kind, trouble in (
        (SendTimeoutError, "the request could not be sent in time"),
        (ssl.SSLCertVerificationError, "the TLS certificate is not trusted"),
        (requests.exceptions.SSLError, "the TLS handshake failed"),
        (requests.exceptions.ProxyError, "the proxy failed"),
        (requests.exceptions.ConnectTimeout, "connecting timed out"),
        (requests.exceptions.Timeout, "the request timed out"),
        (TimeoutError, "the request timed out"),
        (NameResolutionError, "the host name cannot be resolved"),
        (ConnectionRefusedError, REFUSED_CONNECTION),
        (requests.exceptions.ConnectionError, "the connection failed"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return trouble
    return "the request failed"


def _check_certificates(path: str) -> None:
    """Check the CA certificates set in the environment; otherwise every request would fail."""
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
    """The failure and its causes; urllib3 stores a cause as `reason`, requests as an argument."""
    pending: list[object] = [failure]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException):
            yield cause
            pending += [cause.__cause__, getattr(cause, "reason", None), *cause.args]
