"""Starts commands in tests without waiting for their imports: as forks of a process that has already imported them.

Each fork has its own streams, environment, signals and exit code; it runs a function until the interpreter exits.
A test that needs a terminal, a closed descriptor, or the imports themselves starts Python instead.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from fcntl import F_SETPIPE_SZ, fcntl
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

SECONDS: Final = 300
"""A fork that runs longer is considered stuck, and killed by SIGALRM."""

LONGEST: Final = 1 << 17
"""The most bytes in a request."""

Request = tuple[Callable[..., object], tuple[Any, ...], dict[str, str], str]
"""The function to run, its arguments, the environment and the working directory."""


class Fork:
    """A started command, used like subprocess.Popen."""

    def __init__(self, report: IO[bytes], *streams: IO[Any] | None) -> None:
        """Wrap a fork: `report` gives its process ID, then its exit code; `streams` are our ends of its pipes."""
        self._report = report
        self.stdin, self.stdout, self.stderr = streams
        self.pid = int(report.readline())
        self.returncode: int | None = None

    def __enter__(self) -> Fork:  # noqa: PYI034  (Python 3.10 has no Self)
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure:
            self.kill()
        self._close()
        self.wait()

    def poll(self) -> int | None:
        """The exit code; None if it is still running."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for it to exit. Returns the exit code; if it was killed, the negative number of the signal."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
            with self._report:
                self.returncode = int(self._report.read())
        return self.returncode

    def communicate(self, content: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write `content` to its input and close it. Returns its output and errors; kills it if the time is up."""
        with ExitStack() as closing, ThreadPoolExecutor(3) as threads:
            closing.callback(self._close)
            threads.submit(self._feed, content)
            said = [threads.submit(_rest, stream) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return said[0].result(), said[1].result()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has exited."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _feed(self, content: Any) -> None:
        if self.stdin and not self.stdin.closed:
            with suppress(BrokenPipeError), self.stdin:
                if content:
                    self.stdin.write(content)

    def _close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()


def _rest(stream: IO[Any] | None) -> Any:
    return stream.read() if stream and not stream.closed else None


class ForkServer:
    """A process that has imported modules, and forks for each request that it reads from a socket."""

    def __init__(self, *modules: str) -> None:
        """Start the process. It exits when it is closed, or when this process exits."""
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (this file)
                [sys.executable, __file__, str(theirs.fileno()), json.dumps(sys.path), *modules],
                pass_fds=[theirs.fileno()],
                env=buffered,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # not a terminal either, which forks would take for theirs
            )

    def close(self) -> None:
        """Stop the process. Its forks keep running."""
        self._requests.close()
        self._process.wait()

    def start(
        self,
        program: Callable[..., object],
        *words: Any,
        stdin: int | IO[Any] = subprocess.PIPE,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
        text: bool = False,
        pipesize: int | None = None,
        environment: Mapping[str, str] = os.environ,
        folder: Path | None = None,
    ) -> Fork:
        """Run a function in a fork.

        Args:
            program: the function; it must be picklable.
            words: its arguments.
            stdin: PIPE, a file or a descriptor, as for subprocess.Popen.
            stdout: likewise.
            stderr: likewise, or STDOUT.
            text: whether the pipes are in text mode.
            pipesize: the capacity of each pipe in bytes.
            environment: the environment of the fork.
            folder: the working directory; None for the current one.
        """
        request: Request = (program, words, dict(environment), str(folder or Path.cwd()))
        with ExitStack() as theirs:

            def piped(their_end: int) -> IO[Any]:
                """Create a pipe, pass on `their_end` (0 or 1) and return the other end."""
                ends = os.pipe()
                if pipesize:
                    fcntl(ends[0], F_SETPIPE_SZ, pipesize)
                theirs.callback(os.close, ends[their_end])
                descriptors.append(ends[their_end])
                return os.fdopen(ends[1 - their_end], ("w" if their_end == 0 else "r") + ("" if text else "b"))

            descriptors: list[int] = []
            streams: list[IO[Any] | None] = []
            for number, stream in enumerate((stdin, stdout, stderr)):
                if stream == subprocess.PIPE:
                    streams.append(piped(min(number, 1)))
                    continue
                streams.append(None)
                if stream == subprocess.STDOUT:
                    descriptors.append(descriptors[1])
                else:
                    descriptors.append(stream if isinstance(stream, int) else stream.fileno())
            reading, writing = os.pipe()
            theirs.callback(os.close, writing)
            socket.send_fds(self._requests, [pickle.dumps(request)], [*descriptors, writing])
        return Fork(os.fdopen(reading, "rb"), *streams)


def _next_request(requests: socket.socket) -> Request:
    """For each request, fork and return in the child; exit when there are no more."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 4)
        if not message:
            sys.exit()
        if not os.fork():
            requests.close()
            _supervise(descriptors.pop())
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            os.closerange(3, max(descriptors) + 1)
            request: Request = pickle.loads(message)  # noqa: S301  (from the process that started this one)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _supervise(report: int) -> None:
    """Fork once more, and return in the child; the parent reports the child's process ID and exit code."""
    if child := os.fork():
        os.closerange(0, report)
        os.write(report, b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        os.write(report, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(report)


def main() -> None:
    """The process that forks, until the other end of its socket is closed."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    sys.path[:] = json.loads(sys.argv[2])
    for name in sys.argv[3:]:
        import_module(name)
    gc.freeze()  # otherwise each fork would copy all objects when it collects garbage
    program, words, environment, folder = _next_request(requests)
    signal.alarm(SECONDS)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    program(*words)


if __name__ == "__main__":
    main()
