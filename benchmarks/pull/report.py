"""The report in Markdown: the machine, the table, the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.markdown import TARGETS, beyond, line, machine, number, target
from benchmarks.pull.cases import ALL_CORES, DLT, ONE_CORE, POLARS, SCRIPT, Case, Contender, start_up
from benchmarks.run import Run

MOST_GROWTH = 1.3
"""The most memory for all files together, as a multiple of that for one file."""

PACKAGES = ("boto3", "fastavro", "polars", "pyarrow", "duckdb", "moto")

_COLUMNS = (
    "",
    "cores",
    "files",
    "rows",
    "seconds",
    "rows/s",
    "rows/s, running",
    "CPU µs/row, running",
    "peak memory",
    "x script",
    "x script, running",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a case, and the CPU time of the server for it, in seconds."""

    run: Run
    server_cpu: float


@dataclass(frozen=True, slots=True)
class Results:
    """All runs of all cases, one per round."""

    runs: Mapping[Case, Sequence[Measured]]

    def case(self, contender: Contender, *, longest: bool = True) -> Case:
        """The case with the most rows, or with the fewest."""
        cases = [case for case in self.runs if case.contender is contender and case.dump.rows]
        return (max if longest else min)(cases, key=lambda case: case.dump.rows)

    def wall(self, case: Case) -> float:
        """The wall-clock time of the command, in seconds."""
        return median(each.run.wall for each in self.runs[case])

    def cpu(self, case: Case) -> float:
        """The CPU time, in seconds."""
        return median(each.run.cpu for each in self.runs[case])

    def peak(self, case: Case) -> float:
        """The peak memory, in MB."""
        return median(each.run.peak for each in self.runs[case]) / 1e6

    def ratio(self, case: Case, to: Case) -> float:
        """The ratio of rows per second, including start-up, from pairs of runs in the same round."""
        pairs = zip(self.runs[case], self.runs[to], strict=False)
        rows = case.dump.rows / to.dump.rows
        return median(rows * other.run.wall / one.run.wall for one, other in pairs)

    def ratio_running(self, case: Case, to: Case) -> float | None:
        """The same without start-up; None if it is indistinguishable from noise."""
        if not (one := self._running(case)) or not (other := self._running(to)):
            return None
        rows = case.dump.rows / to.dump.rows
        return median(rows * theirs / ours for ours, theirs in zip(one, other, strict=False))

    def _running(self, case: Case) -> list[float] | None:
        pairs = zip(self.runs[start_up(case)], self.runs[case], strict=True)
        seconds = [beyond(empty.run.wall, whole.run.wall) for empty, whole in pairs]
        known = [each for each in seconds if each]
        return known if len(known) == len(seconds) else None


def report(results: Results, load: float) -> str:
    """The whole report; `load` is the machine's load average before the first run."""
    return "\n".join([machine(load, PACKAGES), "", *_table(results), "", _notes(results), "", *_targets(results)])


def _table(results: Results) -> Iterator[str]:
    yield line(_COLUMNS)
    yield line(["---", *["---:"] * (len(_COLUMNS) - 1)])
    for case in results.runs:
        if case.dump.rows:
            yield line(_cells(results, case))


def _cells(results: Results, case: Case) -> Iterator[str]:
    rows, wall = case.dump.rows, results.wall(case)
    empty, script = start_up(case), results.case(SCRIPT)
    running = beyond(results.wall(empty), wall)
    cpu = beyond(results.cpu(empty), results.cpu(case))
    is_comparable = case.dump == script.dump
    ratio_running = results.ratio_running(case, script) if is_comparable else None
    yield case.contender.name
    yield "one" if case.contender.is_pinned else "all"
    yield f"{case.dump.files}"
    yield f"{rows:,}"
    yield f"{wall:.2f}"
    yield number(rows / wall)
    yield number(rows / running) if running else ""
    yield number(cpu / rows * 1e6) if cpu else ""
    yield f"{results.peak(case):.0f} MB"
    yield number(results.ratio(case, script)) if is_comparable else ""
    yield number(ratio_running) if ratio_running else ""


def _notes(results: Results) -> str:
    start_ups = ", ".join(
        f"{case.contender.name} on {'one core' if case.contender.is_pinned else 'all cores'} {results.wall(case):.2f} s"
        for case in results.runs
        if not case.dump.rows
    )
    busy = max(each.server_cpu / each.run.wall for runs in results.runs.values() for each in runs)
    rounds = max(len(runs) for runs in results.runs.values())
    turns = (
        f"Figures are medians of {rounds} alternating rounds (dlt: the first alone); ratios are of one round."
        if rounds > 1
        else "This is a smoke test: each line ran once, with too few rows to compare."
    )
    return (
        "Seconds, rows/s and the first ratio cover the whole command, including its start-up; *running* subtracts the "
        f"time for a dump without files: {start_ups}. {turns} Every run exited with code 0, and its table held exactly "
        "the rows of the files, the same as in all other runs. The S3 server runs on the same machine and used at "
        f"most {busy:.0%} of a core during a run; the PostgreSQL server's own work is only included in the seconds."
    )


def _targets(results: Results) -> Iterator[str]:
    script, one_core, all_cores = map(results.case, (SCRIPT, ONE_CORE, ALL_CORES))
    yield from map(line, TARGETS)
    yield target("courier on one core / script", results.ratio(one_core, script), least=4, aim=5)
    yield target("courier on all cores / script", results.ratio(all_cores, script), least=7, aim=10)
    if any(case.contender is DLT for case in results.runs):
        yield target("courier on all cores / dlt", results.ratio(all_cores, results.case(DLT)), least=3, aim=10)
    share = results.ratio(all_cores, results.case(POLARS))
    yield target("courier on all cores / polars without a warehouse", share, least=0.4, aim=0.6)
    for contender in (ONE_CORE, ALL_CORES):
        many, one = results.case(contender), results.case(contender, longest=False)
        name = f"peak memory, {many} / 1 file"
        yield target(name, results.peak(many) / results.peak(one), most=MOST_GROWTH)
