"""Heap, or a proxy in front of it, misbehaves: every row is in Heap once or among the rejected, in order.

Most runs are in process, on a clock that goes a hundred times as fast: back-off is waited for, but not felt.
"""

from __future__ import annotations

import json
import logging
import math
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.connector import sync
from destination_heap_analytics.delivery.http.client import HeapClient
from destination_heap_analytics.errors import SyncStoppedError
from destination_heap_analytics.protocol.catalog import parse_catalog
from destination_heap_analytics.protocol.messages import parse_line
from destination_heap_analytics.run.clock import Clock
from heap_sandbox.server import Sandbox
from integration_tests.conftest import until
from integration_tests.fault_kit import OK, serving, take
from integration_tests.oracle import CATALOG, Answer, Row, config, lines, row, source, stored, verify

SPEED = 100.0
READ_SECONDS = 1.0
MODES = ("bulk", "row")
POISON = "POISON"

Block = list[bytes] | Callable[[], object]
"""Lines that the source writes at once, or a function to call before it continues."""


@dataclass(frozen=True)
class Ran:
    """The outcome of a run: its states, the type and message of its error (both empty if there is none), its log."""

    back: list[Answer]
    kind: str
    error: str
    log: str


Load = Callable[..., Ran]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Load:
    """Runs the connector in this process."""

    def load(
        settings: dict[str, Any], blocks: Iterable[Block], *, speed: float = SPEED, read_seconds: float = READ_SECONDS
    ) -> Ran:
        monkeypatch.setattr("destination_heap_analytics.connector.Clock", partial(Clock, speed))
        client = partial(HeapClient, timeout=(5.0, read_seconds))
        monkeypatch.setattr("destination_heap_analytics.connector.HeapClient", client)
        caplog.set_level(logging.INFO, "airbyte")
        made = sync(parse_config(settings).settings, parse_catalog(CATALOG), _batches(blocks), parse_line)
        back: list[Answer] = []
        kind = error = ""
        try:
            for message in made.run():
                state = json.loads(message.line)["state"]
                counts = state["destinationStats"]
                back.append((state["id"], int(counts["recordCount"]), int(counts["rejectedRecordCount"])))
        except SyncStoppedError as stopped:
            kind, error = stopped.failure_type.value, str(stopped)
        return Ran(back, kind, error, caplog.text)

    return load


def _batches(blocks: Iterable[Block]) -> Generator[tuple[list[bytes], int], None, None]:
    for block in blocks:
        if callable(block):
            block()
        else:
            yield block, sum(map(len, block))


def keeping(folder: Path) -> dict[str, Any]:
    return {"object_storage_config": {"storage_type": "Local", "path": str(folder)}}


def requests_of(heap: Sandbox) -> list[dict[str, Any]]:
    """The requests to Heap, without the event of `check`."""
    return [request for request in heap.requests() if request["form"] is not None]


PASSING: dict[str, list[dict[str, Any]]] = {
    "500": [{"kind": "status", "status": 500, "every": 2}],
    "503, come again in a second": [{"kind": "status", "status": 503, "headers": {"Retry-After": "1"}, "every": 2}],
    "502 behind which the rows were taken": [{"kind": "status", "status": 502, "store": True, "every": 2}],
    "408 and 425": [
        {"kind": "status", "status": 408, "times": 2},
        {"kind": "status", "status": 425, "skip": 2, "times": 2},
    ],
    "429": [{"kind": "status", "status": 429, "every": 2}],
    "429, come again in a second": [{"kind": "status", "status": 429, "headers": {"Retry-After": "1"}, "every": 2}],
    "reset before": [{"kind": "reset_before", "every": 2}],
    "reset after": [{"kind": "reset_after", "every": 2}],
    "slow": [{"kind": "latency", "seconds": 0.1, "every": 2}],
    "hang": [{"kind": "hang", "seconds": 60, "skip": 1, "times": 2}],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_temporary_failures_cost_time_but_no_row(
    load: Load, heap: Sandbox, mode: str, faults: list[dict[str, Any]]
) -> None:
    """Heap has every event once, and the last value of each user property."""
    content = source([row(n, people=40) for n in range(1100 if mode == "bulk" else 100)], every=70)
    for fault in faults:
        heap.fault(**fault)
    for api in ("track", "users"):
        ran = load(config(heap, api, mode), [lines(content)])
        assert (ran.kind, len(ran.back)) == ("", sum(isinstance(item, int) for item in content))
        verify(heap, content, ran.back, api=api)
    assert all(fault["fired"] for fault in heap.faults())


def mixed(heap: Sandbox, seed: int, share: float) -> None:
    """Temporary faults of every kind."""
    for position, fault in enumerate(
        (
            {"kind": "latency", "seconds": 0.02},
            {"kind": "reset_after"},
            {"kind": "reset_before"},
            {"kind": "status", "status": 500},
            {"kind": "status", "status": 502, "store": True},
            {"kind": "status", "status": 503, "headers": {"Retry-After": "1"}},
            {"kind": "status", "status": 429},
            {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}, "body": "<b>slow down", "store": True},
        )
    ):
        heap.fault(**fault, probability=share, seed=100 * seed + position)


@pytest.mark.parametrize("api", ["track", "users", "accounts"])
@pytest.mark.parametrize("mode", MODES)
def test_all_faults_mixed(load: Load, heap: Sandbox, tmp_path: Path, mode: str, api: str) -> None:
    """With rows that Heap or a firewall refuses, a size limit of bodies, and rows that exceed it."""
    heap.fault(
        kind="status", status=400, match=POISON, body=f"{POISON} is not nice"
    )  # first, so that it takes effect first
    heap.fault(kind="status", status=403, match="FIREWALL", body="<html>no", content_type="text/html")
    mixed(heap, 1, 0.1)
    heap.limits(body_bytes=30_000)
    count = 1200 if mode == "bulk" else 200
    odd = {count // 5: {"note": POISON}, count // 2: {"note": "FIREWALL"}, count // 2 + 1: {"note": POISON}}
    rows = [row(n, people=61, **odd.get(n * 7 % count, {})) for n in range(count)]
    wide = {f"c{position}": "x" * 1000 for position in range(40)}
    if api != "track":  # whose property columns are listed
        rows[3] |= wide
    content = source(rows, every=90)
    ran = load(config(heap, api, mode, **keeping(tmp_path)), [lines(content)])
    refused = stored(tmp_path)
    assert ran.kind == ""
    assert {data["n"] for data in refused} == {
        data["n"] for data in rows if data.get("note") in {POISON, "FIREWALL"} or len(data) > 20
    }
    verify(heap, content, ran.back, refused, api=api)
    assert POISON not in ran.log + ran.error


@pytest.mark.parametrize("mode", MODES)
def test_the_command_itself_succeeds_despite_faults(connector: Any, heap: Sandbox, tmp_path: Path, mode: str) -> None:
    """On a normal clock, with rows that Heap refuses."""
    heap.fault(kind="status", status=400, match=POISON)
    mixed(heap, 3, 0.03)
    count = 2000 if mode == "bulk" else 90
    rows = [row(n, **({"plan": POISON} if n == 40 else {})) for n in range(count)]
    content = source(rows, every=100)
    run = connector.run("write", config(heap, "track", mode, **keeping(tmp_path / "kept")), CATALOG, lines(content))
    assert (run.code, run.err) == (0, b"")
    refused = stored(tmp_path / "kept")
    assert [data["n"] for data in refused if data["plan"] != POISON] == []
    assert len(run.states) == sum(isinstance(item, int) for item in content)
    verify(heap, content, run.states, refused, api="track")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_beyond_the_budget_stops_the_run_immediately(load: Load, heap: Sandbox, mode: str, status: int) -> None:
    """The error has the wait that Heap asks for; earlier states are valid, and no request is retried."""
    heap.fault(kind="status", status=status, headers={"Retry-After": "5400"}, match=POISON)
    content = source([row(n) for n in range(20)], every=10)
    late = source([row(20, plan=POISON)], every=1)
    ran = load(
        config(heap, "track", mode), [lines(content), lambda: until(lambda: len(heap.events()) == 20), lines(late)]
    )
    assert (ran.kind, [state for state, *_ in ran.back]) == ("transient_error", [10, 20])
    assert "row 21" in ran.error
    assert "90 minutes" in ran.error
    assert heap.faults()[0]["fired"] == 1


@pytest.mark.parametrize("mode", MODES)
def test_lasting_problems_stop_the_run_with_a_transient_error(load: Load, heap: Sandbox, mode: str) -> None:
    """After ten minutes, with the states before them, and many retries with the same bytes."""
    heap.fault(kind="reset_before", match=POISON)
    content: list[Row | int] = [row(1), 1, row(2, plan=POISON), row(3), 3]
    ran = load(
        config(heap, "track", mode),
        [lines(content[:2]), lambda: until(heap.events), lines(content[2:])],
        speed=600.0,
    )
    assert (ran.kind, ran.back) == ("transient_error", [(1, 1, 0)])
    assert "row 2" in ran.error
    assert POISON not in ran.error + ran.log
    tried = [request["sha256"] for request in heap.requests() if request["fault"]]
    assert len(tried) > 5
    assert len(set(tried)) == 1
    verify(heap, content, ran.back, api="track")


@pytest.mark.parametrize("mode", MODES)
def test_a_throttled_request_has_its_own_ten_minutes(load: Load, heap: Sandbox, mode: str) -> None:
    """However long the source was silent before."""
    heap.fault(kind="status", status=429, times=2)
    content = source([row(1)], every=1)
    ran = load(config(heap, "track", mode), [lambda: time.sleep(2), lines(content)], speed=400.0)
    assert (ran.kind, ran.back) == ("", [(1, 1, 0)])


NOT_HEAP: dict[str, dict[str, Any]] = {
    "redirect": {"status": 302, "headers": {"Location": "https://example.com/login"}},
    "redirect to nowhere": {"status": 307, "headers": {"Location": "http://[x"}},
    "page": {"status": 200, "body": "<html>Log in", "content_type": "Text/HTML; charset=utf-8"},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answer", NOT_HEAP.values(), ids=NOT_HEAP)
def test_no_row_is_lost_to_a_server_that_is_not_heap(
    load: Load, heap: Sandbox, mode: str, answer: dict[str, Any]
) -> None:
    """A login portal replaces Heap in the middle of a run."""
    heap.fault(kind="status", match=POISON, **answer)
    content = source([row(n, plan=POISON if n >= 30 else "x") for n in range(60)], every=10)
    ran = load(
        config(heap, "track", mode),
        [lines(content[:33]), lambda: until(lambda: len(heap.events()) == 30), lines(content[33:])],
    )
    assert (ran.kind, len(ran.back)) == ("config_error", 3)
    assert "`base_url` is not Heap's API" in ran.error
    verify(heap, content, ran.back, api="track")


@pytest.mark.parametrize(("mode", "count"), [("bulk", 3000), ("row", 400)])
@pytest.mark.parametrize("api", ["track", "users"])
def test_a_poison_row_costs_a_few_requests(
    load: Load, heap: Sandbox, tmp_path: Path, *, mode: str, count: int, api: str
) -> None:
    """Two for each halving of its batch; only this row is rejected, with its number."""
    heap.fault(kind="status", status=400, match=POISON)
    poisoned = {7, 8, count // 3, count // 2, count - 1}
    people = 300 if api == "track" else 100_000
    rows = [row(n, people=people, **({"plan": POISON} if n in poisoned else {})) for n in range(count)]
    content = source(rows, every=50)
    # A long time-out: a request that timed out on a busy machine and was retried would be counted.
    ran = load(config(heap, api, mode, **keeping(tmp_path)), [lines(content)], read_seconds=60.0)
    refused = stored(tmp_path)
    assert (ran.kind, {data["n"] for data in refused}) == ("", poisoned)
    verify(heap, content, ran.back, refused, api=api)
    needed = count // 1000 if mode == "bulk" else count - len(poisoned)
    most = 2 * len(poisoned) * math.log2(1000) if mode == "bulk" else len(poisoned)
    assert len(requests_of(heap)) <= needed + most + 5


@pytest.mark.parametrize("mode", MODES)
def test_rows_merged_into_one_user_are_rejected_one_by_one(
    load: Load, heap: Sandbox, tmp_path: Path, mode: str
) -> None:
    """A bad one does not affect its neighbours, and its values are not stored."""
    heap.fault(kind="status", status=400, match=POISON)
    rows = [row(n, people=3, **{f"c{n % 5}": n}, **({"note": POISON} if n in {4, 7, 14} else {})) for n in range(24)]
    content = source(rows, every=5)
    ran = load(config(heap, "users", mode, **keeping(tmp_path)), [lines(content)])
    refused = stored(tmp_path)
    assert [data["n"] for data in sorted(refused, key=lambda data: data["n"])] == [4, 7, 14]
    verify(heap, content, ran.back, refused, api="users")


def test_thousands_of_rows_of_one_user_become_one(load: Load, heap: Sandbox) -> None:
    """The last value of each property wins, as if they had been sent one by one."""
    rows = [row(n, people=1, **{f"c{n % 7}": n}) for n in range(12_000)]
    content = source(rows, every=1000)
    ran = load(config(heap, "users", "bulk"), [lines(content)])
    verify(heap, content, ran.back, api="users")
    assert len(requests_of(heap)) <= 30


@pytest.mark.parametrize("mode", MODES)
def test_with_fail_the_first_bad_row_in_input_order_stops_the_run(load: Load, heap: Sandbox, mode: str) -> None:
    """Although a later one is refused first; all states before it are returned, and none after it."""
    heap.fault(kind="latency", seconds=0.3, match=POISON + "1")
    heap.fault(kind="status", status=400, match=POISON)
    count = 2400 if mode == "bulk" else 120
    bad = {count // 2: POISON + "1", count // 2 + 2: POISON + "2", count - 1: POISON + "3"}
    rows = [row(n, **({"plan": bad[n]} if n in bad else {})) for n in range(count)]
    content = source(rows, every=10)
    ran = load(config(heap, "track", mode, rejected_records="fail"), [lines(content)])
    assert ran.kind == "config_error"
    assert f"Row {count // 2 + 1:} is rejected" in ran.error
    assert [state for state, *_ in ran.back] == list(range(10, count // 2 + 1, 10))
    verify(heap, content, ran.back, api="track")


@pytest.mark.parametrize(("api", "mode"), [("track", "bulk"), ("track", "row"), ("users", "bulk"), ("accounts", "row")])
def test_a_wrong_app_id_is_recognised_after_a_few_requests(load: Load, tmp_path: Path, mode: str, api: str) -> None:
    """No row is rejected because of it, and no state is returned."""
    content = source([row(n) for n in range(3000)], every=7)
    with Sandbox.start(app_ids=["12"]) as heap:
        ran = load(config(heap, api, mode, **keeping(tmp_path)), [lines(content)])
        # The clock is fast, so a second's worth of requests is in flight before the first response.
        assert heap.stats()["requests"] <= 200
    assert (ran.kind, ran.back, stored(tmp_path)) == ("config_error", [], [])
    assert "`app_id` was refused" in ran.error


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [400, 404])
def test_a_setup_that_breaks_in_the_middle_rejects_no_row(
    load: Load, heap: Sandbox, tmp_path: Path, mode: str, status: int
) -> None:
    """The app is disabled while the source continues: later rows are refused, and are not lost."""
    content = source([row(n) for n in range(900)], every=50)
    half = content.index(450) + 1

    def switch_off() -> None:
        until(lambda: len(heap.events()) == 450)
        heap.fault(kind="status", status=status)

    ran = load(
        config(heap, "track", mode, **keeping(tmp_path)), [lines(content[:half]), switch_off, lines(content[half:])]
    )
    assert (ran.kind, stored(tmp_path)) == ("config_error", [])
    verify(heap, content, ran.back, api="track")
    assert [state for state, *_ in ran.back][-1] == 450
    assert heap.faults()[0]["fired"] <= 100


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 3, 30])
def test_rows_that_are_all_bad_are_rejected_if_the_setup_is_right(
    load: Load, heap: Sandbox, tmp_path: Path, mode: str, count: int
) -> None:
    """The event of `check` shows that it is right."""
    heap.fault(kind="status", status=400, match=POISON)
    content = source([row(n, plan=POISON) for n in range(count)], every=2)
    ran = load(config(heap, "track", mode, **keeping(tmp_path)), [lines(content)])
    assert (ran.kind, len(stored(tmp_path))) == ("", count)
    verify(heap, content, ran.back, stored(tmp_path), api="track")


@pytest.mark.parametrize("mode", MODES)
def test_a_state_after_a_bad_row_is_returned_while_the_source_is_silent(load: Load, heap: Sandbox, mode: str) -> None:
    """Only a request to Heap can show that the row is bad; it is sent although no more rows arrive."""
    heap.fault(kind="status", status=400, match=POISON)
    content = source([row(0, plan=POISON)], every=1)
    asked = threading.Event()

    def wait() -> None:
        until(lambda: heap.events("airbyte-connection-check"))
        asked.set()

    ran = load(config(heap, "track", mode), [lines(content), wait])
    assert (asked.is_set(), ran.kind, ran.back) == (True, "", [(1, 0, 1)])


@pytest.mark.parametrize("mode", MODES)
def test_the_documented_rates_are_kept(load: Load, mode: str) -> None:
    """By waiting: a mock with the documented limits, on the same fast clock, never returns 429."""
    with Sandbox.start(rate_limits=True, scale=SPEED) as heap:
        hot = 2600 if mode == "bulk" else 80
        content = source([row(n, people=1) for n in range(hot)] + [row(n) for n in range(hot, hot + 100)], every=200)
        ran = load(config(heap, "track", mode), [lines(content)])
        assert ran.kind == ""
        verify(heap, content, ran.back, api="track")
        assert [request for request in heap.requests() if request["status"] != 200] == []


# Beyond the faults of the sandbox: servers that break HTTP itself.


ODD_ANSWERS: dict[str, bytes] = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "no length": b"HTTP/1.0 200 OK\r\n\r\n{}",
    "closing": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    "shorter than it says": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 200\r\n\r\n{}",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "not compressed though it says so": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "huge": b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000,
    "continued": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "bytes": b"HTTP/1.1 200 \xff\xfe\r\nX: \xff\r\nContent-Length: 2\r\n\r\n\xff\xfe",
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_a_row_is_accepted_regardless_of_the_response_body(load: Load, answer: bytes) -> None:
    """The status counts, not the body; an endless body is not read to its end."""
    bodies: list[bytes] = []
    given_up: list[int] = []

    def handle(client: socket.socket, number: int) -> None:
        while body := take(client):
            bodies.append(body)
            try:
                client.sendall(answer)
            except OSError:
                given_up.append(number)
            if answer.startswith(b"HTTP/1.0") or b"close" in answer or b"zz" in answer:
                return

    content = source([row(n) for n in range(4)], every=1)
    with serving(handle) as url:
        settings = {**config_at(url), "delivery": {"mode": "row"}}
        ran = load(settings, [lines(content)])
    assert (ran.kind, ran.back) == ("", [(n, 1, 0) for n in range(1, 5)])
    assert len(bodies) == 4
    assert bool(given_up) == (len(answer) > 1_000_000)


def config_at(url: str) -> dict[str, Any]:
    return config(Sandbox(url), "track", "bulk")


NO_ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "half a status": b"HTTP/1.",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000,
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_an_invalid_response_is_retried_with_the_same_bytes(load: Load, answer: bytes) -> None:
    """Until a valid one arrives."""
    bodies: list[bytes] = []

    def handle(client: socket.socket, number: int) -> None:
        while body := take(client):
            bodies.append(body)
            client.sendall(answer if number < 2 else OK)
            if number < 2:
                return

    with serving(handle) as url:
        ran = load(config_at(url), [lines(source([row(1), row(2)], every=2))])
    assert (ran.kind, ran.back) == ("", [(2, 2, 0)])
    assert (len(bodies), len(set(bodies))) == (3, 1)


def test_a_batch_refused_as_too_large_before_it_was_read_is_halved(load: Load) -> None:
    """The server returns 413 after the headers, and closes the connection."""
    taken: list[int] = []

    def handle(client: socket.socket, _: int) -> None:
        while True:
            peeked = client.recv(65536, socket.MSG_PEEK)
            if not peeked:
                return
            length = int(peeked.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if length > 40_000:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                return
            taken.append(len(json.loads(take(client))["events"]))
            client.sendall(OK)

    content = source([row(n, note="x" * 900) for n in range(700)], every=100)
    with serving(handle) as url:
        ran = load(config_at(url), [lines(content)])
    assert (ran.kind, sum(taken), [count for _, *count in ran.back]) == ("", 700, [[100, 0]] * 7)


@pytest.mark.parametrize("part", ["status", "body"])
def test_a_response_that_trickles_is_aborted(load: Load, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """A byte from time to time prevents every socket time-out."""
    monkeypatch.setattr("destination_heap_analytics.delivery.http.client.REQUEST_SECONDS", 1.5)
    numbers: list[int] = []
    cut = threading.Event()

    def handle(client: socket.socket, number: int) -> None:
        while take(client):
            numbers.append(number)
            if number:
                client.sendall(OK)
                continue
            client.sendall(b"HTTP/1.1" + (b" 200 OK\r\n\r\n" if part == "body" else b""))
            try:
                for _ in range(100):
                    client.sendall(b" ")
                    time.sleep(0.1)
            except OSError:
                cut.set()
            return

    with serving(handle) as url:
        ran = load(config_at(url), [lines(source([row(1)], every=1))])
    assert (ran.kind, ran.back) == ("", [(1, 1, 0)])
    assert cut.is_set()
    assert numbers == ([0, 1] if part == "status" else [0])


@pytest.mark.parametrize("mode", MODES)
def test_a_response_to_an_earlier_request_proves_nothing(load: Load, tmp_path: Path, mode: str) -> None:
    """The app is disabled: a request sent before is accepted after later rows have been refused."""
    slow, refused = threading.Event(), threading.Event()

    def handle(client: socket.socket, _: int) -> None:
        while body := take(client):
            if b"SLOW" in body:
                slow.set()
                refused.wait(60)
                time.sleep(0.2)  # the refusals are read first
                client.sendall(OK)
            else:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")
                refused.set()

    content: list[Row | int] = [row(1, plan="SLOW"), row(2), 2]
    with serving(handle) as url:
        settings = {**config_at(url), "delivery": {"mode": mode}, **keeping(tmp_path)}
        ran = load(settings, [lines(content[:1]), lambda: slow.wait(60), lines(content[1:])])
    assert (ran.kind, ran.back, stored(tmp_path)) == ("config_error", [], [])


def test_with_fail_unsent_rows_after_the_bad_row_are_not_sent(load: Load) -> None:
    """They wait for another request of their user while the bad row is found."""
    refused, taken = threading.Event(), threading.Event()
    bodies: list[bytes] = []

    def handle(client: socket.socket, _: int) -> None:
        while body := take(client):
            bodies.append(body)
            if POISON.encode() in body:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")
                refused.set()
                continue
            if b"SLOW" in body:
                taken.wait(60)
                time.sleep(0.5)  # the other response is read first
            client.sendall(OK)
            if b"LAST" in body or b"connection-check" in body:  # whichever confirms the refusal first
                taken.set()

    def go_on() -> None:
        refused.wait(60)
        time.sleep(0.5)  # only a request sent after the refusal confirms it

    slow, behind = row(1, people=10, note="SLOW"), row(11, people=10, note="BEHIND")
    content: list[Row | int] = [slow, 1, row(2, note=POISON), 2, behind, 11]
    with serving(handle) as url:
        settings = {**config_at(url), "delivery": {"mode": "row"}, "rejected_records": "fail"}
        ran = load(settings, [lines(content), go_on, lines([row(12, note="LAST")])])
    assert (ran.kind, ran.back) == ("config_error", [(1, 1, 0)])
    assert "Row 2 is rejected" in ran.error
    assert [body for body in bodies if b"BEHIND" in body] == []


# Unusual sources.


@pytest.mark.parametrize("mode", MODES)
def test_with_a_state_for_each_row_all_states_are_returned(load: Load, heap: Sandbox, mode: str) -> None:
    """In order, with delivered and rejected rows between them."""
    heap.fault(kind="status", status=400, match=POISON)
    heap.fault(kind="status", status=500, every=7)
    content = source([row(n, **({"plan": POISON} if n % 40 == 3 else {})) for n in range(120)], every=1)
    ran = load(config(heap, "track", mode), [[line] for line in lines(content)])
    assert [state for state, *_ in ran.back] == list(range(1, 121))
    assert [rejected for *_, rejected in ran.back] == [int(n % 40 == 3) for n in range(120)]


def test_a_row_larger_than_a_batch_is_sent_by_itself(load: Load, heap: Sandbox) -> None:
    """In order with its neighbours."""
    wide = {f"c{position}": "x" * 1000 for position in range(1500)}
    content = source([row(1), row(2, **wide), row(3), row(4, **wide), row(5)], every=1)
    ran = load(config(heap, "users", "bulk"), [lines(content)])
    assert [counts for _, *counts in ran.back] == [[1, 0]] * 5
    verify(heap, content, ran.back, api="users")


def test_states_of_other_streams_have_no_counts(connector: Any, heap: Sandbox) -> None:
    """The rows of this stream are counted by its own state; without states none is returned, and rows are delivered."""
    other = {"stream_descriptor": {"name": "orders"}, "stream_state": {}}
    foreign = json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": other, "id": 99}}).encode()
    first, second = lines([row(1), 1]), lines([row(2), 2])
    run = connector.run(
        "write", config(heap, "track", "row"), CATALOG, [first[0], foreign, *first[1:], *second, foreign]
    )
    assert run.states == [(99, 0, 0), (1, 1, 0), (2, 1, 0), (99, 0, 0)]
    run = connector.run("write", config(heap, "track", "bulk"), CATALOG, lines([row(3), row(4)]))
    assert (run.code, run.states, len(heap.events())) == (0, [], 4)


def test_a_reader_that_is_gone_before_an_error_is_reported_stops_the_run_silently(
    connector: Any, heap: Sandbox
) -> None:
    """No one would read the error, and there is no stack trace."""
    heap.fault(kind="latency", seconds=1.0)
    heap.fault(kind="status", status=302)
    settings = config(heap, "track", "row")
    with connector.start(
        settings, CATALOG, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(lines([row(1)])[0] + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        err = process.stderr.read()
        code = process.wait(60)
    assert (code, err) == (1, b"")
