"""The benchmark of `bash scripts/bench pull`: the courier, a script that does the same by hand, dlt, and polars alone.

All run as commands, in turn, on this machine, and read the same files from a local S3 (bucket.py). Each run is
checked: its exit code, and the rows that are in the table afterwards. If a check fails, no table is printed. Missed
targets are listed below the table and are not a failure: the machine may be slow.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench import NOTHING, DishonestError, tell
from benchmarks.pull.bucket import KEYS, TABLE, Dump, Server
from benchmarks.pull.cases import DLT, Case, Contender, dumps, plan
from benchmarks.pull.postgresql import PostgreSQL, programs
from benchmarks.pull.report import Measured, Results, report
from benchmarks.run import ENVIRONMENT, run, tail

ROWS = 100_000
QUICK_ROWS = 10_000
FILES = 10
ROUNDS = 3
ROW_BYTES = 1500  # the most disk space per row, in the bucket, in transit and in the table together

_HERE = Path(__file__).parent
_CONTENTS = _HERE / "contents.py"
_COURIER = Path(sys.executable).with_name("heap-courier")
_DATABASE = "bench"
_CREDENTIAL = {
    "type": "iam-credential",
    "access-key-env": "AWS_ACCESS_KEY_ID",
    "secret-key-env": "AWS_SECRET_ACCESS_KEY",
}
_ENTITY = {"object/type": "heap-connect", "heap-connect/source": "Heap"}


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers, and a folder for the outputs.

    Attributes:
        programs: the folder of the programs other than the courier.
        dlt: the Python with dlt; None to leave it out.
        contents: the contents of tables after the first run on each dump, which all other runs must match.
    """

    server: Server
    postgresql: PostgreSQL | None
    folder: Path
    programs: Path = _HERE
    dlt: Path | None = None
    contents: dict[Dump, dict[str, int]] = field(default_factory=dict)

    def measure(self, case: Case) -> Measured:
        """Run one line of the table once, into a new database.

        Raises:
            DishonestError: the run did not do its work.
        """
        with self._place(case.contender) as (place, database):
            program = case.contender.program
            arguments = self._other(case, program, database) if program else self._courier(case, place, database)
            cores = {max(os.sched_getaffinity(0))} if case.contender.is_pinned else ()
            out = place / "out.txt"
            before = self.server.cpu()
            python = str(self.dlt) if case.contender is DLT else sys.executable
            ended = run(arguments, NOTHING, out, environment={**ENVIRONMENT, **KEYS}, cores=cores, python=python)
            cpu = self.server.cpu() - before
            if fault := f"exit code {ended.code}" if ended.code else self._fault(case, place, database):
                raise DishonestError("\n  ".join([f"{case}: {fault}. It said at last:", *tail(out)]))
        return Measured(ended, cpu)

    @contextmanager
    def _place(self, contender: Contender) -> Iterator[tuple[Path, str]]:
        """A folder for a run, and the database that it creates; both are removed afterwards."""
        place = self.folder / "place"
        place.mkdir()
        try:
            if contender.engine != "postgresql":
                yield place, str(place / f"heap.{contender.engine}")
                return
            assert self.postgresql  # noqa: S101  # this line exists only with it
            self.postgresql.make(_DATABASE)
            try:
                yield place, self.postgresql.dsn(_DATABASE)
            finally:
                self.postgresql.drop(_DATABASE)
        finally:
            shutil.rmtree(place)

    def _other(self, case: Case, program: str, database: str) -> list[str]:
        to = [database] if case.contender.engine else []
        return [str(self.programs / program), self.server.url, case.dump.bucket, *to]

    def _courier(self, case: Case, place: Path, database: str) -> list[str]:
        """Create the project. Returns the command that loads it."""
        engine = case.contender.engine
        bucket = {"credential": "keys", "bucket": case.dump.bucket, "endpoint-url": self.server.url}
        project = {
            "warehouse": {"engine": engine, "file" if engine == "duckdb" else "dsn": database},
            "credentials": {"keys": _CREDENTIAL},
            "couriers": {"Heap": {**bucket, "entities": "entities.json"}},
        }
        (place / "heap-courier.yaml").write_text(json.dumps(project), encoding="utf-8")  # (JSON is YAML)
        (place / "entities.json").write_text(json.dumps([_ENTITY]), encoding="utf-8")
        return [str(_COURIER), "--project", str(place), "run", "Heap"]

    def _fault(self, case: Case, place: Path, database: str) -> str | None:
        """Evidence that a run did not do its work: a wrong number of rows, or different rows than in other runs."""
        if not case.dump.rows:
            return None
        if case.contender.engine is None:
            read = json.loads((place / "out.txt").read_text(encoding="utf-8"))["rows"]
            return None if read == case.dump.rows else f"it has read {read:,} rows of {case.dump.rows:,}"
        out = place / "contents.txt"
        table = TABLE if case.contender.program else f"Heap:{TABLE}"
        if run([str(_CONTENTS), case.contender.engine, database, table], NOTHING, out).code:
            return f"the table `{table}` cannot be read"
        found = json.loads(out.read_text(encoding="utf-8"))
        if found["rows"] != case.dump.rows or found["event ids"] != case.dump.rows:
            return f"the table has {found['rows']:,} rows of {case.dump.rows:,}, and {found['event ids']:,} event ids"
        wanted = self.contents.setdefault(case.dump, found)
        return ", ".join(
            f"{name}: {found[name]:,}, not {wanted[name]:,}" for name in wanted if found[name] != wanted[name]
        )


def bench(files: int, rows: int, rounds: int, dlt: Path | None) -> str:
    """The report, in Markdown; without dlt if there is no Python with it."""
    load = os.getloadavg()[0]
    kept = dumps(files, rows)
    most = sum(dump.rows for dump in kept) * ROW_BYTES
    folder_of_programs = programs()
    with tempfile.TemporaryDirectory(prefix="heap-bench-") as folder:
        if (free := shutil.disk_usage(folder).free) < most:
            sys.exit(f"{folder} has {free / 1e6:,.0f} MB free, and this may take {most / 1e6:,.0f}: set TMPDIR.")
        tell(f"writing {sum(dump.rows for dump in kept):,} rows to an S3 on this machine")
        served = PostgreSQL.start(folder_of_programs) if folder_of_programs else nullcontext()
        with Server.start(kept) as server, served as postgresql:
            this = Bench(server, postgresql, Path(folder), dlt=dlt)
            cases = plan(files, rows, postgresql=postgresql is not None, dlt=dlt is not None)
            measured: dict[Case, list[Measured]] = {case: [] for case in cases}
            for turn in range(rounds):
                for case in cases:
                    if case.contender.rounds is not None and turn >= case.contender.rounds:
                        continue
                    measured[case].append(this.measure(case))
                    tell(f"round {turn + 1} of {rounds}: {case}: {measured[case][-1].run.wall:.2f} s")
    return report(Results(measured), load)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="bench pull", description="Measure the courier on this machine.")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round with few rows, about a minute")
    parser.add_argument("--files", type=int, default=FILES, help=f"files of the longest lines, {FILES}")
    parser.add_argument("--rows", type=int, help=f"rows of a file, {ROWS:,}")
    parser.add_argument("--dlt", type=Path, metavar="PYTHON", help="a Python that has dlt, to measure that too")
    arguments = parser.parse_args()
    rows = arguments.rows or (QUICK_ROWS if arguments.quick else ROWS)
    if rows < 1 or arguments.files < 2:  # noqa: PLR2004
        parser.error("--rows must be at least 1, and --files at least 2")
    try:
        print(bench(arguments.files, rows, 1 if arguments.quick else ROUNDS, arguments.dlt))
    except DishonestError as dishonest:
        sys.exit(f"No table, since a run has not done its work.\n{dishonest}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped and files are removed
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
