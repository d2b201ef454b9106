"""A progress line at the bottom of a terminal; there is none if standard error is not a terminal, as on the platform.

It uses neither escape codes nor colours: it returns to the start of its line and overwrites it. A library would add
20 ms (tqdm) or 100 ms (rich) of import time to a command that should start quickly.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from stat import S_ISFIFO
from typing import Final, TextIO

DRAW_SECONDS: Final = 0.25
_MARKS: Final = 20
"""The rate is measured over this many updates, which take at least five seconds."""

_COLUMNS: Final = 80
"""The assumed width of a terminal that does not report its own."""


class Progress:
    """The progress of a run."""

    def __init__(
        self,
        terminal: int | None = None,
        *,
        is_shared: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start; nothing is drawn yet.

        Args:
            terminal: the terminal's descriptor; None if there is no terminal.
            is_shared: whether other output goes to the same terminal.
            clock: monotonic seconds.
        """
        self._terminal = terminal
        self._is_shared = is_shared
        self._clock = clock
        self._text = ""
        self._due = 0.0
        self._marks = deque([(clock(), 0)], maxlen=_MARKS)

    @classmethod
    def on_standard_error(cls) -> Progress:
        """The progress line of a command.

        There is none if the input is typed, because it would mix with the line, or if another program reads the output,
        because that may draw on the same terminal, as PyAirbyte and `less` do.
        """
        shared = _is_terminal(sys.stdin) or _is_pipe(sys.stdout)
        watched = _is_terminal(sys.stderr) and not shared and os.environ.get("TERM") != "dumb"
        return cls(sys.stderr.fileno() if watched else None, is_shared=_is_terminal(sys.stdout))

    def show(self, rows: int, rejected: int, delivered: int | None = None, note: str = "") -> None:
        """Redraw the line, if it is due.

        Args:
            rows: the number of rows read.
            rejected: the number of rows rejected.
            delivered: the number of rows delivered; None if the command delivers none.
            note: the end of the line: what the run is waiting for.
        """
        if self._terminal is None or (now := self._clock()) < self._due:
            return
        self._due = now + DRAW_SECONDS
        since, rows_then = self._marks[0]
        counts = [f"{rows:,} row{'' if rows == 1 else 's'}"]
        if now - since >= DRAW_SECONDS:
            self._marks.append((now, rows))
            counts.append(f"{(rows - rows_then) / (now - since):,.0f} rows/s")
        if delivered is not None:
            counts.append(f"{delivered:,} delivered")
        self._draw(", ".join([*counts, f"{rejected:,} rejected"]) + note)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Hide the line while something is written to standard output."""
        text = self._text if self._is_shared else ""
        if text:
            self.erase()
        yield
        if text:
            self._draw(text)

    def erase(self) -> None:
        """Clear the line."""
        if self._text:
            self._draw("")
            self._write("\r")

    def _draw(self, text: str) -> None:
        room = self._columns() - 1  # a full line would wrap, and the next draw could not return to its start
        self._write("\r" + text[:room].ljust(min(len(self._text), room)))
        self._text = text[:room]

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the progress line never stops a run
            if self._terminal is not None and _is_in_front(self._terminal):
                os.write(self._terminal, text.encode())

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._terminal or 0).columns or _COLUMNS
        except OSError:
            return _COLUMNS


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # a stream whose descriptor is closed is None


def _is_pipe(stream: TextIO | None) -> bool:
    try:
        return stream is not None and S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # no descriptor, as in a test
        return False


def _is_in_front(terminal: int) -> bool:
    """Whether this job is in the foreground of the terminal; always true for a terminal without job control."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True
