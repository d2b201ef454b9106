"""The report in Markdown: the machine, the table, the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.cases import ALL_COLUMNS, BULK, FLOOR, KEYLESS, LOOP, PREVIEW, ROW, TRACK, Case, Contender
from benchmarks.markdown import TARGETS, beyond, line, machine, number, target
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

_OVER_FLOOR = ((BULK, 0.8, 1.0), (TRACK, 0.6, 0.8), (KEYLESS, 0.4, 0.6), (ALL_COLUMNS, 0.6, 0.8), (PREVIEW, 0.8, 1.0))
"""Targets for the speed of the longest lines, as shares of the floor: required, and desirable."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a case."""

    run: Run
    counts: Counts


@dataclass(frozen=True, slots=True)
class StartUp:
    """A pair of runs: the connector's `spec`, and Python only importing the CDK."""

    spec: Run
    cdk: Run


@dataclass(frozen=True, slots=True)
class Results:
    """All runs of all cases, one per round."""

    runs: Mapping[Case, Sequence[Measured]]

    def case(self, contender: Contender, latency: int, *, longest: bool = True) -> Case:
        """The case with the most rows, or with the fewest."""
        cases = [case for case in self.runs if case.contender is contender and case.latency == latency and case.rows]
        return (max if longest else min)(cases, key=lambda case: case.rows)

    def start_up(self, case: Case) -> Case:
        """The same program without rows."""
        return next(one for one in self.runs if not one.rows and one.contender.program == case.contender.program)

    def wall(self, case: Case) -> float:
        """The wall-clock time of the command, in seconds."""
        return median(each.run.wall for each in self.runs[case])

    def cpu(self, case: Case) -> float:
        """The CPU time, in seconds."""
        return median(each.run.cpu for each in self.runs[case])

    def peak(self, case: Case) -> float:
        """The peak memory, in MB."""
        return median(each.run.peak for each in self.runs[case]) / 1e6

    def filling(self, case: Case) -> float:
        """Rows per request."""
        return median(case.rows / each.counts.requests for each in self.runs[case])

    def ratio(self, case: Case, to: Case) -> float:
        """The ratio of rows per second, including start-up, from pairs of runs in the same round."""
        pairs = zip(self.runs[case], self.runs[to], strict=False)  # one of the two may have fewer rounds
        return median((case.rows / one.run.wall) / (to.rows / other.run.wall) for one, other in pairs)


def report(results: Results, start_ups: Sequence[StartUp], load: float) -> str:
    """The whole report; `load` is the machine's load average before the first run."""
    return "\n".join(
        [machine(load, ["airbyte-cdk"]), "", *_table(results), "", _notes(results), "", *_targets(results, start_ups)]
    )


def _table(results: Results) -> Iterator[str]:
    yield line(_COLUMNS)
    yield line(["---", *["---:"] * (len(_COLUMNS) - 1)])
    for case in results.runs:
        if case.rows:
            yield line(_cells(results, case))


def _cells(results: Results, case: Case) -> Iterator[str]:
    contender, rows, wall = case.contender, case.rows, results.wall(case)
    start_up = results.start_up(case)
    running = beyond(results.wall(start_up), wall)
    cpu = beyond(results.cpu(start_up), results.cpu(case))
    floor = results.runs.keys() & {Case(FLOOR, rows, 0, case.rounds)}
    yield contender.name
    yield f"{rows:,}"
    yield f"{case.latency} ms" if contender.posts else ""
    yield f"{wall:.2f}"
    yield number(rows / wall)
    yield number(rows / running) if running else ""
    yield number(cpu / rows * 1e6) if cpu else ""
    yield f"{results.peak(case):.0f} MB"
    yield number(results.filling(case)) if contender.posts else ""
    yield number(results.ratio(case, results.case(LOOP, case.latency))) if contender.posts else ""
    yield number(results.ratio(case, *floor)) if floor else ""


def _notes(results: Results) -> str:
    empty = {case.contender.program: results.wall(case) for case in results.runs if not case.rows}
    start_ups = ", ".join(f"`{program}` {seconds:.2f} s" for program, seconds in empty.items())
    busy = max(each.counts.cpu / each.run.wall for runs in results.runs.values() for each in runs)
    rounds = max(case.rounds for case in results.runs)
    turns = (
        f"Figures are medians of {rounds} alternating rounds, or of the first two for slow lines; ratios are computed "
        "within each round."
    )
    return (
        "Seconds, rows/s and both ratios cover the whole command, including its start-up; *running* subtracts the time "
        f"for an empty input: {start_ups}. "
        f"{turns if rounds > 1 else 'This is a smoke test: each line ran once, with too few rows to compare.'} Every "
        "run exited with code 0 and returned all its states, and the server counted exactly the rows sent. "
        f"The server used at most {busy:.0%} of a core during a run."
    )


def _targets(results: Results, start_ups: Sequence[StartUp]) -> Iterator[str]:
    bulk, floor, loop = (results.case(contender, 0) for contender in (BULK, FLOOR, LOOP))
    slow_row, slow_loop = results.case(ROW, 50), results.case(LOOP, 50)
    yield from map(line, TARGETS)
    for contender, least, aim in _OVER_FLOOR:
        case = results.case(contender, 0)
        yield target(f"{case} / floor", results.ratio(case, floor), least=least, aim=aim)
        yield target(f"{case} / floor, by CPU time", results.cpu(floor) / results.cpu(case), least=least, aim=aim)
    yield target(f"{bulk} / plain loop", results.ratio(bulk, loop), least=150)
    yield target(f"{slow_row} / plain loop", results.ratio(slow_row, slow_loop), least=45, aim=60)
    for contender in (BULK, TRACK):
        long, short = results.case(contender, 0), results.case(contender, 0, longest=False)
        grown = results.peak(long) - results.peak(short)
        yield target(f"{contender.name}, peak MB of {long.rows:,} rows - {short.rows:,} rows", grown, most=10)
        yield target(f"{long}, rows/request", results.filling(long), least=900, aim=1000)
    wall = median(pair.spec.wall / pair.cdk.wall for pair in start_ups)
    cpu = median(pair.spec.cpu / pair.cdk.cpu for pair in start_ups)
    yield target("start-up: `main.py spec` / importing the CDK", wall, most=0.3)
    yield target("start-up: `main.py spec` / importing the CDK, CPU", cpu, most=0.3)
