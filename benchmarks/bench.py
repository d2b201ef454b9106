"""The benchmark of `bash scripts/bench`: the connector, a plain loop, and a destination that does nothing.

All of them run as commands, in turn, on this machine, and post to one minimal server (server.py). Each run is checked:
its exit code, every state, and the rows that the server counted. If a check fails, no table is printed. Missed targets
are listed below the table and are not a failure: the machine may be slow.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import messages
from benchmarks.cases import LATENCIES, LEAST_ROWS, Case, plan
from benchmarks.report import Measured, Results, StartUp, report
from benchmarks.run import ROOT, Run, run, tail
from benchmarks.server import Counts, Server

SAMPLES = ROOT / "sample_files"
CATALOG = SAMPLES / "configured_catalog.json"
NOTHING = Path(os.devnull)

ROWS = 1_000_000
QUICK_ROWS = 100_000
ROUNDS = 3
BULK_ROWS = 1000  # the most that Heap accepts in a request
ROW_BYTES = 100  # the minimum size of a row on the wire, with its identity and properties


class DishonestError(Exception):
    """A run did not do the work that its line in the table claims."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The server, and a folder for the inputs and outputs."""

    server: Server
    folder: Path

    def write_messages(self, rows: int) -> None:
        """Write an input for the commands."""
        with self._messages(rows).open("w", encoding="utf-8") as file:
            file.writelines(messages.lines(rows))

    def measure(self, case: Case) -> Measured:
        """Run one line of the table once.

        Raises:
            DishonestError: the run did not do its work.
        """
        config = self.folder / "config.json"
        config.write_text(json.dumps(self._config(case)), encoding="utf-8")
        out = self.folder / "out.jsonl"
        catalog = self.folder / "catalog.json"
        catalog.write_text(json.dumps(_catalog(case)), encoding="utf-8")
        arguments = [case.contender.program, case.contender.command, "--config", str(config), "--catalog", str(catalog)]
        if case.contender.command == "preview":
            arguments.append("--json")
        before = self.server.counts()
        ended = run(arguments, self._messages(case.rows), out)
        counts = self.server.counts().since(before)
        if faults := _faults(case, ended, counts, out):
            raise DishonestError("\n  ".join([f"{case}: {'; '.join(faults)}. It said at last:", *tail(out)]))
        return Measured(ended, counts)

    def start_up(self) -> StartUp:
        """Measure `spec`, and the import that every destination based on the CDK needs."""
        imports = "import airbyte_cdk.destinations, airbyte_cdk.models"
        pair = []
        for arguments in (["main.py", "spec"], ["-c", imports]):
            pair.append(run(arguments, NOTHING, self.folder / "out.jsonl"))
            if pair[-1].code:
                raise DishonestError(f"`python {' '.join(arguments)}` ends with exit code {pair[-1].code}.")
        return StartUp(*pair)

    def _messages(self, rows: int) -> Path:
        return self.folder / f"messages_{rows}.jsonl"

    def _config(self, case: Case) -> dict[str, Any]:
        sample = json.loads((SAMPLES / f"config_{case.contender.api}.json").read_text(encoding="utf-8"))
        if case.contender.columns:
            sample["api"]["property_columns"] = case.contender.columns
        delivery = {"delivery": case.contender.delivery} if case.contender.delivery else {}
        return {**sample, "base_url": self.server.url(case.latency), **delivery}


def _catalog(case: Case) -> dict[str, Any]:
    catalog: dict[str, Any] = json.loads(CATALOG.read_text(encoding="utf-8"))
    if not case.contender.has_key:
        (configured,) = catalog["streams"]
        del configured["primary_key"], configured["stream"]["source_defined_primary_key"]
    return catalog


def _faults(case: Case, ended: Run, counts: Counts, out: Path) -> list[str]:
    """Evidence that a run did not do its work."""
    if case.contender.command == "preview":
        found = json.loads(out.read_bytes())
        shown = f"it read {found['rows']:,} rows and mapped {found['mapped']:,}"
        return [] if ended.code == 0 and found["rows"] == found["mapped"] == case.rows else [shown]
    states = []
    for line in out.read_bytes().splitlines():
        message = json.loads(line)
        if message["type"] == "STATE":
            states.append(message["state"])
    posted = case.rows if case.contender.posts else 0
    fewest = math.ceil(posted / BULK_ROWS) if case.contender.is_bulk else posted
    checks = {
        f"exit code {ended.code}": ended.code == 0,
        "states are missing or out of order": [messages.cursor(s) for s in states] == messages.cursors(case.rows),
        f"the server got {counts.rows:,} rows of {posted:,}": counts.rows == posted,
        f"the server got {counts.requests:,} requests": fewest <= counts.requests <= posted,
        f"the server got {counts.size:,} bytes": counts.size >= posted * ROW_BYTES,
    }
    if case.contender.delivery:  # the connector also reports its own count
        delivered = sum(state["destinationStats"]["recordCount"] for state in states)
        checks[f"the states count {delivered:,.0f} rows as delivered"] = delivered == case.rows
    return [fault for fault, is_right in checks.items() if not is_right]


def bench(rows: int, rounds: int) -> str:
    """The report, in Markdown."""
    load = os.getloadavg()[0]
    cases = plan(rows, rounds)
    sizes = sorted({case.rows for case in cases})
    with tempfile.TemporaryDirectory(prefix="heap-bench-") as folder, Server.start(LATENCIES) as server:
        needed, free = sum(sizes) * messages.LINE_BYTES, shutil.disk_usage(folder).free
        if needed > free:
            sys.exit(f"{folder} has {free / 1e6:,.0f} MB free, and the messages take {needed / 1e6:,.0f}: set TMPDIR.")
        this = Bench(server, Path(folder))
        tell(f"writing {sum(sizes):,} messages to {folder}")
        for size in sizes:
            this.write_messages(size)
        start_ups = []
        measured: dict[Case, list[Measured]] = {case: [] for case in cases}
        for turn in range(rounds):
            start_ups.append(this.start_up())
            for case in cases:
                if turn < case.rounds:
                    measured[case].append(this.measure(case))
                    tell(f"round {turn + 1} of {case.rounds}: {case}: {measured[case][-1].run.wall:.2f} s")
    return report(Results(measured), start_ups, load)


def tell(progress: str) -> None:
    """Report progress on standard error."""
    print(progress, file=sys.stderr, flush=True)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the connector on this machine.")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round with few rows, under a minute")
    parser.add_argument("--rows", type=int, help=f"rows of the longest lines, {ROWS:,}; the others get a share of it")
    arguments = parser.parse_args()
    rows = arguments.rows or (QUICK_ROWS if arguments.quick else ROWS)
    if rows < LEAST_ROWS:
        parser.error(f"--rows must be at least {LEAST_ROWS}")
    try:
        print(bench(rows, rounds=1 if arguments.quick else ROUNDS))
    except DishonestError as dishonest:
        sys.exit(f"No table, since a run has not done its work.\n{dishonest}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped and files are removed
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
