"""How far a command is: a progress bar on standard error, if that is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Bar(Protocol):
    """Where a run tells how far it is."""

    def stage(self, what: str, total_bytes: int | None = None) -> None:
        """Something new begins: files of so many bytes, or rows, whose number is not known beforehand."""

    def advance(self, amount: int) -> None:
        """So many bytes or rows more are done. May be called by any thread."""


class NoBar:
    """Tells no one."""

    def stage(self, what: str, total_bytes: int | None = None) -> None:
        """Nothing."""

    def advance(self, amount: int) -> None:
        """Nothing."""


class _TerminalBar:
    def __init__(self, console: Console) -> None:
        self._bytes = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._rows = Progress(
            TextColumn("{task.description}"),
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._shown: Progress | None = None
        self._task = TaskID(0)

    def stage(self, what: str, total_bytes: int | None = None) -> None:
        self.end()
        self._shown = self._rows if total_bytes is None else self._bytes
        self._task = self._shown.add_task(what, total=total_bytes)
        self._shown.start()

    def advance(self, amount: int) -> None:
        if self._shown:
            self._shown.advance(self._task, amount)

    def end(self) -> None:
        if self._shown:
            self._shown.stop()
            self._shown.remove_task(self._task)
            self._shown = None


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar on standard error while a block runs, where that is a terminal; gone at the end."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield NoBar()
        return
    bar = _TerminalBar(console)
    try:
        yield bar
    finally:
        bar.end()
