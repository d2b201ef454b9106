"""The programs to measure, and the numbers of rows: the lines of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

LATENCIES = (0, 50)
"""Milliseconds until the server responds."""

LEAST_ROWS = 2000
"""The fewest rows for the longest lines: with fewer, the shortest would have none."""


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A program that is measured.

    Attributes:
        program: the command, below the project's folder.
        api: the API whose sample configuration it gets.
        delivery: the connector's setting of that name; None for what is not the connector.
        is_bulk: whether a request may contain many rows.
        posts: whether it sends anything.
        command: the command of the program.
        columns: the property columns; None for those of the sample configuration.
        has_key: whether the stream has a primary key.
    """

    name: str
    program: str
    api: str = "user_properties"
    delivery: Mapping[str, object] | None = None
    is_bulk: bool = False
    posts: bool = True
    command: str = "write"
    columns: str | None = None
    has_key: bool = True


LOOP = Contender("plain loop", "benchmarks/loop.py")
ROW = Contender("row mode", "main.py", delivery={"mode": "row"})
BULK = Contender("bulk mode", "main.py", delivery={"mode": "bulk"}, is_bulk=True)
ALL_COLUMNS = replace(BULK, name="bulk mode, all columns", columns="*")
TRACK = Contender(
    "bulk mode, events",
    "main.py",
    api="track",
    delivery={"mode": "bulk", "max_events_per_minute": 1_000_000_000},
    is_bulk=True,
)
KEYLESS = replace(TRACK, name="bulk mode, events without a primary key", has_key=False)
PREVIEW = Contender("preview", "main.py", command="preview", posts=False)
FLOOR = Contender("floor", "benchmarks/floor.py", posts=False)


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table; without rows, the start-up of its program.

    Attributes:
        latency: milliseconds until a response.
        rounds: the number of runs.
    """

    contender: Contender
    rows: int
    latency: int
    rounds: int

    def __str__(self) -> str:
        latency = f" at {self.latency} ms" if self.rows and self.contender.posts else ""
        return f"{self.contender.name}, {self.rows:,} rows{latency}"


def plan(rows: int, rounds: int) -> list[Case]:
    """The cases of each round, in order; slow ones run at most in the first two rounds."""
    fast, slow = LATENCIES
    small, few = rows // 20, min(2, rounds)
    return [
        *(Case(contender, 0, fast, rounds) for contender in (LOOP, BULK, FLOOR)),
        Case(LOOP, rows // 200, fast, rounds),
        Case(ROW, rows // 200, fast, rounds),
        Case(BULK, small, fast, rounds),
        Case(TRACK, small, fast, rounds),
        Case(FLOOR, small, fast, rounds),
        Case(BULK, rows, fast, few),
        Case(ALL_COLUMNS, rows, fast, few),
        Case(TRACK, rows, fast, few),
        Case(KEYLESS, rows, fast, few),
        Case(PREVIEW, rows, fast, few),
        Case(FLOOR, rows, fast, few),
        Case(LOOP, rows // 2000, slow, few),
        Case(ROW, rows // 50, slow, few),
        Case(BULK, rows, slow, few),
    ]
