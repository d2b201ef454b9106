"""Terminal output: lines, tables, durations. All standard output and error passes through here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from heap_courier.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

_NAME: Final = 32  # columns of the terminal; a name up to this long is never folded, so that it can be copied


def say(line: str, *, err: bool = False) -> None:
    """One line on standard output or standard error."""
    click.echo(printable(line), err=err)


def say_lines(text: str, *, err: bool = False) -> None:
    """A text of several lines: CourierError has already escaped line ends from outside."""
    for line in text.split("\n"):
        say(line, err=err)


def instant(when: datetime | None) -> str:
    """An instant of the run log, in UTC."""
    return f"{when:%Y-%m-%d %H:%M:%S}" if when else ""


def took(started: datetime, ended: datetime | None) -> str:
    """A duration for a table cell, such as `0:05:12`; empty if it has not finished."""
    return str(timedelta(seconds=round((ended - started).total_seconds()))) if ended else ""


def ending(outcome: str, message: str | None) -> str:
    """An outcome and its message on one line."""
    return f"{outcome}: {' '.join(message.splitlines())}" if message else outcome


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> None:
    """A table on standard output: folded in a terminal, as wide as needed in a pipe. Numbers are right-aligned."""
    from rich.table import Table as RichTable  # noqa: PLC0415  (as slow to import as most commands are to run)
    from rich.text import Text  # noqa: PLC0415

    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        numeric = bool(rows) and all(isinstance(row[number], int | None) for row in rows)
        name = not numeric and all(_is_name(str(row[number] or "")) for row in rows)
        table.add_column(
            Text(printable(heading)), justify="right" if numeric else "left", overflow="fold", no_wrap=name
        )
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else printable(cell or "")) for cell in row))
    console = _console()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())  # rich fills up the last column


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows of a domain table: as a table if it fits into the terminal, otherwise one value per line."""
    from rich.cells import cell_len  # noqa: PLC0415  (as above)
    from rich.text import Text  # noqa: PLC0415

    columns = [printable(column) for column in columns]
    texts = [["" if value is None else printable(str(value)) for value in row] for row in rows]
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
    from rich.cells import cell_len  # noqa: PLC0415  (as above)

    return " " not in text and cell_len(text) <= _NAME


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415  (as above)

    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=100_000)
