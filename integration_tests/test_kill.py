"""The connector is stopped in every way, at any time: returned states are correct, and the next run loads the rest.

The oracle is the one of test_faults.py. Nothing here measures time but for the end that a signal brings.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import random
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from heap_sandbox.server import Sandbox
from integration_tests.conftest import until
from integration_tests.oracle import CATALOG, Answer, Row, config, lines, row, source, stored, verify

GRACE_SECONDS = 30
"""Twice the time that the platform allows between SIGTERM and SIGKILL, because test machines may be slow."""

POISON = "POISON"
PIPE_BYTES = 4096


def answers(out: bytes) -> list[Answer]:
    """The complete states in the output, which must not contain a TRACE."""
    messages = [json.loads(line) for line in out.split(b"\n")[:-1]]
    assert [message for message in messages if message["type"] == "TRACE"] == []
    states = [message["state"] for message in messages if message["type"] == "STATE"]
    return [
        (
            state["id"],
            int(state["destinationStats"]["recordCount"]),
            int(state["destinationStats"]["rejectedRecordCount"]),
        )
        for state in states
    ]


def feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    """Write the input in a separate thread, because it is larger than the pipe, and leave the pipe open."""

    def write() -> None:
        assert process.stdin
        with suppress(OSError, ValueError):
            process.stdin.write(content)
            process.stdin.close()

    threading.Thread(target=write, daemon=True).start()


def ends(process: subprocess.Popen[bytes]) -> int:
    """The exit code, within the time that the platform allows."""
    try:
        return process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 999


ENDINGS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Ending:
    """A signal, and when it is sent: after a number of requests, plus a short delay."""

    number: signal.Signals
    requests: int
    seconds: float

    @property
    def code(self) -> int:
        return {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[self.number]

    def come(self, heap: Sandbox, process: subprocess.Popen[bytes], begin: int) -> None:
        until(lambda: heap.stats()["requests"] >= begin + self.requests or process.poll() is not None)
        time.sleep(self.seconds)
        process.send_signal(self.number)


def attempt(
    connector: Any,
    heap: Sandbox,
    settings: dict[str, Any],
    content: Sequence[Row | int],
    ending: Ending | None,
) -> tuple[bool, list[Answer]]:
    """Run from this row on, possibly stopped early. Returns whether it completed, and the returned states."""
    out = connector.folder / "out"
    begin = heap.stats()["requests"]
    with (
        out.open("wb") as stdout,
        connector.start(settings, CATALOG, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE) as process,
    ):
        feed(process, b"\n".join(lines(content)) + b"\n")
        if ending:
            ending.come(heap, process, begin)
        code = ends(process) if ending else process.wait(120)
        assert (code in {0, ending.code if ending else 0}, process.stderr.read()) == (True, b"")
    return code == 0, answers(out.read_bytes())


KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT


@pytest.mark.parametrize(
    ("api", "mode", "count", "kinds"),
    [
        ("track", "bulk", 3000, [KILL, TERM, KILL, INT, KILL]),
        ("track", "row", 300, [KILL, TERM, KILL, INT, KILL]),
        ("users", "bulk", 2000, [KILL]),
    ],
)
def test_a_run_that_is_killed_again_and_again_loses_no_row(
    connector: Any, heap: Sandbox, *, api: str, mode: str, count: int, kinds: list[signal.Signals]
) -> None:
    """And duplicates no event with a timestamp, even if responses are lost and rows are refused meanwhile."""
    rng = random.Random(f"{api} {mode}")
    heap.fault(kind="status", status=400, match=POISON)
    heap.fault(kind="latency", seconds=0.02 if mode == "row" else 0.05)
    heap.fault(kind="reset_after", probability=0.1, seed=1)
    heap.fault(kind="status", status=500, probability=0.03, seed=2)
    poisoned = set(rng.sample(range(count), 2))
    rows = [row(n, people=count // 5, **({"note": POISON} if n in poisoned else {})) for n in range(count)]
    content = source(rows, every=count // 60)
    kept = connector.folder / "kept"
    settings = config(heap, api, mode, object_storage_config={"storage_type": "Local", "path": str(kept)})
    most = 3 if mode == "bulk" else 70
    endings = [Ending(kind, rng.randint(1, most), rng.uniform(0.0, 0.3)) for kind in kinds]

    back: list[Answer] = []
    for ending in [*endings, None]:
        rest = content[content.index(back[-1][0]) + 1 :] if back else content
        is_done, states = attempt(connector, heap, settings, rest, ending)
        back += states
        refused = {data["n"]: data for data in stored(kept)}  # those after the last state are loaded again
        verify(heap, content, back, list(refused.values()), api=api)
        if is_done:
            break
    assert [state for state, *_ in back] == [item for item in content if isinstance(item, int)]
    assert set(refused) == poisoned


def filled(process: subprocess.Popen[bytes]) -> int:
    """The number of bytes in the pipe of standard output."""
    size = array.array("i", [0])
    assert process.stdout
    fcntl.ioctl(process.stdout, termios.FIONREAD, size)
    return size[0]


def test_a_run_that_cannot_continue_still_ends_in_time(connector: Any) -> None:
    """With a silent source, a full output that no one reads, or a Heap that hangs, at the end of input or before."""
    content = source([row(n) for n in range(300)], every=1)
    with ExitStack() as stack:
        heaps = [stack.enter_context(Sandbox.start()) for _ in range(4)]
        folders = [_folder(connector, number) for number in range(4)]
        silent, blocked, hanging, hanging_open = (
            stack.enter_context(
                replace(connector, folder=made).start(
                    config(heap, "track", mode),
                    CATALOG,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pipesize=PIPE_BYTES,
                )
            )
            for heap, mode, made in zip(heaps, ("bulk", "row", "row", "bulk"), folders, strict=True)
        )
        for heap in heaps[2:]:
            heap.fault(kind="hang", seconds=600, match='"n":7,')
        for process in (silent, hanging_open):
            process.stdin.write(b"\n".join(lines(content[:40])) + b"\n")
            process.stdin.flush()
        feed(blocked, b"\n".join(lines(content)) + b"\n")
        feed(hanging, b"\n".join(lines(content[:40])) + b"\n")
        first = read_states(silent, 20)
        until(lambda: filled(blocked) > PIPE_BYTES - 600)
        for heap in heaps[2:]:
            until(lambda heap=heap: heap.faults()[0]["fired"])
        processes = (silent, blocked, hanging, hanging_open)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [ends(process) for process in processes] == [143] * 4
        assert [process.stderr.read() for process in processes] == [b""] * 4
        verify(heaps[0], content, [*first, *answers(silent.stdout.read())], api="track")
        for heap, process in zip(heaps[1:], processes[1:], strict=True):
            out = process.stdout.read()
            verify(heap, content, answers(out), api="track")
            assert (b"Stopped: " in out) == (process is not blocked)  # a graceful exit, unless no one reads
        for process in processes:
            with suppress(OSError):
                process.stdin.close()


def test_requests_in_flight_may_complete_and_count(connector: Any, heap: Sandbox) -> None:
    """The response arrives after the signal, and its states are returned; nothing more is sent."""
    heap.fault(kind="latency", seconds=2.0, match="SLOW")
    content: list[Row | int] = [
        row(1, note="SLOW"),
        1,
        row(2),
        2,
        row(301),
        301,
    ]  # the last row has the same user as the first
    with connector.start(
        config(heap, "track", "row"), CATALOG, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(b"\n".join(lines(content)) + b"\n")
        process.stdin.flush()
        until(heap.events)
        process.send_signal(signal.SIGTERM)
        assert ends(process) == 143
        assert answers(process.stdout.read()) == [(1, 1, 0), (2, 1, 0)]
    assert [event["properties"]["n"] for event in heap.events()] == [2, 1]


def _folder(connector: Any, number: int) -> Path:
    folder: Path = connector.folder / str(number)
    folder.mkdir()
    return folder


def read_states(process: subprocess.Popen[bytes], count: int) -> list[Answer]:
    """Read that many states while the source is open and silent."""
    found: list[Answer] = []
    while len(found) < count:
        assert process.stdout
        found += answers(process.stdout.readline())
    return found


@pytest.mark.parametrize("mode", ["bulk", "row"])
def test_states_are_returned_while_the_source_is_silent_and_if_the_output_is_read_late(
    connector: Any, heap: Sandbox, mode: str
) -> None:
    """In portions: the source continues after each is returned; the last fills the pipe until it is read."""
    heap.fault(kind="status", status=400, match=POISON)
    rows = [row(n, **({"note": POISON} if n in {0, 13} else {})) for n in range(400)]
    content = source(rows, every=1)
    with connector.start(
        config(heap, "track", mode),
        CATALOG,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=PIPE_BYTES,
    ) as process:
        back: list[Answer] = []
        for begin, end in ((0, 1), (1, 8), (8, 20)):
            process.stdin.write(b"\n".join(lines(content[2 * begin : 2 * end])) + b"\n")
            process.stdin.flush()
            back += read_states(process, end - begin)
        feed(process, b"\n".join(lines(content[40:])) + b"\n")
        until(lambda: filled(process) > PIPE_BYTES - 600)
        back += answers(process.stdout.read())
        assert (process.wait(60), process.stderr.read()) == (0, b"")
    verify(heap, content, back, [rows[0], rows[13]], api="track")
    assert len(back) == 400


def test_if_the_reader_is_gone_the_run_stops_and_nothing_more_is_sent(connector: Any, heap: Sandbox) -> None:
    """The source keeps writing, but Heap receives only what was already in flight."""
    content = source([row(n) for n in range(60)], every=1)
    reading, writing = os.pipe()
    with connector.start(
        config(heap, "track", "row"), CATALOG, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        process.stdin.write(b"\n".join(lines(content[:20])) + b"\n")
        process.stdin.flush()
        with os.fdopen(reading, "rb") as out:
            while b'"STATE"' not in out.readline():
                pass
            until(lambda: len(heap.events()) == 10)
        with suppress(OSError):
            for position in range(20, 120, 2):
                process.stdin.write(b"\n".join(lines(content[position : position + 2])) + b"\n")
                process.stdin.flush()
                time.sleep(0.05)
        with suppress(OSError):
            process.stdin.close()
        assert (process.wait(60), process.stderr.read()) == (1, b"")
    assert len(heap.events()) < 60
