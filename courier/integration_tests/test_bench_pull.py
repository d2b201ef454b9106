"""The courier's benchmark measures what it claims; no test asserts how fast anything is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench import DishonestError
from benchmarks.pull.bench import Bench
from benchmarks.pull.bucket import KEYS, Dump, Server
from benchmarks.pull.cases import ALL_CORES, SCRIPT, Case
from benchmarks.pull.postgresql import programs
from benchmarks.run import ENVIRONMENT
from integration_tests.test_bench import table

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "benchmarks" / "pull" / "script.py"
SECONDS = 600
DUMP = Dump(2, 50)


def bench(temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.pull.bench", "--quick", "--files", "2", "--rows", "50"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_table_has_all_lines(tmp_path: Path) -> None:
    """Each with the rows that went through it, and nothing stays behind in the temporary folder."""
    with bench(tmp_path) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert [cells[:4] for cells in table(out)] == [
        ["courier, DuckDB", "one", "1", "50"],
        ["courier, DuckDB", "all", "1", "50"],
        ["script: fastavro, SQLite", "one", "2", "100"],
        ["polars, no warehouse", "all", "2", "100"],
        ["courier, DuckDB", "one", "2", "100"],
        ["courier, DuckDB", "all", "2", "100"],
        *([["courier, PostgreSQL", "all", "2", "100"]] if programs() else []),
    ]
    assert "courier on all cores / script | at least 7 | 10 |" in out
    assert "courier on all cores / polars without a warehouse | at least 0.4 | 0.6 |" in out
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server.start([DUMP]) as server:
        yield server


def test_the_script_and_the_courier_leave_the_same_rows(server: Server, tmp_path: Path) -> None:
    this = Bench(server, None, tmp_path)
    for contender in (SCRIPT, ALL_CORES):
        assert this.measure(Case(contender, DUMP)).run.code == 0
    assert this.contents[DUMP]["rows"] == 100


@pytest.mark.parametrize(
    ("honest", "dishonest", "said"),
    [
        ("client.download_file(", "client.upload_file(", "exit code 1"),
        ('table["files"])', 'table["files"][1:])', "50 rows of 100"),
        ("rows(reader, tuple(types))", "list(rows(reader, tuple(types)))[1:]", "98 rows of 100"),
        (
            "record[name] for name",
            'record["quantity" if name == "session_id" else name] for name',
            "sum of session ids",
        ),
    ],
    ids=["an error", "a file left out", "rows left out", "other values"],
)
def test_a_run_that_has_not_done_its_work_is_reported(
    server: Server, tmp_path: Path, honest: str, dishonest: str, said: str
) -> None:
    """So that nothing is measured which did not happen."""
    program = tmp_path / "script.py"
    content = PROGRAM.read_text(encoding="utf-8")
    assert honest in content
    program.write_text(content.replace(honest, dishonest), encoding="utf-8")
    this = Bench(server, None, tmp_path)
    this.measure(Case(SCRIPT, DUMP))
    with pytest.raises(DishonestError, match=said):
        Bench(server, None, tmp_path, tmp_path, contents=this.contents).measure(Case(SCRIPT, DUMP))
    assert not (tmp_path / "place").exists()


def test_a_run_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    """Neither a file nor a process, which would keep the pipes open."""
    with bench(tmp_path) as process:
        assert process.stderr
        assert process.stderr.readline().startswith("writing 150 rows")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SECONDS) == ("", "")
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_the_bucket_ends_silently_without_a_reader() -> None:
    """Its parent may have been interrupted before it came up."""
    command = [sys.executable, "-m", "benchmarks.pull.bucket", "1x1"]
    piped = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env={**ENVIRONMENT, **KEYS}, stdin=piped, stdout=piped, stderr=piped, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
