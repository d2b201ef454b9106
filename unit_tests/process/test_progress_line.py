"""The line at the bottom of a terminal, as a terminal shows it."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import sys
import termios
from collections.abc import Iterator

import pyte
import pytest

from destination_heap_analytics.process.progress_line import DRAW_SECONDS, Progress

END = b"\x00"


class Terminal:
    """A real terminal, and what is on its screen."""

    def __init__(self, columns: int) -> None:
        self._keeper, self.descriptor = os.openpty()
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 10, columns, 0, 0))
        self._screen = pyte.Screen(columns or 80, 10)
        self._stream = pyte.ByteStream(self._screen)
        self.content = b""

    @property
    def lines(self) -> list[str]:
        os.write(self.descriptor, END)
        while not self.content.endswith(END):
            self.content += os.read(self._keeper, 65536)
        self._stream.feed(self.content.removesuffix(END))
        self.content = self.content.removesuffix(END)
        lines = [line.rstrip() for line in self._screen.display]
        self._screen.reset()
        return lines[: 1 + max((number for number, line in enumerate(lines) if line), default=-1)]

    def write(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def close(self) -> None:
        os.close(self._keeper)
        os.close(self.descriptor)


class Watch:
    """A progress line on a terminal, at a time that the test sets."""

    def __init__(self, columns: int = 80, *, is_shared: bool = True) -> None:
        self.now = 100.0
        self.terminal = Terminal(columns)
        self.progress = Progress(self.terminal.descriptor, is_shared=is_shared, clock=lambda: self.now)

    def show(self, rows: int, seconds: float = DRAW_SECONDS) -> list[str]:
        self.now += seconds
        self.progress.show(rows, rejected=2)
        return self.terminal.lines


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.terminal.close()


def test_it_shows_rows_and_their_outcome(watch: Watch) -> None:
    """Including delivered rows, for a run that delivers."""
    watch.now += 2
    watch.progress.show(24_690, rejected=3, delivered=1000)
    assert watch.terminal.lines == ["24,690 rows, 12,345 rows/s, 1,000 delivered, 3 rejected"]


def test_it_appears_immediately_and_shows_a_rate_as_soon_as_there_is_one(watch: Watch) -> None:
    """It is shown even while a run waits for its first row."""
    assert watch.show(1, seconds=0.01) == ["1 row, 2 rejected"]
    assert watch.show(1001) == ["1,001 rows, 3,850 rows/s, 2 rejected"]


def test_it_is_drawn_a_few_times_a_second(watch: Watch) -> None:
    """However often a run reports its progress."""
    for rows in range(100):
        watch.now += 0.01
        watch.progress.show(rows, rejected=0)
    watch.terminal.lines  # noqa: B018  # reads what was drawn
    assert watch.terminal.content.count(b"\r") == 4


def test_the_rate_is_that_of_the_last_seconds(watch: Watch) -> None:
    """A run that is waiting for Heap may have been fast before."""
    watch.show(1_000_000, seconds=10)
    for _ in range(30):
        shown = watch.show(1_000_000)
    assert shown == ["1,000,000 rows, 0 rows/s, 2 rejected"]


def test_a_new_line_covers_the_old_one(watch: Watch) -> None:
    """Even if it is shorter."""
    watch.progress.show(1_000_000, rejected=1_000_000)
    watch.now += 1
    watch.progress.show(1, rejected=0)
    assert watch.terminal.lines == ["1 row, 1 rows/s, 0 rejected"]


def test_it_needs_no_escape_codes(watch: Watch) -> None:
    """And no colours, so there is nothing to switch off."""
    watch.show(1)
    with watch.progress.aside():
        pass
    watch.progress.erase()
    assert watch.terminal.lines == []
    assert b"\x1b" not in watch.terminal.content


def test_output_is_printed_above_it(watch: Watch) -> None:
    """Completely; then the line is shown again."""
    line = watch.show(1)[0]
    with watch.progress.aside():
        watch.terminal.write('{"a": 1}\r\n')
    assert watch.terminal.lines == ['{"a": 1}', line]


def test_it_stays_if_the_output_goes_elsewhere() -> None:
    """Hiding it would only make it flicker."""
    watch = Watch(is_shared=False)
    watch.show(1)
    before = watch.terminal.content
    with watch.progress.aside():
        pass
    assert watch.terminal.lines == ["1 row, 4 rows/s, 2 rejected"]
    assert watch.terminal.content == before
    watch.terminal.close()


def test_at_the_end_its_line_is_empty(watch: Watch) -> None:
    """And the cursor is at its beginning; erasing it twice is harmless."""
    watch.show(1)
    watch.progress.erase()
    watch.progress.erase()
    watch.terminal.write("$")
    assert watch.terminal.lines == ["$"]


@pytest.mark.parametrize("columns", [0, 20])
def test_it_never_wraps(columns: int) -> None:
    """A wrapped line could not be overwritten. A terminal that does not report its width counts as 80 columns."""
    watch = Watch(columns)
    watch.show(123_456_789)
    watch.now += 1
    watch.progress.show(10**40, rejected=10**40, delivered=10**40)
    (line,) = watch.terminal.lines
    assert len(line) == (columns or 80) - 1
    watch.progress.erase()
    assert watch.terminal.lines == []
    watch.terminal.close()


def test_a_terminal_that_is_gone_does_not_stop_the_run() -> None:
    """Its window has been closed."""
    watch = Watch()
    watch.terminal.close()
    watch.now += 1
    watch.progress.show(1, rejected=0)
    with watch.progress.aside():
        pass
    watch.progress.erase()


def test_a_job_in_the_background_leaves_the_terminal_alone(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to the foreground job."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    assert watch.show(1) == []
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    assert watch.show(1) == ["1 row, 2 rows/s, 2 rejected"]


@pytest.mark.parametrize(
    ("stdin", "stderr", "term", "shown"),
    [
        (False, True, "xterm", True),
        (None, True, "xterm", True),
        (False, False, "xterm", False),
        (False, None, "xterm", False),
        (True, True, "xterm", False),
        (False, True, "dumb", False),
    ],
)
def test_it_is_shown_only_to_a_user_at_a_terminal(
    stdin: bool | None, stderr: bool | None, term: str, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not if output is piped, as on the platform, if the input is typed, or if the terminal is dumb."""
    terminal = Terminal(80)
    kinds = {True: os.fdopen(os.dup(terminal.descriptor), "w"), False: io.StringIO(), None: None}
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stdin", kinds[stdin])
    monkeypatch.setattr(sys, "stderr", kinds[stderr])
    Progress.on_standard_error().show(1, rejected=0)
    assert terminal.lines == (["1 row, 0 rejected"] if shown else [])
    kinds[True].close()  # type: ignore[union-attr]
    terminal.close()


def test_it_is_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """In process there is no terminal."""
    progress = Progress()
    progress.show(1, rejected=0)
    with progress.aside():
        pass
    progress.erase()
    assert capfd.readouterr() == ("", "")
