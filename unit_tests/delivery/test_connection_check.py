"""One event proves that Heap can be reached; its verdict is explained in a sentence."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from destination_heap_analytics.delivery.connection_check import PREFLIGHT_EVENT, explain, preflight, preflight_request
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.heap_api import Api

HEAP = "https://heapanalytics.com"
EVENT = preflight_request(Api.TRACK, "11")


class Stub:
    """A client whose requests end in one verdict, or never."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.release = threading.Event()

    def post(self, path: str, body: bytes) -> Verdict:
        self.sent.append((path, json.loads(body)))
        if self.verdict is None:
            self.release.wait(60)
        return self.verdict or Verdict(Kind.ACCEPTED, 200)

    def cut_overdue(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def test_the_event_is_always_the_same() -> None:
    """Name, identity, time and key are fixed, so that Heap keeps one copy however often it is sent."""
    client = Stub(Verdict(Kind.ACCEPTED, 200))
    assert preflight(client, EVENT, seconds=60).kind is Kind.ACCEPTED
    assert preflight(client, EVENT, seconds=60).kind is Kind.ACCEPTED
    assert client.sent == 2 * [("/api/track", {"app_id": "11", **PREFLIGHT_EVENT})]
    assert set(PREFLIGHT_EVENT) == {"identity", "event", "timestamp", "idempotency_key", "properties"}


def test_the_wait_is_bounded_as_a_whole() -> None:
    """A server that never completes its response cannot block the form."""
    client = Stub(None)
    try:
        verdict = preflight(client, EVENT, seconds=0.01)
    finally:
        client.release.set()
    assert (verdict.kind, verdict.status) == (Kind.RETRYABLE, None)
    assert "the request timed out after" in verdict.trouble


def test_a_defect_of_the_client_is_raised_where_it_is_waited_for() -> None:
    """It must not look like a time-out."""

    class Broken(Stub):
        def post(self, *_: Any) -> Verdict:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        preflight(Broken(None), EVENT, seconds=60)


def test_once_heap_has_accepted_something_its_address_is_known_to_be_right() -> None:
    """Then a lost connection is not blamed on the settings."""
    sentence = explain(Verdict(Kind.RETRYABLE, None, "the connection failed"), HEAP, reached=True)
    assert sentence == f"Heap stopped responding: the connection failed at {HEAP}. Run the sync again."


@pytest.mark.parametrize(
    ("verdict", "setting", "remedy"),
    [
        (Verdict(Kind.NOT_HEAP, 302, "a redirect"), "`base_url` is not Heap's API", "Use https://heapanalytics.com"),
        (Verdict(Kind.NOT_HEAP, 200, "an HTML page"), "returned an HTML page", "https://c.eu.heap-api.com"),
        (Verdict(Kind.RETRYABLE, None, "the connection failed"), "`base_url` cannot be reached", "Check its spelling"),
        (Verdict(Kind.REFUSED, 400), "`app_id` was refused", "Account > Manage > Projects"),
        (Verdict(Kind.NO_ACCESS, 401), "`app_id` or `base_url` is wrong", "returned 401 Unauthorized"),
        (Verdict(Kind.NO_ACCESS, 404), "`app_id` or `base_url` is wrong", "Use the environment ID"),
        (Verdict(Kind.LOCKED_OUT, 401), "`app_id` or `api.api_key` was refused", "Privacy & Security"),
        (Verdict(Kind.RETRYABLE, 503), "Heap is unavailable", "Try again later"),
        (Verdict(Kind.RETRYABLE, 599), "returned 599.", "Try again later"),
        (Verdict(Kind.RETRYABLE, 429), "Heap received too many requests", "Run the sync again later"),
        (Verdict(Kind.RETRYABLE, 501), "`base_url` may not be Heap's API", "Use https://heapanalytics.com"),
        (Verdict(Kind.RETRYABLE, 777), "returned 777, which Heap never does", "Use https://heapanalytics.com"),
        (Verdict(Kind.TOO_LARGE, 413), "`app_id` or `base_url` is wrong", "Use the environment ID"),
        (Verdict(Kind.REFUSED, 403), "returned 403 Forbidden", "Check that no firewall blocks"),
    ],
)
def test_a_failure_names_the_setting_and_the_remedy(verdict: Verdict, setting: str, remedy: str) -> None:
    """Without any text from the response."""
    sentence = explain(verdict, HEAP)
    assert setting in sentence
    assert remedy in sentence
    assert HEAP in sentence


@pytest.mark.parametrize("api", [api for api in Api if api is not Api.DELETE_USERS])
def test_each_api_that_writes_has_an_event(api: Api) -> None:
    """Always the same one: only Track has a harmless request."""
    assert preflight_request(api, "11") == EVENT


def test_a_token_is_needed_for_deletions() -> None:
    """Nothing is written to an account from which users are to be deleted."""
    assert preflight_request(Api.DELETE_USERS, "11") == ("/api/public/v0/auth_token", b"")


@pytest.mark.parametrize(
    ("base_url", "port"), [("http://127.0.0.1:8470", 8470), ("http://host.docker.internal", 80), ("http://[::1]:9", 9)]
)
def test_a_sandbox_that_does_not_run_can_be_started(base_url: str, port: int) -> None:
    """At an address of this machine, which is not Heap's."""
    sentence = explain(Verdict(Kind.RETRYABLE, None, "the connection was refused"), base_url)
    assert sentence.startswith(f"No server is listening at {base_url}: the connection was refused. Start a sandbox")
    assert f"`heap-sandbox --port {port}`" in sentence
