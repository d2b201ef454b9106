"""A signal ends the run, and the process in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

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
    """A process that watches, and what came of the signals it got."""
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
def test_the_run_is_told_and_ends_by_itself(number: signal.Signals) -> None:
    """Nothing breaks into what it does."""
    assert run("told.wait(); sys.exit(128 + 15)", [number]) == (143, [f"told {int(number)}"])


def test_a_run_that_cannot_end_is_ended() -> None:
    """As when it sits in a write that nobody reads."""
    assert run("time.sleep(1000)", [signal.SIGTERM], patience=0.05) == (143, ["told 15"])


def test_a_second_signal_ends_the_process_at_once() -> None:
    """Who presses the keys twice does not want to wait."""
    code, lines = run("time.sleep(1000)", [signal.SIGINT, signal.SIGINT])
    assert (code, lines[0]) == (130, "told 2")
