"""The page's endpoints: files, lists and the stream."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from starlette.requests import Request

from heap_sandbox.mock.rules import TRACK, read
from heap_sandbox.mock.store import Entry, Store
from heap_sandbox.mock.views import Listed
from heap_sandbox.page import live
from heap_sandbox.server import Sandbox, assemble

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGE = Path(live.__file__).parent / "files"


def post(heap: Sandbox, *identities: str, **properties: Any) -> None:
    events = [{"identity": who, "event": "E", "properties": properties} for who in identities]
    requests.post(f"{heap.url}/api/track", json={"app_id": "11", "events": events}, timeout=30).raise_for_status()


def newest(heap: Sandbox, name: str = "events", **asked: Any) -> Any:
    return requests.get(f"{heap.url}/sandbox/newest/{name}", asked, timeout=30).json()


class Looked(Store):
    """A store that counts the chunks that are searched."""

    looks = 0

    def newest(self, *asked: Any, **more: Any) -> Listed:
        self.looks += 1
        return super().newest(*asked, **more)


@contextmanager
def stream(heap: Sandbox, **headers: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The messages in order of arrival, each with its id."""
    with requests.get(f"{heap.url}/sandbox/live", headers=headers, stream=True, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = (line.decode() for line in answer.iter_lines(chunk_size=1))
        yield ((line[4:], orjson.loads(next(lines)[6:])) for line in lines if line.startswith("id: "))


class TestFiles:
    def test_a_browser_gets_the_page(self, heap: Sandbox) -> None:
        """With a policy that allows nothing from elsewhere and nothing inline."""
        answer = requests.get(heap.url, headers=BROWSER, timeout=30)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Vary"] == "Accept"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert set(re.findall(r"-src (\S+?)(?:;|$)", policy)) == {"'none'", "'self'"}
        assert "unsafe" not in policy

    @pytest.mark.parametrize("accept", ["*/*", "text/plain", "application/json"])
    def test_a_program_gets_the_list_of_endpoints(self, heap: Sandbox, accept: str) -> None:
        """As plain text."""
        answer = requests.get(heap.url, headers={"Accept": accept}, timeout=30)
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "POST /api/track" in answer.text

    def test_every_file_that_the_page_uses_is_served(self, heap: Sandbox) -> None:
        """With its content type."""
        text = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir())
        names = set(re.findall(r"(?:/sandbox/page/|\./)([a-z]+\.[a-z]+)", text))
        assert names | {"index.html"} == {path.name for path in PAGE.iterdir()}
        types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
        for name in names:
            answer = requests.get(f"{heap.url}/sandbox/page/{name}", timeout=30)
            assert answer.headers["Content-Type"].startswith(types[Path(name).suffix])

    def test_no_other_file_is_served(self, heap: Sandbox) -> None:
        """In particular none outside the folder."""
        for name in ("no.js", "..%2flive.py", "%2e%2e/live.py"):
            assert requests.get(f"{heap.url}/sandbox/page/{name}", timeout=30).status_code == 404

    def test_it_refers_to_no_other_host(self) -> None:
        """Except in the name of a namespace."""
        text = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir())
        assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}


class TestNewest:
    def test_pages_follow_each_other(self, heap: Sandbox) -> None:
        """Newest first; the last has no next cursor."""
        post(heap, *"abcde")
        pages = [newest(heap, limit=2)]
        while pages[-1]["next"]:
            pages.append(newest(heap, limit=2, before=pages[-1]["next"]))
        assert [[row["who"] for row in page["rows"]] for page in pages] == [["e", "d"], ["c", "b"], ["a"]]
        assert pages[0]["newest"] == 5

    def test_a_search_skips_any_number_of_rows(self, heap: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        """And continues after the last match."""
        monkeypatch.setattr("heap_sandbox.mock.store.CHUNK", 3)
        post(heap, "a", plan="pro")
        post(heap, *"bcdefgh")
        post(heap, "i", plan="pro")
        first = newest(heap, q="PRO", limit=1)
        assert ([row["who"] for row in first["rows"]], first["newest"]) == (["i"], 9)
        second = newest(heap, q="PRO", limit=1, before=first["next"])
        assert ([row["who"] for row in second["rows"]], second["next"]) == (["a"], None)
        assert [row["who"] for row in newest(heap, q="pro", since=1)["rows"]] == ["i"]

    @pytest.mark.parametrize("end", ["the client leaves", "the sandbox stops"])
    def test_an_abandoned_search_ends(self, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
        """After the current chunk."""
        monkeypatch.setattr("heap_sandbox.mock.store.CHUNK", 1)
        with closing(Looked(None)) as store:
            heap = assemble(store, (), rate_limits=False, scale=1)
            events = [{"identity": who, "event": "E"} for who in "abcdefgh"]
            log = Entry(heap.now(), TRACK.path, "11", "bulk", 8, 1, "ab", 200, None, None, 1, 1, "application/json")
            store.record(log, read(TRACK, {"app_id": "11", "events": events}), lambda: 0.0)
            if end == "the sandbox stops":
                heap.stopping.set()
            messages = iter(["disconnect"] if end == "the client leaves" else [])

            async def receive() -> dict[str, Any]:
                for message in messages:
                    return {"type": f"http.{message}"}
                await asyncio.Event().wait()
                raise AssertionError

            asked = {"type": "http", "path_params": {"name": "events"}, "query_string": b"q=nobody", "headers": []}
            answer = asyncio.run(live.Live(heap).newest(Request(asked, receive)))
            assert (store.looks, answer.status_code) == (1, 503)

    def test_a_row_is_shown_in_one_line(self, heap: Sandbox) -> None:
        """Long properties are truncated; the complete row has its own endpoint."""
        post(heap, "a", text="x" * 1000)
        (row,) = newest(heap)["rows"]
        assert len(row["preview"]) == 600
        whole = requests.get(f"{heap.url}/sandbox/events/{row['id']}", timeout=30)
        assert whole.json()["properties"] == {"text": "x" * 1000}
        assert "\n  " in whole.text

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("newest/no", 404),
            ("newest/events?limit=0", 422),
            ("newest/events?before=x", 422),
            ("newest/events?since=-1", 422),
            ("events/1", 404),
            (f"events/{2**63}", 404),
            (f"requests/{10**30}", 404),
            ("no/1", 404),
        ],
    )
    def test_an_invalid_request_is_explained(self, heap: Sandbox, path: str, status: int) -> None:
        """With an error message."""
        answer = requests.get(f"{heap.url}/sandbox/{path}", timeout=30)
        assert answer.status_code == status
        assert answer.json()["error"].endswith(".")


class TestStream:
    def test_it_sends_the_state_and_then_its_changes(self, heap: Sandbox) -> None:
        """The complete state each time."""
        post(heap, "a")
        with stream(heap) as messages:
            assert next(messages)[1]["counts"]["events"] == 1
            post(heap, "b", "c")
            assert next(messages)[1]["counts"]["events"] == 3
            heap.fault(kind="hang")
            assert [fault["kind"] for fault in next(messages)[1]["faults"]] == ["hang"]
            heap.limits(enabled=True)
            assert next(messages)[1]["rate_limits"] is True

    def test_an_exhausted_fault_is_not_shown(self, heap: Sandbox) -> None:
        """It no longer applies, and messages must stay small however many there were."""
        heap.fault(kind="status", times=1)
        heap.fault(kind="latency", seconds=0)
        requests.post(f"{heap.url}/api/track", timeout=30)
        assert [fault["spent"] for fault in heap.faults()] == [True, False]
        with stream(heap) as messages:
            assert [fault["kind"] for fault in next(messages)[1]["faults"]] == ["latency"]

    def test_a_returning_client_gets_only_changes(self, heap: Sandbox) -> None:
        """If it knows the newest message; otherwise it gets that immediately."""
        post(heap, "a")
        with stream(heap) as messages:
            (old, _) = next(messages)
        with stream(heap, **{"Last-Event-ID": old}) as messages:
            post(heap, "b")
            assert next(messages)[1]["counts"]["events"] == 2
        with stream(heap, **{"Last-Event-ID": old}) as messages:
            assert next(messages)[1]["counts"]["events"] == 2

    def test_the_sandbox_stops_while_a_client_listens(self) -> None:
        """Otherwise the timeout fails the test."""
        command = [sys.executable, "-m", "heap_sandbox.cli", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            try:
                assert running.stdout is not None
                url = running.stdout.readline().split()[-1]
                with requests.get(f"{url}/sandbox/live", stream=True, timeout=30):
                    running.terminate()
                    assert running.wait(timeout=30) == 0
            finally:
                running.kill()


def test_a_single_fault_can_be_removed(heap: Sandbox) -> None:
    """By its id."""
    heap.fault(kind="hang")
    heap.fault(kind="reset_before")
    assert requests.delete(f"{heap.url}/sandbox/faults/1", timeout=30).json()["total"] == 1
    assert [fault["id"] for fault in heap.faults()] == [2]
    assert requests.delete(f"{heap.url}/sandbox/faults/1", timeout=30).status_code == 404
