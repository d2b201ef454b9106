"""`check` verifies the setup, and explains what is wrong with it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import trustme

from destination_heap_analytics.delivery import connection_check as preflight
from destination_heap_analytics.destination import DestinationHeapAnalytics, logger

CHECKS = ("track", "user_properties", "account_properties")


@pytest.mark.parametrize("api", CHECKS)
def test_a_correct_setup_succeeds_with_one_event_however_often(
    connector: Any, heap: Any, sample: Any, api: str
) -> None:
    """For all three APIs; Heap keeps one copy of it."""
    for _ in range(2):
        run = connector.run("check", sample(api))
        assert (run.code, run.status) == (0, ("SUCCEEDED", ""))
        assert run.err == b""
    (event,) = heap.events()
    assert (event["event"], event["timestamp"]) == ("Airbyte Connection Check", "2022-10-26T00:00:00+00:00")
    assert heap.stats()["requests"] == 2


def failed(connector: Any, config: dict[str, Any]) -> str:
    """The message of a failed check, which is the only output, with exit code 0."""
    run = connector.run("check", config)
    assert run.code == 0
    assert [message["type"] for message in run.messages if message["type"] != "LOG"] == ["CONNECTION_STATUS"]
    status, said = run.status
    assert status == "FAILED"
    assert "Traceback" not in said
    assert "Error(" not in said
    assert "urllib3" not in said
    return said  # type: ignore[no-any-return]


TRACK = {"api_type": "track", "property_columns": "a", "event_column": "e", "identity_column": "i"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": "http://heapanalytics.com"}, "`base_url` must begin with https://"),
        ({"base_url": "heapanalytics"}, "`base_url` is not a web address"),
        ({"app_id": "main"}, "`app_id` must be the environment ID"),
        ({"api": {**TRACK, "api_type": "tracks"}}, "`api.api_type` is not valid: use one of track"),
        ({"api": {"api_type": "track", "property_columns": "*"}}, "`api.event_column` is missing"),
        ({"api": {**TRACK, "property_columns": "a,'b'"}}, "`api.property_columns` has a constant without a name"),
        ({"api": {**TRACK, "property_columns": 'a,"b'}}, "`api.property_columns` has a double quote at character 3"),
        (
            {"api": {"api_type": "add_user_properties", "property_columns": "a,ID", "identity_column": "i"}},
            "`api.property_columns` lists `ID`",
        ),
        ({"rejected_records": "perhaps"}, "`rejected_records` is not valid: use one of continue, fail"),
    ],
)
def test_a_wrong_setting_is_reported_before_anything_is_sent(
    connector: Any, heap: Any, sample: Any, changes: dict[str, Any], said: str
) -> None:
    """With the remedy."""
    assert said in failed(connector, {**sample("track"), **changes})
    assert heap.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 302, "headers": {"Location": "https://login.example.com/x"}}, "`base_url` is not Heap's API"),
        ({"status": 302, "headers": {"Location": "https://[::1"}}, "`base_url` is not Heap's API"),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, "returned an HTML page"),
        ({"status": 400, "body": "no such environment"}, "`app_id` was refused"),
        ({"status": 401}, "returned 401 Unauthorized"),
        ({"status": 403}, "`app_id` or `base_url` is wrong"),
        ({"status": 404}, "`app_id` or `base_url` is wrong"),
        ({"status": 413}, "returned 413"),
        ({"status": 429, "headers": {"Retry-After": "60"}}, "returned 429 Too Many Requests. The settings are correct"),
        ({"status": 500}, "returned 500 Internal Server Error. Try again later"),
        ({"status": 503, "body": "<html>", "content_type": "text/html"}, "returned 503 Service Unavailable"),
    ],
)
def test_a_response_that_is_not_heaps_success_is_explained(
    connector: Any, heap: Any, sample: Any, fault: dict[str, Any], said: str
) -> None:
    """With what it means for the settings."""
    heap.fault(kind="status", **fault)
    assert said in failed(connector, sample("track"))


def test_the_text_of_heaps_response_is_shown(connector: Any, heap: Any, sample: Any) -> None:
    """The event of `check` has no personal data that it could echo."""
    heap.fault(kind="status", status=400, body="no such environment")
    assert failed(connector, sample("track")).endswith("Response: no such environment")


def test_an_unknown_app_id_is_reported(connector: Any, sample: Any) -> None:
    """Heap returns 400 without a reason."""
    from heap_sandbox.server import Sandbox  # noqa: PLC0415  # a Heap that knows one app alone

    with Sandbox.start(app_ids=["12"]) as heap:
        said = failed(connector, {**sample("track"), "base_url": heap.url})
    assert said.startswith("`app_id` was refused")
    assert "Account > Manage > Projects" in said


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
def test_a_broken_connection_is_reported(connector: Any, heap: Any, sample: Any, kind: str) -> None:
    """Whether or not the event was stored."""
    heap.fault(kind=kind)
    assert "`base_url` cannot be reached: the connection failed" in failed(connector, sample("track"))


def test_a_port_without_a_listener_is_reported(connector: Any, sample: Any) -> None:
    """The most common mistake with a sandbox."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    said = failed(connector, {**sample("track"), "base_url": f"http://127.0.0.1:{port}"})
    assert said.startswith(
        f"No server is listening at http://127.0.0.1:{port}: the connection was refused. Start a sandbox"
    )


def test_a_host_that_does_not_exist_is_reported(connector: Any, sample: Any) -> None:
    """Names under .invalid never resolve (RFC 2606)."""
    said = failed(connector, {**sample("track"), "base_url": "https://heap.invalid"})
    assert "`base_url` cannot be reached" in said


@pytest.fixture
def untrusted() -> Iterator[str]:
    """A server with a certificate from an unknown authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    thread = threading.Thread(target=greet)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_an_untrusted_certificate_is_reported(connector: Any, sample: Any, untrusted: str) -> None:
    """Rows must not be sent to just any server."""
    said = failed(connector, {**sample("track"), "base_url": untrusted})
    assert "the TLS certificate is not trusted" in said


def test_a_server_that_never_responds_is_given_up(heap: Any, sample: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the form gives up; here after a shorter time."""
    assert preflight.PREFLIGHT_SECONDS < 30
    monkeypatch.setattr("destination_heap_analytics.connector.PREFLIGHT_SECONDS", 0.2)
    heap.fault(kind="hang")
    status = DestinationHeapAnalytics().check(logger, sample("track"))
    assert "the request timed out" in str(status.message)


def test_unknown_settings_give_a_warning(connector: Any, sample: Any) -> None:
    """They are harmless."""
    run = connector.run("check", {**sample("track"), "rejected_record": "fail"})
    assert run.status[0] == "SUCCEEDED"
    assert "WARN Unknown settings are ignored: `rejected_record` (did you mean `rejected_records`?)." in run.log
