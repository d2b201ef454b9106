"""Progress of a command: a bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from heap_courier.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Bar(Protocol):
    """What a run reports its progress to."""

    def stage(self, what: str, total_bytes: int | None = None) -> None:
        """Starts a stage: files with a known total size in bytes, or rows, whose number is unknown."""

    def advance(self, amount: int) -> None:
        """Adds processed bytes or rows. May be called from any thread."""


class NoBar:
    """Shows nothing."""

    def stage(self, what: str, total_bytes: int | None = None) -> None:
        """Does nothing."""

    def advance(self, amount: int) -> None:
        """Does nothing."""


class _TerminalBar:
    def __init__(self, console: Console) -> None:
        from rich.progress import (  # noqa: PLC0415  (only a terminal needs it)
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        self._bytes = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._rows = Progress(
            TextColumn("{task.description}", markup=False),
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._shown: Progress | None = None
        self._task: TaskID | None = None

    def stage(self, what: str, total_bytes: int | None = None) -> None:
        self.end()
        self._shown = self._rows if total_bytes is None else self._bytes
        self._task = self._shown.add_task(printable(what), total=total_bytes)
        self._shown.start()

    def advance(self, amount: int) -> None:
        if self._shown and self._task is not None:
            self._shown.advance(self._task, amount)

    def end(self) -> None:
        if self._shown and self._task is not None:
            self._shown.stop()
            self._shown.remove_task(self._task)
            self._shown = None


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar on standard error while a block runs, if that is a terminal; removed at the end."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield NoBar()
        return
    from rich.console import Console  # noqa: PLC0415  (as above)

    console = Console(stderr=True)
    if not console.is_terminal:  # rich also considers variables such as TERM
        yield NoBar()
        return
    bar = _TerminalBar(console)
    try:
        yield bar
    finally:
        bar.end()
