"""The endpoints: Heap's with their documented responses, and the sandbox's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import orjson
import pytest
import requests

from heap_sandbox.mock.store import PAGE_MAXIMUM
from heap_sandbox.page import control
from heap_sandbox.server import Sandbox

TRACK = "/api/track"
USERS = "/api/add_user_properties"
ACCOUNTS = "/api/add_account_properties"
IDENTIFY = "/api/v1/identify"
EVENT = {"app_id": "11", "identity": "alice", "event": "E"}
GOOD = {
    TRACK: EVENT,
    USERS: {"app_id": "11", "users": [{"identity": "alice", "properties": {"plan": "pro"}}]},
    ACCOUNTS: {"app_id": "11", "accounts": [{"account_id": "acme", "properties": {"seats": 5}}]},
    IDENTIFY: {"app_id": "11", "identity": "alice", "user_id": "7"},
}


def post(heap: Sandbox, path: str = TRACK, document: Any = None, **how: Any) -> requests.Response:
    return requests.post(heap.url + path, json=document or GOOD[path], timeout=30, allow_redirects=False, **how)


def log(heap: Sandbox) -> dict[str, Any]:
    return heap.requests()[-1]


class TestDocumentedAnswers:
    @pytest.mark.parametrize(("path", "text"), [(TRACK, "{}"), (USERS, "{}"), (ACCOUNTS, "OK"), (IDENTIFY, "{}")])
    def test_success(self, heap: Sandbox, path: str, text: str) -> None:
        """200 with `{}`, or `OK` for accounts; the content type is always JSON."""
        answer = post(heap, path)
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize("path", [TRACK, USERS, IDENTIFY])
    def test_refusal_of_events_and_users(self, heap: Sandbox, path: str) -> None:
        """400 `{}` without a reason."""
        answer = post(heap, path, {"app_id": "x"})
        assert (answer.status_code, answer.text) == (400, "{}")
        assert answer.headers["Content-Type"] == "application/json"

    def test_refusal_of_accounts(self, heap: Sandbox) -> None:
        """400 with a message as plain text."""
        answer = post(heap, ACCOUNTS, {"app_id": "x"})
        assert (answer.status_code, answer.text) == (400, "app_id: must be a string of digits")
        assert answer.headers["Content-Type"].startswith("text/plain")

    def test_one_wrong_element_fails_the_whole_request(self, heap: Sandbox) -> None:
        """Nothing is stored, and the log has the reason."""
        events = [{"identity": "a", "event": "E"}, {"identity": "b", "event": "E", "properties": {"plan": None}}]
        assert post(heap, TRACK, {"app_id": "11", "events": events}).status_code == 400
        assert heap.events() == heap.users() == []
        assert log(heap)["reason"] == "events[1].properties.plan: must not be null"
        assert log(heap)["stored"] is False

    def test_a_known_idempotency_key_gets_the_usual_response(self, heap: Sandbox) -> None:
        """The client cannot recognize a duplicate."""
        for event in ("first", "second"):
            assert post(heap, TRACK, EVENT | {"event": event, "idempotency_key": "k"}).text == "{}"
        assert [row["event"] for row in heap.events()] == ["first"]
        assert heap.stats()["duplicates"] == 1


class TestRequests:
    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
    def test_json_is_accepted(self, heap: Sandbox, content_type: str) -> None:
        """With parameters and in any letter case."""
        assert post(heap, headers={"Content-Type": content_type}).status_code == 200

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonl", ""]
    )
    def test_another_content_type_is_refused(self, heap: Sandbox, content_type: str) -> None:
        """Heap documents JSON only."""
        assert post(heap, headers={"Content-Type": content_type}).status_code == 415
        assert log(heap)["reason"] == "Content-Type: must be application/json"

    def test_only_uncompressed_bodies_are_accepted(self, heap: Sandbox) -> None:
        """Compression is not documented."""
        assert post(heap, headers={"Content-Encoding": "identity"}).status_code == 200
        assert post(heap, headers={"Content-Encoding": "gzip"}).status_code == 415
        assert log(heap)["reason"] == "Content-Encoding: compressed bodies are not accepted"

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_other_methods_are_refused(self, heap: Sandbox, method: str) -> None:
        """Heap's endpoints accept POST only."""
        answer = requests.request(method, heap.url + TRACK, timeout=30)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        assert log(heap)["reason"] == f"{method} is not allowed"

    @pytest.mark.parametrize("path", ["/api", "/api/track/", "/api/Track", "/api/v1/Identify", "/track"])
    def test_an_unknown_path_is_not_found(self, heap: Sandbox, path: str) -> None:
        """404 with JSON, without a redirect to a similar path."""
        answer = requests.post(heap.url + path, json=EVENT, timeout=30, allow_redirects=False)
        assert (answer.status_code, answer.json()) == (404, {"error": f"Heap has no endpoint {path}."})
        assert (log(heap)["path"], log(heap)["status"], log(heap)["reason"]) == (path, 404, "no such endpoint")

    def test_a_large_body_is_refused(self, heap: Sandbox) -> None:
        """Heap documents no limit; the sandbox's can be set."""
        body = orjson.dumps(EVENT)
        heap.limits(body_bytes=len(body))
        headers = {"Content-Type": "application/json"}
        assert post(heap, data=body, headers=headers).status_code == 200
        heap.limits(body_bytes=len(body) - 1)
        assert post(heap, data=body, headers=headers).status_code == 413
        assert log(heap)["reason"] == "the body is larger than allowed"

    def test_a_very_large_body_is_read_to_its_end_and_refused(self, heap: Sandbox) -> None:
        """The client gets a response instead of a broken pipe, even if it sends no Content-Length."""
        chunk = b" " * 1_000_000
        headers = {"Content-Type": "application/json"}
        answer = requests.post(heap.url + TRACK, data=iter([chunk] * 11), headers=headers, timeout=30)
        assert answer.status_code == 413
        assert (log(heap)["bytes"], log(heap)["sha256"]) == (11_000_000, hashlib.sha256(chunk * 11).hexdigest())

    def test_an_unknown_app_is_refused(self) -> None:
        """If apps are configured, no others exist."""
        with Sandbox.start(app_ids=["12", "13"]) as heap:
            assert [post(heap, TRACK, EVENT | {"app_id": app}).status_code for app in ("11", "12", "13")] == [
                400,
                200,
                200,
            ]
            assert heap.requests()[0]["reason"] == "app_id: no such app"

    def test_the_log_describes_a_request(self, heap: Sandbox) -> None:
        """Everything except its content."""
        document = {"app_id": "11", "events": [{"identity": "a", "event": "E", "idempotency_key": "k"}] * 3}
        body = orjson.dumps(document)
        assert post(heap, data=body, headers={"Content-Type": "application/json"}).status_code == 200
        row = log(heap)
        assert datetime.fromisoformat(row.pop("received")).tzinfo is not None
        assert row.pop("milliseconds") >= 0
        assert row.pop("client_port") > 0
        assert row == {
            "id": 1,
            "path": TRACK,
            "app_id": "11",
            "form": "bulk",
            "elements": 3,
            "duplicates": 2,
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "status": 200,
            "stored": True,
            "fault": None,
            "reason": None,
            "connection": 1,
            "content_type": "application/json",
        }

    def test_connections_are_numbered(self, heap: Sandbox) -> None:
        """So the log shows whether a client reuses its connection."""
        with requests.Session() as session:
            for _ in range(3):
                session.post(heap.url + TRACK, json=EVENT, timeout=30)
        post(heap)
        assert [row["connection"] for row in heap.requests()] == [1, 1, 1, 2]
        assert heap.stats()["connections"] == 2


class TestRates:
    @pytest.fixture
    def limited(self) -> Iterator[Sandbox]:
        with Sandbox.start(rate_limits=True, scale=0.01) as heap:  # windows of an hour outlast any test run
            yield heap

    def test_too_much_is_refused_with_the_time_to_wait(self, limited: Sandbox) -> None:
        """429 and Retry-After, in whole seconds."""
        answers = [post(limited) for _ in range(31)]
        assert [answer.status_code for answer in answers] == [200] * 30 + [429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3000
        assert answers[-1].text == "{}"
        assert len(limited.events()) == 30
        assert log(limited)["reason"] == "more than 30 single track requests of one identity in 30 s"

    def test_retry_after_can_be_turned_off(self, limited: Sandbox) -> None:
        """Heap does not document the header."""
        limited.limits(retry_after=False)
        answers = [post(limited) for _ in range(31)]
        assert answers[-1].status_code == 429
        assert "Retry-After" not in answers[-1].headers

    def test_a_request_stopped_by_a_fault_does_not_count(self, limited: Sandbox) -> None:
        """It never reached Heap."""
        limited.fault(kind="status", times=30)
        assert [post(limited).status_code for _ in range(60)] == [503] * 30 + [200] * 30

    def test_reset_empties_the_windows(self, limited: Sandbox) -> None:
        """And keeps the rate limits enabled."""
        for _ in range(2):
            assert [post(limited).status_code for _ in range(31)] == [200] * 30 + [429]
            limited.reset()
        assert limited.limits()["enabled"] is True


class TestFaults:
    def test_a_status_fault_stores_nothing(self, heap: Sandbox) -> None:
        """Its response has the given headers, body and content type."""
        heap.fault(
            kind="status",
            status=503,
            headers={"Retry-After": "2"},
            body="<h1>Sorry</h1>",
            content_type="text/html",
            times=1,
        )
        answer = post(heap)
        assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (503, "<h1>Sorry</h1>", "2")
        assert answer.headers["Content-Type"].startswith("text/html")
        assert heap.events() == []
        row = log(heap)
        assert (row["status"], row["stored"], row["fault"], row["reason"]) == (503, False, "status", None)
        assert (row["app_id"], row["form"], row["elements"]) == ("11", "single", 1)
        assert post(heap).text == "{}"

    def test_a_status_fault_can_store_first(self, heap: Sandbox) -> None:
        """The client sees an error although the rows are stored."""
        heap.fault(kind="status", status=500, store=True)
        assert post(heap).status_code == 500
        assert len(heap.events()) == 1
        assert log(heap)["stored"] is True

    def test_an_empty_success(self, heap: Sandbox) -> None:
        """204 without a body, as heap-ruby's tests expect."""
        heap.fault(kind="status", status=204, store=True)
        answer = post(heap)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "Content-Type" not in answer.headers

    def test_a_redirect(self, heap: Sandbox) -> None:
        """A proxy that sends clients to its login page."""
        heap.fault(kind="status", status=302, headers={"Location": "http://127.0.0.1:9/login"})
        answer = post(heap)
        assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:9/login")

    def test_match_limits_a_fault_to_some_requests(self, heap: Sandbox) -> None:
        """Those whose body contains the text."""
        heap.fault(kind="status", status=400, match="mallory")
        assert [post(heap, TRACK, EVENT | {"identity": who}).status_code for who in ("mallory", "alice")] == [400, 200]

    def test_a_reset_before_storing(self, heap: Sandbox) -> None:
        """The connection breaks and nothing was stored."""
        heap.fault(kind="reset_before", times=1)
        with pytest.raises(requests.ConnectionError, match=r"ConnectionResetError|Connection reset"):
            post(heap)
        assert heap.events() == []
        assert (log(heap)["status"], log(heap)["stored"], log(heap)["fault"]) == (None, False, "reset_before")
        assert post(heap).status_code == 200

    def test_a_reset_after_storing(self, heap: Sandbox) -> None:
        """The lost acknowledgement: the connection breaks although everything was stored."""
        heap.fault(kind="reset_after", times=1)
        with pytest.raises(requests.ConnectionError, match=r"ConnectionResetError|Connection reset"):
            post(heap)
        assert len(heap.events()) == 1
        assert (log(heap)["status"], log(heap)["stored"], log(heap)["fault"]) == (None, True, "reset_after")

    def test_a_reset_after_storing_does_not_store_an_invalid_body(self, heap: Sandbox) -> None:
        """The log has the reason."""
        heap.fault(kind="reset_after")
        with pytest.raises(requests.ConnectionError):
            post(heap, TRACK, EVENT | {"event": ""})
        assert heap.events() == []
        assert (log(heap)["stored"], log(heap)["reason"]) == (False, "event: is empty")

    def test_a_hang_ends_without_a_response(self, heap: Sandbox) -> None:
        """The connection is closed after the given seconds, and nothing is stored."""
        heap.fault(kind="hang", seconds=0)
        with pytest.raises(requests.ConnectionError) as error:
            post(heap)
        assert RemoteDisconnected.__name__ in repr(error.value)
        assert heap.events() == []
        assert (log(heap)["status"], log(heap)["stored"], log(heap)["fault"]) == (None, False, "hang")

    def test_a_latency_is_followed_by_the_usual_response(self, heap: Sandbox) -> None:
        """Only later."""
        heap.fault(kind="latency", seconds=0.001)
        assert post(heap).text == "{}"
        assert (log(heap)["stored"], log(heap)["fault"]) == (True, "latency")

    def test_a_latency_combines_with_another_fault(self, heap: Sandbox) -> None:
        """The delay comes first."""
        heap.fault(kind="latency", seconds=0.001)
        heap.fault(kind="status", status=500)
        assert post(heap).status_code == 500
        assert [fault["fired"] for fault in heap.faults()] == [1, 1]
        assert log(heap)["fault"] == "status"

    def test_a_request_that_never_reaches_heap_does_not_use_up_a_fault(self, heap: Sandbox) -> None:
        """Because its endpoint or method is wrong."""
        heap.fault(kind="status", times=1)
        assert requests.get(heap.url + TRACK, timeout=30).status_code == 405
        assert requests.post(heap.url + "/api", timeout=30).status_code == 404
        assert heap.faults()[0]["matched"] == 0


class TestControl:
    def test_faults_are_added_listed_and_cleared(self, heap: Sandbox) -> None:
        """One or a list of them."""
        url = heap.url + "/sandbox/faults"
        assert requests.post(url, json={"kind": "hang"}, timeout=30).json()["total"] == 1
        assert requests.post(url, json=[{"kind": "latency"}, {"kind": "status"}], timeout=30).json()["total"] == 3
        listed = requests.get(url, timeout=30).json()
        assert [row["kind"] for row in listed["rows"]] == ["hang", "latency", "status"]
        assert requests.delete(url, timeout=30).json() == {"total": 0, "rows": [], "next": None}

    def test_one_wrong_fault_in_a_list_adds_none(self, heap: Sandbox) -> None:
        """All or none, with an error message."""
        answer = requests.post(heap.url + "/sandbox/faults", json=[{"kind": "hang"}, {"kind": "bang"}], timeout=30)
        assert answer.status_code == 422
        assert answer.json() == {
            "error": "A fault's kind must be one of status, reset_before, reset_after, hang, latency."
        }
        assert heap.faults() == []

    @pytest.mark.parametrize("path", ["/sandbox/faults", "/sandbox/limits"])
    def test_a_body_that_is_not_json_is_explained(self, heap: Sandbox, path: str) -> None:
        """422 with an error message."""
        answer = requests.post(heap.url + path, data=b"{", timeout=30)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("The body is not JSON: ")

    def test_limits_are_shown_and_changed(self, heap: Sandbox) -> None:
        """Invalid ones are explained and change nothing."""
        url = heap.url + "/sandbox/limits"
        changed = requests.post(url, json={"enabled": True, "scale": 60}, timeout=30).json()
        assert (changed["enabled"], changed["scale"], changed["body_bytes"]) == (True, 60, 10_000_000)
        wrong = requests.post(url, json={"scale": 0}, timeout=30)
        assert (wrong.status_code, wrong.json()) == (422, {"error": "scale must be a number from 0.001 to 1,000,000."})
        assert requests.get(url, timeout=30).json() == changed

    def test_reset_clears_everything(self, heap: Sandbox) -> None:
        """Data, log and faults."""
        for path in GOOD:
            post(heap, path)
        heap.fault(kind="hang")
        assert requests.post(heap.url + "/sandbox/reset", timeout=30).json() == {}
        assert set(heap.stats().values()) == {0}
        assert heap.events() == heap.users() == heap.accounts() == heap.requests() == heap.faults() == []
        assert post(heap).status_code == 200

    def test_rows_come_in_pages(self, heap: Sandbox) -> None:
        """With `after`, `limit`, and the cursor to continue."""
        post(heap, TRACK, {"app_id": "11", "events": [{"identity": f"{i}", "event": "E"} for i in range(5)]})
        url = heap.url + "/sandbox/events"
        pages = [requests.get(url, {"after": after, "limit": 2}, timeout=30).json() for after in (0, 2, 4)]
        assert [[row["identity"] for row in page["rows"]] for page in pages] == [["0", "1"], ["2", "3"], ["4"]]
        assert [(page["total"], page["next"]) for page in pages] == [(5, 2), (5, 4), (5, None)]

    def test_a_page_has_1000_rows_by_default(self, heap: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        """And never more than a maximum."""
        assert PAGE_MAXIMUM == 100_000
        monkeypatch.setattr(control, "PAGE_MAXIMUM", 1100)
        for _ in range(2):
            post(heap, TRACK, {"app_id": "11", "events": [{"identity": "a", "event": "E"}] * 600})
        url = heap.url + "/sandbox/events"
        assert len(requests.get(url, timeout=30).json()["rows"]) == 1000
        assert len(requests.get(url, {"limit": 1050}, timeout=30).json()["rows"]) == 1050
        assert len(requests.get(url, {"limit": 10**9}, timeout=30).json()["rows"]) == 1100

    @pytest.mark.parametrize("name", ["after", "limit"])
    @pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "१", "9" * 30])
    def test_a_wrong_page_is_explained(self, heap: Sandbox, name: str, value: str) -> None:
        """422 with an error message."""
        answer = requests.get(heap.url + "/sandbox/events", {name: value}, timeout=30)
        assert answer.status_code == 422
        assert answer.json()["error"] == f"{name} must be an integer from {int(name == 'limit')} to {2**63 - 1}."

    def test_rows_of_one_subject(self, heap: Sandbox) -> None:
        """Events and users by identity, accounts by account_id, which can be any text."""
        for who in ("alice", "b'o\"b & ü"):
            post(heap, TRACK, EVENT | {"identity": who})
            post(heap, ACCOUNTS, {"app_id": "11", "account_id": who, "properties": {}})
            assert [row["identity"] for row in heap.events(identity=who)] == [who]
            assert [row["identity"] for row in heap.users(identity=who)] == [who]
            assert [row["account_id"] for row in heap.accounts(account_id=who)] == [who]
        assert heap.events(identity="nobody") == []

    @pytest.mark.parametrize("path", ["/", "/sandbox"])
    def test_the_welcome_lists_the_endpoints(self, heap: Sandbox, path: str) -> None:
        """As plain text."""
        answer = requests.get(heap.url + path, timeout=30)
        assert answer.status_code == 200
        for address in (
            *GOOD,
            "/sandbox/events",
            "/sandbox/stats",
            "/sandbox/faults",
            "/sandbox/limits",
            "/sandbox/reset",
        ):
            assert address in answer.text

    def test_requests_to_the_sandboxs_own_endpoints_are_not_logged(self, heap: Sandbox) -> None:
        """So viewing the data does not change it."""
        for path in (
            "/",
            "/favicon.ico",
            "/sandbox",
            "/sandbox/stats",
            "/sandbox/faults",
            "/sandbox/limits",
            "/sandbox/no",
        ):
            requests.get(heap.url + path, timeout=30)
        assert heap.requests() == []
        assert heap.stats()["connections"] == 0

    @pytest.mark.parametrize(
        ("method", "path", "status"), [("GET", "/sandbox/no", 404), ("PUT", "/sandbox/limits", 405)]
    )
    def test_an_unknown_endpoint_of_the_sandbox_is_explained(
        self, heap: Sandbox, method: str, path: str, status: int
    ) -> None:
        """With JSON that says where the endpoints are listed."""
        answer = requests.request(method, heap.url + path, timeout=30)
        assert answer.status_code == status
        assert answer.json()["error"].endswith("GET /sandbox lists the endpoints.")


def test_an_incomplete_request_leaves_no_trace(heap: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects while sending has sent nothing, and that is not an error."""
    connection = HTTPConnection(heap.url.removeprefix("http://"))
    connection.putrequest("POST", TRACK)
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"{")
    connection.close()
    assert post(heap).status_code == 200
    assert len(heap.requests()) == 1
    assert caplog.records == []
