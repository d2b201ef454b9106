"""What was measured -> Markdown: the machine, the table, the targets."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.cases import BULK, FLOOR, LOOP, ROW, TRACK, Case, Contender
from benchmarks.run import Run
from benchmarks.server import Counts

_COLUMNS = (
    "",
    "rows",
    "latency",
    "seconds",
    "rows/s",
    "rows/s, running",
    "CPU µs/row, running",
    "peak memory",
    "rows/request",
    "x loop",
    "x floor",
)
_TELLING = 0.1
"""Where rows take less than this share of the start-up, they cannot be told from its noise."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a case."""

    run: Run
    counts: Counts


@dataclass(frozen=True, slots=True)
class StartUp:
    """A pair of runs: the connector's `spec`, and Python importing the CDK alone."""

    spec: Run
    cdk: Run


@dataclass(frozen=True, slots=True)
class Results:
    """All runs of all cases, a round each."""

    runs: Mapping[Case, Sequence[Measured]]

    def case(self, contender: Contender, latency: int, *, longest: bool = True) -> Case:
        """The case with the most rows, or with the fewest."""
        cases = [case for case in self.runs if case.contender is contender and case.latency == latency and case.rows]
        return (max if longest else min)(cases, key=lambda case: case.rows)

    def start_up(self, case: Case) -> Case:
        """The same program without rows."""
        return next(one for one in self.runs if not one.rows and one.contender.program == case.contender.program)

    def wall(self, case: Case) -> float:
        """Seconds of the whole command."""
        return median(each.run.wall for each in self.runs[case])

    def cpu(self, case: Case) -> float:
        """Seconds of processor time."""
        return median(each.run.cpu for each in self.runs[case])

    def peak(self, case: Case) -> float:
        """MB of memory."""
        return median(each.run.peak for each in self.runs[case]) / 1e6

    def filling(self, case: Case) -> float:
        """Rows of a request."""
        return median(case.rows / each.counts.requests for each in self.runs[case])

    def ratio(self, case: Case, to: Case) -> float:
        """How many times more rows a second, start-up included; each round is a pair."""
        pairs = zip(self.runs[case], self.runs[to], strict=False)  # one of them may have fewer rounds
        return median((case.rows / one.run.wall) / (to.rows / other.run.wall) for one, other in pairs)


def report(results: Results, start_ups: Sequence[StartUp], load: float) -> str:
    """All of it; `load` is the machine's load average before the first run."""
    return "\n".join([_machine(load), "", *_table(results), "", _notes(results), "", *_targets(results, start_ups)])


def _machine(load: float) -> str:
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # no Linux
        system = platform.system()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(timezone.utc):%Y-%m-%d} on one machine, over loopback: {_processor()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory; {system}, {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, airbyte-cdk {version('airbyte-cdk')}. "
        f"Load average before the first run: {load:.1f}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _table(results: Results) -> Iterator[str]:
    yield _line(_COLUMNS)
    yield _line(["---", *["---:"] * (len(_COLUMNS) - 1)])
    for case in results.runs:
        if case.rows:
            yield _line(_cells(results, case))


def _cells(results: Results, case: Case) -> Iterator[str]:
    contender, rows, wall = case.contender, case.rows, results.wall(case)
    start_up = results.start_up(case)
    running = _beyond(results.wall(start_up), wall)
    cpu = _beyond(results.cpu(start_up), results.cpu(case))
    floor = results.runs.keys() & {Case(FLOOR, rows, 0, case.rounds)}
    yield contender.name
    yield f"{rows:,}"
    yield f"{case.latency} ms" if contender.posts else ""
    yield f"{wall:.2f}"
    yield _number(rows / wall)
    yield _number(rows / running) if running else ""
    yield _number(cpu / rows * 1e6) if cpu else ""
    yield f"{results.peak(case):.0f} MB"
    yield _number(results.filling(case)) if contender.posts else ""
    yield _number(results.ratio(case, results.case(LOOP, case.latency))) if contender.posts else ""
    yield _number(results.ratio(case, *floor)) if floor else ""


def _beyond(start_up: float, whole: float) -> float | None:
    """What the rows took; None where that cannot be told from noise."""
    return whole - start_up if whole - start_up > _TELLING * start_up else None


def _notes(results: Results) -> str:
    empty = {case.contender.program: results.wall(case) for case in results.runs if not case.rows}
    start_ups = ", ".join(f"`{program}` {seconds:.2f} s" for program, seconds in empty.items())
    busy = max(each.counts.cpu / each.run.wall for runs in results.runs.values() for each in runs)
    rounds = max(case.rounds for case in results.runs)
    turns = (
        f"Figures are medians of {rounds} rounds in which the lines take turns, or of the first two for what takes "
        "long; a ratio is taken within each round."
    )
    return (
        "Seconds, rows/s and both ratios are those of the whole command, its start-up included; *running* leaves out "
        f"what a write of an empty input takes: {start_ups}. "
        f"{turns if rounds > 1 else 'A smoke test: each line ran once, with few rows, and says little.'} Every run "
        "ended with exit code 0 and gave all its states back, and the server counted as many rows as went in. "
        f"The server kept at most {busy:.0%} of a core busy during a run."
    )


def _targets(results: Results, start_ups: Sequence[StartUp]) -> Iterator[str]:
    bulk, floor, loop = (results.case(contender, 0) for contender in (BULK, FLOOR, LOOP))
    slow_row, slow_loop = results.case(ROW, 50), results.case(LOOP, 50)
    start_up = median(pair.spec.wall / pair.cdk.wall for pair in start_ups)
    yield _line(["", "target", "aim", "measured", ""])
    yield _line(["---", "---:", "---:", "---:", "---"])
    yield _target(f"{bulk} / floor", results.ratio(bulk, floor), least=0.5, aim=0.8)
    yield _target(f"{bulk} / plain loop", results.ratio(bulk, loop), least=150)
    yield _target(f"{slow_row} / plain loop", results.ratio(slow_row, slow_loop), least=20, aim=40)
    for contender in (BULK, TRACK):
        long, short = results.case(contender, 0), results.case(contender, 0, longest=False)
        grown = results.peak(long) - results.peak(short)
        yield _target(f"{contender.name}, peak MB of {long.rows:,} rows - {short.rows:,} rows", grown, most=30)
        yield _target(f"{long}, rows/request", results.filling(long), least=900, aim=1000)
    yield _target("start-up: `main.py spec` / importing the CDK", start_up, most=1.15)


def _target(name: str, value: float, *, least: float | None = None, most: float | None = None, aim: float = 0) -> str:
    wanted = f"at least {least:g}" if least is not None else f"at most {most:g}"
    is_met = value >= least if least is not None else most is not None and value <= most
    return _line([name, wanted, f"{aim:g}" if aim else "", _number(value), "met" if is_met else "**missed**"])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    """About three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004
