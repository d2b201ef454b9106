"""Runs one command as a process and measures its cost. Needs POSIX, for `wait4`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900.0
"""A command that takes longer is considered stuck, and killed."""

_LEFT_OUT = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
_LEFT_OUT_PREFIX, _LEFT_OUT_SUFFIX = "COVERAGE", "_PROXY"
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_PREFIX) and not name.upper().endswith(_LEFT_OUT_SUFFIX)
}
"""The user's environment, without variables that would affect the measurement."""

_PEAK_BYTES = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss


@dataclass(frozen=True, slots=True)
class Run:
    """A finished command.

    Attributes:
        code: its exit code.
        wall: seconds from start to exit.
        cpu: seconds of CPU time, including the system's.
        peak: the peak memory in bytes; at least that of this process, about 25 MB.
    """

    code: int
    wall: float
    cpu: float
    peak: int


def run(
    arguments: list[str],
    stdin: Path,
    stdout: Path,
    *,
    environment: Mapping[str, str] = ENVIRONMENT,
    cores: Collection[int] = (),
    python: str = sys.executable,
) -> Run:
    """Run Python with `arguments` in the project's folder; standard error is inherited.

    It runs on all cores, or only on `cores`, which requires Linux.
    """
    with stdin.open("rb") as source, stdout.open("wb") as sink, _pinned(cores):
        begun = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  # this project's own programs
            [python, *arguments],
            stdin=source,
            stdout=sink,
            cwd=ROOT,
            env=environment,
            start_new_session=True,  # Ctrl-C goes to the benchmark, which then stops the command
        )
        alarm = threading.Timer(SECONDS, os.kill, (process.pid, signal.SIGKILL))
        alarm.daemon = True
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begun
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    return Run(process.returncode, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _PEAK_BYTES)


@contextmanager
def _pinned(cores: Collection[int]) -> Iterator[None]:
    """Restrict this thread to these cores, which processes that it starts inherit."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tail(path: Path, count: int = 5) -> Iterator[str]:
    """The last lines of the output of a command."""
    yield from path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
