"""Runs the connector without the time of its imports: by forking a process that has done them.

What runs is main.py from its first line, in a process with streams, environment, signals and an exit of its own.
A test starts Python itself if it needs a process that it can signal, a terminal, a closed descriptor, or the imports.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

MAIN: Final = str(Path(__file__).resolve().parents[1] / "main.py")

IMPORTED: Final = ("cli", "connector", "run.event_queue", "run.preview_report", "run.sync", "rejected.resend")
"""Modules of the connector that its commands import."""

ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""As on the platform, where standard output is block-buffered."""

SECONDS: Final = 120
"""After so long a process counts as stuck; nothing here takes a tenth of it but on a very slow machine."""

LONGEST: Final = 1 << 17
"""Bytes of a request."""


class Request(NamedTuple):
    """What to run, and where: it is killed (by SIGALRM) if it is stuck."""

    words: list[str]
    environment: dict[str, str]
    folder: str
    speed: float


class Forked:
    """The process that forks; the socket that it reads is in this process."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Forked]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=ENVIRONMENT), ours:
            theirs.close()
            yield cls(ours)

    def run(
        self, words: Sequence[str], content: bytes = b"", *, speed: float = 1.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `main.py WORDS` with this on standard input to its end, as subprocess.run does.

        Args:
            words: the command and its options.
            content: what is on standard input.
            speed: seconds of the connector's clock per real one: its pauses between requests are as much shorter.
        """
        request = Request([MAIN, *words], dict(os.environ), str(Path.cwd()), speed)
        with ThreadPoolExecutor(2) as threads, ExitStack() as theirs, ExitStack() as ours:
            reading, feed = os.pipe()
            threads.submit(_feed, feed, content)
            descriptors = [reading]
            theirs.callback(os.close, reading)
            ends = []
            for _ in range(3):
                reading, writing = os.pipe()
                ends.append(ours.enter_context(os.fdopen(reading, "rb")))
                theirs.callback(os.close, writing)
                descriptors.append(writing)
            socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)
            theirs.close()
            out, err, status = ends
            said = threads.submit(err.read)
            return subprocess.CompletedProcess(
                request.words, stdout=out.read(), stderr=said.result(), returncode=int(status.read())
            )


def _feed(descriptor: int, content: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(content)


def _next_request(requests: socket.socket) -> Request:
    """Returns in a fork for each request; exits when there are no more."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 4)
        if not message:
            sys.exit()
        if not os.fork():
            requests.close()
            _supervise(descriptors.pop())
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return Request(*json.loads(message))
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _supervise(report: int) -> None:
    """Fork once more, and report how that fork exits; returns in it."""
    if child := os.fork():
        os.closerange(0, report)
        _, status = os.waitpid(child, 0)
        os.write(report, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(report)


def _speed_up(speed: float) -> None:
    connector = import_module("destination_heap_analytics.connector")
    deletion = import_module("destination_heap_analytics.delivery.http.deletion")
    connector.Clock = partial(connector.Clock, speed)
    deletion.FIRST_PAUSE /= speed


def main() -> None:
    """The process that forks, until the other end of its socket is closed."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = str(Path(MAIN).parent)
    for name in IMPORTED:
        import_module(f"destination_heap_analytics.{name}")
    gc.freeze()  # otherwise each fork would copy all objects when it exits
    request = _next_request(requests)
    signal.alarm(SECONDS)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    _speed_up(request.speed)
    sys.argv = request.words
    runpy.run_path(MAIN, run_name="__main__")


if __name__ == "__main__":
    main()
