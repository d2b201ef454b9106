"""A deletion request gets its response when the users are deleted, despite failures on the way."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock

from destination_heap_analytics.delivery.http.client import HeapClient, Kind, Verdict
from destination_heap_analytics.delivery.http.deletion import DeletionClient

HEAP = "https://heapanalytics.com"
TOKEN, SUBMIT, STATUS = (
    f"{HEAP}/api/public/v0/{name}" for name in ("auth_token", "user_deletion", "deletion_status/r1")
)
BODY = b'{"users":[{"identity":"a@example.com"}]}'
PENDING, COMPLETE = ({"json": {"deletion_request_id": "r1", "status": status}} for status in ("pending", "complete"))
SUBMITTED = {"status_code": 201, "json": {"deletion_request_id": "r1", "status": "pending"}}
GRANTED = {"json": {"access_token": "t1"}}
UNAUTHORIZED = {"status_code": 401, "json": {"err": {"message": "Unauthorized"}}}
UNAVAILABLE = {"status_code": 503}


class Service:
    """Heap's three endpoints, each with its responses in turn, the last repeated, and a clock that waits advance."""

    def __init__(self, heap: requests_mock.Mocker) -> None:
        self.heap = heap
        self.now = 0.0
        self.closes_at = float("inf")
        self.client = DeletionClient(HeapClient(HEAP), "11", "key", clock=lambda: self.now, wait=self.wait)
        self.answer()

    def answer(self, token: Any = GRANTED, submit: Any = SUBMITTED, status: Any = COMPLETE) -> None:
        for method, url, answers in (("POST", TOKEN, token), ("POST", SUBMIT, submit), ("GET", STATUS, status)):
            self.heap.register_uri(method, url, answers if isinstance(answers, list) else [answers])

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now >= self.closes_at

    def post(self, path: str = "/api/public/v0/user_deletion", body: bytes = BODY) -> Verdict:
        return self.client.post(path, body)

    @property
    def asked(self) -> list[str]:
        return [request.url.rpartition("/")[2] for request in self.heap.request_history]


@pytest.fixture
def service() -> Iterator[Service]:
    with requests_mock.Mocker() as heap:
        yield Service(heap)


def test_a_deletion_request_is_polled_until_it_is_complete(service: Service) -> None:
    """With a token for the app ID and its key; the body is sent unchanged."""
    service.answer(status=[PENDING, PENDING, COMPLETE])
    assert service.post() == Verdict(Kind.ACCEPTED, 200)
    assert service.asked == ["auth_token", "user_deletion", "r1", "r1", "r1"]
    login, submit, status = service.heap.request_history[:3]
    assert base64.b64decode(login.headers["Authorization"].removeprefix("Basic ")) == b"11:key"
    assert {request.headers["Authorization"] for request in (submit, status)} == {"Bearer t1"}
    assert submit.body == BODY


def test_a_token_is_used_again_and_renewed_before_it_is_five_minutes_old(service: Service) -> None:
    """However long Heap takes to delete."""
    ages: list[float] = []

    def status(request: Any, _context: Any) -> Any:
        ages.append(service.now - float(request.headers["Authorization"].removeprefix("Bearer ")))
        return PENDING["json"]

    service.answer(token={"json": lambda *_: {"access_token": str(service.now)}}, status={"json": status})
    service.closes_at = 3600.0
    assert service.post().kind is Kind.RETRYABLE
    assert 200 < max(ages) < 300
    assert service.asked.count("auth_token") < 3600 / 200


def test_a_token_that_heap_refuses_early_is_renewed_once(service: Service) -> None:
    """A second refusal is final."""
    service.answer(token=[GRANTED, {"json": {"access_token": "t2"}}], status=[UNAUTHORIZED, COMPLETE])
    assert service.post().kind is Kind.ACCEPTED
    assert service.asked == ["auth_token", "user_deletion", "r1", "auth_token", "r1"]
    service.answer(submit=UNAUTHORIZED)
    assert service.post() == Verdict(Kind.LOCKED_OUT, 401, "Unauthorized")


@pytest.mark.parametrize(
    ("token", "verdict"),
    [
        (UNAUTHORIZED, Verdict(Kind.LOCKED_OUT, 401, "Unauthorized")),
        (
            {"status_code": 400, "json": {"error": "x", "message": "No such app"}},
            Verdict(Kind.LOCKED_OUT, 400, "No such app"),
        ),
        ({"json": {"err": {"message": "Unauthorized"}}}, Verdict(Kind.LOCKED_OUT, 200, "Unauthorized")),
        ({"json": {"err": "Unauthorized"}}, Verdict(Kind.LOCKED_OUT, 200, "Unauthorized")),
        ({"json": {"error": {"message": "no\nentry"}}}, Verdict(Kind.LOCKED_OUT, 200, "no entry")),
        ({"json": {}}, Verdict(Kind.NOT_HEAP, 200, "no `access_token`")),
        ({"json": {"access_token": 1}}, Verdict(Kind.NOT_HEAP, 200, "no `access_token`")),
        ({"json": {"access_token": "a\r\nb"}}, Verdict(Kind.NOT_HEAP, 200, "no `access_token`")),
        ({"text": "OK"}, Verdict(Kind.NOT_HEAP, 200, "no `access_token`")),
        ({"status_code": 404}, Verdict(Kind.NO_ACCESS, 404)),
        (UNAVAILABLE, Verdict(Kind.RETRYABLE, 503)),
    ],
)
def test_without_a_token_nothing_is_submitted(service: Service, token: Any, verdict: Verdict) -> None:
    """Heap reports errors in several forms."""
    service.answer(token=token)
    assert service.post() == verdict
    assert service.post("/api/public/v0/auth_token", b"") == verdict
    assert "user_deletion" not in service.asked


@pytest.mark.parametrize(
    ("submit", "kind", "status"),
    [
        ({"status_code": 400, "json": {"err": {"message": "bad"}}}, Kind.REFUSED, 400),
        ({"status_code": 201, "json": {"err": {"message": "bad"}}}, Kind.REFUSED, 400),
        ({"status_code": 413}, Kind.TOO_LARGE, 413),
        ({"status_code": 429}, Kind.RETRYABLE, 429),
        (UNAVAILABLE, Kind.RETRYABLE, 503),
        ({"status_code": 404}, Kind.NO_ACCESS, 404),
        ({"status_code": 201, "json": {}}, Kind.NOT_HEAP, 201),
        ({"status_code": 201, "json": {"deletion_request_id": None}}, Kind.NOT_HEAP, 201),
        ({"status_code": 201, "text": "[1"}, Kind.NOT_HEAP, 201),
    ],
)
def test_a_failure_to_submit_is_a_verdict_like_any_other(
    service: Service, submit: Any, kind: Kind, status: int
) -> None:
    """The delivery splits, retries or stops as for other requests."""
    service.answer(submit=submit)
    verdict = service.post()
    assert (verdict.kind, verdict.status) == (kind, status)
    assert "r1" not in service.asked


def test_an_outage_while_polling_does_not_submit_the_request_again(service: Service) -> None:
    """Heap keeps deleting in the meantime."""
    service.answer(status=[PENDING, UNAVAILABLE, {"status_code": 429, "headers": {"Retry-After": "30"}}, COMPLETE])
    assert service.post().kind is Kind.ACCEPTED
    assert service.asked.count("user_deletion") == 1
    assert service.now > 30


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (UNAVAILABLE, Verdict(Kind.RETRYABLE, 503)),
        ({"status_code": 404}, Verdict(Kind.RETRYABLE, 404, "a deletion request that was accepted is now unknown")),
        ({"json": {"status": "failed"}}, Verdict(Kind.NOT_HEAP, 200, "an undocumented deletion status")),
        ({"json": []}, Verdict(Kind.NOT_HEAP, 200, "an undocumented deletion status")),
        ({"status_code": 400}, Verdict(Kind.RETRYABLE, 400, "a deletion request that was accepted is now unknown")),
        (UNAUTHORIZED, Verdict(Kind.LOCKED_OUT, 401, "Unauthorized")),
    ],
)
def test_polling_that_keeps_failing_is_given_up(service: Service, answers: Any, verdict: Verdict) -> None:
    """After ten minutes of outage; then the delivery submits the request again, or stops."""
    service.answer(status=answers)
    assert service.post() == verdict


def test_closing_ends_the_wait(service: Service) -> None:
    """The status is not polled again, and the users do not count as deleted."""
    service.closes_at = 0.0
    assert service.post().kind is Kind.RETRYABLE
    assert service.asked == ["auth_token", "user_deletion"]


def test_closing_wakes_the_real_wait() -> None:
    """A sync that is stopping does not wait for the pause to end."""
    client = DeletionClient(HeapClient(HEAP), "11", "key")
    client.close()
    with requests_mock.Mocker() as heap:
        service = Service(heap)
        service.client = client
        assert service.post().kind is Kind.RETRYABLE


@pytest.mark.parametrize("number", ["a/../b", "r?x=1", 17])
def test_the_id_of_a_request_cannot_change_the_path(service: Service, number: Any) -> None:
    """It is quoted, because it comes from outside."""
    service.answer(submit={"status_code": 201, "json": {"deletion_request_id": number}})
    service.heap.register_uri("GET", requests_mock.ANY, json=COMPLETE["json"])
    assert service.post().kind is Kind.ACCEPTED
    path = service.heap.request_history[-1].url.removeprefix(f"{HEAP}/api/public/v0/deletion_status/")
    assert not {"/", "?"} & set(path)
