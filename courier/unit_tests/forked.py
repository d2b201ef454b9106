"""Starts the courier without the time of its imports: as a fork of a process that has done them.

What runs is `heap-courier` from its first line, or another function of a module, in a process that can be signalled,
with streams, environment and an exit of its own. A test starts Python itself if the imports are its subject, or a
terminal, or a closed stream.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Final, TextIO

IMPORTED: Final = "courier.unit_tests.forked_imports"
_CONTEXT: Final = get_context("forkserver")
_CONTEXT.set_forkserver_preload([IMPORTED])


def heap_courier(*words: str) -> None:
    """The command as the shell starts it."""
    from heap_courier.__main__ import main  # noqa: PLC0415  (as late as the command does)

    sys.argv = ["heap-courier", *words]
    main()


class Forked:
    """A process, used like subprocess.Popen with pipes of text."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        program: Callable[..., object] = heap_courier,
        merged: bool = False,
    ) -> None:
        """Starts it. `merged`: what it writes to standard error comes with its output, in order."""
        ends = [os.pipe() for _ in range(3)]
        theirs = [ends[0][0], ends[1][1], ends[1][1] if merged else ends[2][1]]
        self.stdin: TextIO = os.fdopen(ends[0][1], "w")
        self.stdout: TextIO = os.fdopen(ends[1][0])
        self.stderr: TextIO = os.fdopen(ends[2][0])
        passed = [_Descriptor(number) for number in theirs]
        self._process = _CONTEXT.Process(
            target=_run, args=(program, list(words), str(folder), dict(environment), passed), daemon=True
        )
        self._process.start()
        for number in (ends[0][0], ends[1][1], ends[2][1]):
            os.close(number)

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Ends the process's input; returns what it writes until it exits."""
        with ExitStack() as ended, ThreadPoolExecutor(2) as threads:
            for each in (self.stdin, self.stdout, self.stderr):
                ended.callback(each.close)
            self.stdin.close()
            said = [threads.submit(_rest, each) for each in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return said[0].result(), said[1].result()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _rest(stream: TextIO) -> str:
    return "" if stream.closed else stream.read()


class _Descriptor:
    """A file descriptor that goes to the process that is being started."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._number),)


def _received(passed: Any) -> int:
    return int(passed.detach())


def _run(
    program: Callable[..., object],
    words: list[str],
    folder: str,
    environment: dict[str, str],
    descriptors: list[int],
) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    program(*words)
