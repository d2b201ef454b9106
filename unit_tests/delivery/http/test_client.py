"""One request to Heap and its verdict: every possible outcome has one."""

from __future__ import annotations

import errno
import io
import ssl
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
import requests_mock
from urllib3.exceptions import LocationParseError, MaxRetryError, NameResolutionError, ProtocolError

from destination_heap_analytics.delivery.http.client import HeapClient, Kind, Verdict
from destination_heap_analytics.errors import ConfigError

HEAP = "https://heapanalytics.com"
PATH = "/api/track"
URL = HEAP + PATH
BODY = '{"app_id":"11","events":[{"née":"ü"}]}'.encode()


@cache
def client() -> HeapClient:
    """One client for all requests, as in a run: creating one loads all certificates."""
    return HeapClient(HEAP)


def answer(**response: Any) -> Verdict:
    with requests_mock.Mocker() as heap:
        heap.post(URL, **response)
        return client().post(PATH, BODY)


def test_a_body_is_posted_unchanged() -> None:
    """Under the documented header."""
    with requests_mock.Mocker() as heap:
        heap.post(URL, json={})
        HeapClient(HEAP).post(PATH, BODY)
        request = heap.last_request
    assert request is not None
    assert request.body == BODY
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("destination-heap-analytics/")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 3600 ", 3600.0),
        ("Fri, 21 Oct 2022 04:09:54 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        (None, None),
    ],
)
def test_how_long_heap_asks_to_wait(header: str | None, seconds: float | None) -> None:
    """In seconds, or as a date; an invalid header is ignored."""
    assert answer(status_code=503, headers={"Retry-After": header} if header is not None else {}).retry_after == seconds


def test_a_retry_after_date_is_converted_to_a_wait_from_now() -> None:
    """In the format of RFC 9110."""
    date = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
    seconds = answer(status_code=429, headers={"Retry-After": date}).retry_after
    assert seconds is not None
    assert 3000 < seconds <= 3600


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Fri, 21 Oct 2022 04:09:34 GMT", 20.0),
        ("Fri, 21 Oct 2022 05:09:54 GMT", 0.0),
        ("Friday, 21-Oct-22 04:09:34 GMT", 20.0),
    ],
)
def test_a_retry_after_date_is_compared_with_the_date_of_the_response(date: str, seconds: float) -> None:
    """The clock of this machine may be wrong."""
    headers = {"Retry-After": "Fri, 21 Oct 2022 04:09:54 GMT", "Date": date}
    assert answer(status_code=503, headers=headers).retry_after == seconds


def test_plain_http_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is only for this machine; a proxy would see the rows."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert not HeapClient("http://127.0.0.1:8470")._session.proxies
    assert HeapClient(HEAP)._session.proxies


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("no certificates", "not PEM")])
def test_certificates_that_cannot_be_read_are_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str | None, reason: str
) -> None:
    """They are checked before the first request; the message has the variable that sets them."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(bundle))
    with pytest.raises(ConfigError, match=reason) as wrong:
        HeapClient(HEAP)
    assert variable in str(wrong.value)
    assert str(bundle) in str(wrong.value)


def test_proxies_and_certificates_of_the_environment_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read once, because they are the same for every request."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    monkeypatch.setenv("NO_PROXY", "c.eu.heap-api.com")
    session = HeapClient(HEAP)._session
    assert (session.proxies["https"], session.verify) == ("http://proxy.example.com:3128", certifi.where())
    assert not HeapClient("https://c.eu.heap-api.com")._session.proxies


@pytest.mark.parametrize(
    "response",
    [
        {"json": {}},
        {"text": "OK", "headers": {"Content-Type": "application/json"}},
        {"status_code": 204},
        {"status_code": 202, "text": "thanks", "headers": {"Content-Type": "text/plain"}},
    ],
)
def test_any_success_that_is_not_a_page_means_accepted(response: dict[str, Any]) -> None:
    """The body is never parsed: it differs between Heap's APIs."""
    assert answer(**response).kind is Kind.ACCEPTED


KINDS = {
    413: Kind.TOO_LARGE,
    **dict.fromkeys((401, 404), Kind.NO_ACCESS),
    **dict.fromkeys((408, 425, 429), Kind.RETRYABLE),
}


@pytest.mark.parametrize("status", range(300, 600))
def test_every_other_status_has_its_verdict(status: int) -> None:
    """A redirect means that the server is not Heap, a refusal that rows are wrong; other failures may be temporary."""
    by_class = {3: Kind.NOT_HEAP, 4: Kind.REFUSED, 5: Kind.RETRYABLE}
    expected = KINDS.get(status, by_class[status // 100])
    verdict = answer(status_code=status)
    assert (verdict.kind, verdict.status) == (expected, status)


@pytest.mark.parametrize(
    "content_type", ["text/html", "text/html; charset=utf-8", "Text/HTML", "application/xhtml+xml;q=1", ""]
)
def test_a_page_with_status_200_is_not_heap(content_type: str) -> None:
    """A login page or a parked domain accepts everything and stores nothing."""
    verdict = answer(content=b"\xef\xbb\xbf\r\n<html>", headers={"Content-Type": content_type})
    assert (verdict.kind, verdict.trouble) == (Kind.NOT_HEAP, "an HTML page")


@pytest.mark.parametrize(
    ("location", "trouble"),
    [
        ("https://login.example.com/?next=a@example.com", "a redirect to login.example.com"),
        ("/login", "a redirect"),
        ("https://[::1", "a redirect"),
        (None, "a redirect"),
    ],
)
def test_a_redirect_is_not_followed(location: str | None, trouble: str) -> None:
    """Only its host is reported, because the rest may echo the row."""
    verdict = answer(status_code=302, headers={"Location": location} if location else {})
    assert (verdict.kind, verdict.trouble) == (Kind.NOT_HEAP, trouble)


def test_heaps_words_are_kept_short_and_printable() -> None:
    """Only the beginning of the response is kept."""
    verdict = answer(status_code=400, content=b"bad\x00\nrow \xff" + b"x" * 100_000)
    assert verdict.words.startswith("bad  row \ufffdxxx")
    assert len(verdict.words) == 200


def test_a_page_has_no_words() -> None:
    """Markup is not useful in a message."""
    assert answer(status_code=503, text="<html>", headers={"Content-Type": "text/html"}).words == ""


ERRORS = [
    (requests.exceptions.SSLError, "the TLS handshake failed"),
    (requests.exceptions.ProxyError, "proxy"),
    (requests.exceptions.ConnectTimeout, "connecting timed out"),
    (requests.exceptions.ReadTimeout, "the request timed out"),
    (requests.exceptions.ConnectionError, "the connection failed"),
    (requests.exceptions.RequestException, "the request failed"),
]


@pytest.mark.parametrize(("error", "trouble"), ERRORS)
def test_every_network_error_is_retryable(error: type[Exception], trouble: str) -> None:
    """The message has no text from the error, which may contain the row."""
    verdict = answer(exc=error("secret row"))
    assert (verdict.kind, verdict.status) == (Kind.RETRYABLE, None)
    assert trouble in verdict.trouble
    assert "secret" not in repr(verdict)


def test_a_process_without_descriptors_says_so() -> None:
    """Heap is not to blame, and it may be temporary."""
    cause = OSError(errno.EMFILE, "Too many open files")
    for error in (cause, requests.exceptions.ConnectionError(MaxRetryError(None, "/", cause))):  # type: ignore[arg-type]
        verdict = answer(exc=error)
        assert (verdict.kind, verdict.trouble) == (Kind.RETRYABLE, "this process has run out of file descriptors")


def test_an_error_of_urllib3_that_requests_does_not_catch_is_retryable() -> None:
    """Such as errors about addresses that requests cannot parse."""
    assert answer(exc=LocationParseError("https://a..b")) == Verdict(Kind.RETRYABLE, None, "the request failed")


class _BreakingBody(io.BytesIO):
    def read(self, *_: Any) -> bytes:
        raise ProtocolError("secret row")


@pytest.mark.parametrize(("status", "kind"), [(200, Kind.ACCEPTED), (400, Kind.REFUSED), (500, Kind.RETRYABLE)])
def test_a_truncated_body_does_not_change_the_verdict(status: int, kind: Kind) -> None:
    """The status has arrived, and is sufficient."""
    assert answer(status_code=status, body=_BreakingBody()) == Verdict(kind, status)


def test_every_exception_of_requests_has_a_verdict() -> None:
    """A new one in a later version of requests too."""
    kinds = [kind for kind in vars(requests.exceptions).values() if isinstance(kind, type)]
    mine = [kind for kind in kinds if issubclass(kind, requests.RequestException) and kind.__init__ is not None]
    assert len(mine) > 15
    for kind in mine:
        try:
            error = kind("x")
        except TypeError:
            error = kind("x", "doc", 0)  # a JSON error says where
        assert answer(exc=error).kind is Kind.RETRYABLE


@pytest.mark.parametrize(
    ("cause", "trouble"),
    [
        (NameResolutionError("heap.invalid", None, OSError()), "the host name cannot be resolved"),  # type: ignore[arg-type]
        (ConnectionRefusedError(111, "Connection refused"), "the connection was refused"),
        (ConnectionResetError(104, "reset"), "the connection failed"),
    ],
)
def test_the_cause_of_a_failed_connection_is_reported(cause: Exception, trouble: str) -> None:
    """The remedies differ."""
    error = requests.exceptions.ConnectionError(MaxRetryError(None, "/", cause))  # type: ignore[arg-type]
    assert answer(exc=error).trouble == trouble


def test_an_untrusted_certificate_is_distinguished_from_a_server_without_tls() -> None:
    """The first is fixed on the server, the second in the settings."""
    error = requests.exceptions.SSLError(MaxRetryError(None, "/", ssl.SSLCertVerificationError("x")))  # type: ignore[arg-type]
    assert answer(exc=error).trouble == "the TLS certificate is not trusted"


def test_a_closed_client_closes_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all connections that were kept alive."""
    closed: list[bool] = []
    monkeypatch.setattr(requests.Session, "close", lambda _: closed.append(True))
    HeapClient(HEAP).close()
    assert closed == [True]
