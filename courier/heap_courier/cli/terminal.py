"""What a person sees in the terminal: tables, durations, a bar while something takes long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

# All but the line feed: one of them can move the cursor, ring, or recolour the terminal.
_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_NAME: Final = 32  # columns of the terminal: a name that is not longer is never folded, so that it can be copied


def instant(when: datetime | None) -> str:
    """An instant of the run_log, in UTC."""
    return f"{when:%Y-%m-%d %H:%M:%S}" if when else ""


def size(count: int) -> str:
    """Bytes as people read them."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if round(value, 1) < 1000:  # noqa: PLR2004  (the units are of thousands)
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def took(started: datetime, ended: datetime | None) -> str:
    """`0:05:12`: a duration for a column; empty while it goes on."""
    return str(timedelta(seconds=round((ended - started).total_seconds()))) if ended else ""


def ending(outcome: str, message: str | None) -> str:
    """How something ended and what is to be said of it, in a line."""
    return f"{outcome}: {' '.join(message.splitlines())}" if message else outcome


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> None:
    """A table on standard output: folded in a terminal, as wide as need be in a pipe. Numbers stand to the right."""
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        numeric = bool(rows) and all(isinstance(row[number], int | None) for row in rows)
        name = not numeric and all(_is_name(str(row[number] or "")) for row in rows)
        table.add_column(
            Text(_harmless(heading)), justify="right" if numeric else "left", overflow="fold", no_wrap=name
        )
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else _harmless(cell or "")) for cell in row))
    console = _console()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())  # noqa: T201  (rich fills up the last column)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows of a domain table: side by side where they fit into the terminal, else one below the other."""
    texts = [["" if value is None else _one_line(str(value)) for value in row] for row in rows]
    needed = sum(max(map(cell_len, cells)) + 2 for cells in zip(columns, *texts, strict=True))
    console = _console()
    if not console.is_terminal or needed <= console.width:
        print_table(columns, texts)
        return
    longest = max(map(len, columns))
    for number, row in enumerate(texts, 1):
        console.print(Text(f"row {number}", style="bold"))
        for column, value in zip(columns, row, strict=True):
            console.print(Text(f"  {column:<{longest}}  {value}"))


def _is_name(text: str) -> bool:
    return " " not in text and cell_len(text) <= _NAME


def _harmless(text: str) -> str:
    return _CONTROLS.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)


def _one_line(text: str) -> str:
    return _harmless(text).replace("\n", "\\n")


def _console() -> Console:
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=100_000)
