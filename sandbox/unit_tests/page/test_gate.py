"""Websites in a browser on this computer can neither control nor read the sandbox."""

from __future__ import annotations

import pytest
import requests

from heap_sandbox.server import Sandbox

EVENT = {"app_id": "11", "identity": "a", "event": "E"}


def port(heap: Sandbox) -> str:
    return heap.url.rpartition(":")[2]


class TestHost:
    @pytest.mark.parametrize(
        "name", ["127.0.0.1", "localhost", "LocalHost", "[::1]", "host.docker.internal", "host.containers.internal"]
    )
    @pytest.mark.parametrize("with_port", [True, False])
    def test_names_of_this_computer_are_answered(self, heap: Sandbox, name: str, *, with_port: bool) -> None:
        """With or without the port."""
        headers = {"Host": f"{name}:{port(heap)}" if with_port else name}
        assert requests.get(f"{heap.url}/sandbox/events", headers=headers, timeout=30).status_code == 200
        assert requests.post(f"{heap.url}/api/track", json=EVENT, headers=headers, timeout=30).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:1@x", "x"]
    )
    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/"), ("GET", "/sandbox/events"), ("POST", "/sandbox/reset"), ("POST", "/api/track")],
    )
    def test_a_name_from_elsewhere_is_not(self, heap: Sandbox, host: str, method: str, path: str) -> None:
        """421 with an error message, regardless of what it resolves to, and nothing is logged."""
        headers = {"Host": f"{host}:{port(heap)}"}
        answer = requests.request(method, heap.url + path, json=EVENT, headers=headers, timeout=30)
        assert answer.status_code == 421
        assert answer.json()["error"].startswith("The sandbox accepts only requests addressed to this computer")
        assert heap.requests() == []


class TestOrigin:
    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", ""])
    @pytest.mark.parametrize(("method", "path"), [("POST", "faults"), ("POST", "reset"), ("DELETE", "faults")])
    def test_another_page_changes_nothing(self, heap: Sandbox, origin: str, method: str, path: str) -> None:
        """Even as text/plain, which a browser sends without a preflight request."""
        heap.fault(kind="hang")
        headers = {"Origin": origin, "Content-Type": "text/plain"}
        url = f"{heap.url}/sandbox/{path}"
        answer = requests.request(method, url, data='{"kind": "status"}', headers=headers, timeout=30)
        assert answer.status_code == 403
        assert answer.json()["error"].startswith("From a browser, only the sandbox's own page")
        assert [fault["kind"] for fault in heap.faults()] == ["hang"]

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_its_own_page_can_change_it(self, heap: Sandbox, scheme: str) -> None:
        """Under any name of this computer."""
        host = f"localhost:{port(heap)}"
        headers = {"Host": host, "Origin": f"{scheme}://{host}"}
        assert requests.post(f"{heap.url}/sandbox/reset", headers=headers, timeout=30).status_code == 200


def test_the_body_of_a_fault_is_not_a_page_of_the_sandbox(heap: Sandbox) -> None:
    """A browser gives it an opaque origin and does not run its scripts."""
    heap.fault(kind="status", body="<script>evil()</script>", content_type="text/html")
    answer = requests.post(f"{heap.url}/api/track", json=EVENT, timeout=30)
    assert answer.headers["Content-Security-Policy"] == "sandbox"
