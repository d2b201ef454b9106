"""The programs to measure, and the numbers of rows: the lines of the table."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.pull.bucket import Dump


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that is measured.

    Attributes:
        engine: the engine of the database that it loads into; None if it only reads.
        program: a file in this folder; None for the courier.
        is_pinned: whether it may use only one core.
        rounds: the number of rounds in which it takes part; None for all.
    """

    name: str
    engine: str | None
    program: str | None = None
    is_pinned: bool = False
    rounds: int | None = None


SCRIPT = Contender("script: fastavro, SQLite", "sqlite", "script.py", is_pinned=True)
DLT = Contender("dlt: fastavro, DuckDB", "duckdb", "with_dlt.py", rounds=1)
POLARS = Contender("polars, no warehouse", None, "with_polars.py")
ONE_CORE = Contender("courier, DuckDB", "duckdb", is_pinned=True)
ALL_CORES = Contender("courier, DuckDB", "duckdb")
POSTGRESQL = Contender("courier, PostgreSQL", "postgresql")


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table; without rows, the start-up of its program."""

    contender: Contender
    dump: Dump

    def __str__(self) -> str:
        files = f"{self.dump.files:,} file{'' if self.dump.files == 1 else 's'}"
        return f"{self.contender.name}, {'one core' if self.contender.is_pinned else 'all cores'}, {files}"


def dumps(files: int, rows: int) -> tuple[Dump, Dump, Dump]:
    """Three dumps: with no file, one file, and all files, each file with this many rows."""
    return Dump(0, rows), Dump(1, rows), Dump(files, rows)


def plan(files: int, rows: int, *, postgresql: bool, dlt: bool) -> list[Case]:
    """The cases of a round, in order."""
    nothing, one, all_files = dumps(files, rows)
    contenders = [SCRIPT, *([DLT] if dlt else []), POLARS, ONE_CORE, ALL_CORES, *([POSTGRESQL] if postgresql else [])]
    return [
        *(Case(contender, nothing) for contender in contenders),
        Case(ONE_CORE, one),
        Case(ALL_CORES, one),
        *(Case(contender, all_files) for contender in contenders),
    ]


def start_up(case: Case) -> Case:
    """The same case without rows."""
    return Case(case.contender, Dump(0, case.dump.rows_of_a_file))
