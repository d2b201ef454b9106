"""A signal stops the run, and in any case the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from destination_heap_analytics.process.signals import watch_signals

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60

WATCHED = """
import sys, threading, time
from destination_heap_analytics.process.signals import watch_signals
told = threading.Event()
def interrupt(number):
    print("told", int(number), flush=True)
    told.set()
watch_signals(interrupt, patience={patience})
print("ready", flush=True)
{then}
"""


def run(then: str, signals: Sequence[int], patience: float = 60.0) -> tuple[int, list[str]]:
    """Run a process that watches for signals, send it some, and return the outcome."""
    script = WATCHED.format(patience=patience, then=then)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        lines = []
        for number in signals:
            os.kill(process.pid, number)
            lines.append(process.stdout.readline().strip())
        return process.wait(SECONDS), lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_run_is_notified_and_exits_by_itself(number: signal.Signals) -> None:
    """It is not interrupted in the middle of a step."""
    assert run("told.wait(); sys.exit(128 + 15)", [number]) == (143, [f"told {int(number)}"])


def test_a_run_that_hangs_is_terminated() -> None:
    """For example in a write that no one reads."""
    assert run("time.sleep(1000)", [signal.SIGTERM], patience=0.05) == (143, ["told 15"])


def test_a_second_signal_exits_immediately() -> None:
    """A user who presses Ctrl-C twice does not want to wait."""
    code, lines = run("time.sleep(1000)", [signal.SIGINT, signal.SIGINT])
    assert (code, lines[0]) == (130, "told 2")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Thread, Queue[tuple[str, int]]]]:
    """The thread that waits for signals, run in this process, and what it did; only that thread receives them."""
    happened: Queue[tuple[str, int]] = Queue()

    class Timer:
        daemon = False

        def __init__(self, patience: float, function: Any, arguments: list[int]) -> None:
            assert (patience, function) == (60.0, os._exit)
            self._code = arguments[0]

        def start(self) -> None:
            assert self.daemon, "it must not keep the process from exiting"
            happened.put(("timer", self._code))

    monkeypatch.setattr(os, "_exit", lambda code: happened.put(("exit", code)))
    monkeypatch.setattr("destination_heap_analytics.process.signals.threading.Timer", Timer)

    def watch() -> None:  # in a separate thread, so that this one's signals are unchanged
        watch_signals(lambda number: happened.put(("interrupt", number)), patience=60.0)

    before = set(threading.enumerate())
    starter = threading.Thread(target=watch)
    starter.start()
    starter.join()
    (thread,) = (one for one in threading.enumerate() if one not in before and one.name == "signals")
    yield thread, happened
    while thread.is_alive():
        signal.pthread_kill(thread.ident or 0, signal.SIGTERM)
        thread.join(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_interrupts_and_the_second_exits(
    watched: tuple[threading.Thread, Queue[tuple[str, int]]], number: signal.Signals
) -> None:
    """With the exit code of the first; the time limit starts with the first."""
    thread, happened = watched
    assert thread.daemon
    signal.pthread_kill(thread.ident or 0, number)
    assert happened.get(timeout=SECONDS) == ("timer", 128 + number)
    assert happened.get(timeout=SECONDS) == ("interrupt", number)
    assert happened.empty()
    signal.pthread_kill(thread.ident or 0, signal.SIGTERM)
    assert happened.get(timeout=SECONDS) == ("exit", 128 + number)
