"""Starts the connector without waiting for its imports: main.py from its first line, in a fork."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from fork_server import Fork, ForkServer

MAIN: Final = str(Path(__file__).resolve().parents[1] / "main.py")

IMPORTED: Final = ("cli", "connector", "run.event_queue", "run.preview_report", "run.sync", "rejected.resend")
"""Modules of the connector that its commands import."""

SECONDS: Final = 120
"""A process that runs longer is considered stuck; nothing takes a tenth of it, except on a very slow machine."""


class Forked:
    """The connector's command line."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Forked]:
        """Start the process that has imported the connector, and forks."""
        modules = (f"destination_heap_analytics.{name}" for name in IMPORTED)
        with closing(ForkServer(__name__, *modules)) as server:
            yield cls(server)

    def start(self, words: Sequence[str], *, speed: float = 1.0, **streams: Any) -> Fork:
        """Begin `main.py WORDS`, with the streams of ForkServer.start.

        Args:
            words: the command and its options.
            speed: seconds of the connector's clock per real one: its pauses between requests are as much shorter.
            streams: see there.
        """
        return self._server.start(main_py, speed, *words, **streams)

    def run(
        self, words: Sequence[str], content: bytes = b"", *, speed: float = 1.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `main.py WORDS` to completion with this standard input, like subprocess.run."""
        out, err = (process := self.start(words, speed=speed)).communicate(content, SECONDS)
        return subprocess.CompletedProcess([MAIN, *words], process.wait(), out, err)


def main_py(speed: float, *words: str) -> None:
    """The function that runs in a fork."""
    connector = import_module("destination_heap_analytics.connector")
    deletion = import_module("destination_heap_analytics.delivery.http.deletion")
    connector.Clock = partial(connector.Clock, speed)
    deletion.FIRST_PAUSE /= speed
    sys.path[0] = str(Path(MAIN).parent)
    sys.argv = [MAIN, *words]
    runpy.run_path(MAIN, run_name="__main__")
