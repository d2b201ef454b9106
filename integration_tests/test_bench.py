"""The benchmark measures what it claims to; no test asserts a speed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bench import Bench, DishonestError
from benchmarks.cases import Case, Contender
from benchmarks.server import Server

ROOT = Path(__file__).resolve().parents[1]
LOOP = ROOT / "benchmarks" / "loop.py"
SECONDS = 300


def bench(temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bench", "--quick", "--rows", "2000"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def table(text: str) -> list[list[str]]:
    """The cells of the first table, without its header."""
    lines = [line for line in text.split("\n\n")[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_has_all_lines(tmp_path: Path) -> None:
    """Each with its number of rows, and nothing is left in the temporary folder."""
    with bench(tmp_path) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert [cells[:3] for cells in table(out)] == [
        ["plain loop", "10", "0 ms"],
        ["row mode", "10", "0 ms"],
        ["bulk mode", "100", "0 ms"],
        ["bulk mode, events", "100", "0 ms"],
        ["floor", "100", ""],
        ["bulk mode", "2,000", "0 ms"],
        ["bulk mode, all columns", "2,000", "0 ms"],
        ["bulk mode, events", "2,000", "0 ms"],
        ["bulk mode, events without a primary key", "2,000", "0 ms"],
        ["preview", "2,000", ""],
        ["floor", "2,000", ""],
        ["plain loop", "1", "50 ms"],
        ["row mode", "40", "50 ms"],
        ["bulk mode", "2,000", "50 ms"],
    ]
    assert "start-up: `main.py spec` / importing the CDK" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("honest", "dishonest", "said"),
    [
        ("raise_for_status()", "raise_for_trouble()", "exit code 1; states are missing"),
        ("sys.stdout.buffer.write(line)", "pass", "states are missing or out of order"),
        ("for line in sys.stdin.buffer", "for line in list(sys.stdin.buffer)[1:]", "got 19 rows of 20; .* 19 requests"),
        ('return {"identity"', 'return {"name"', "got 0 rows of 20"),
        (', "properties": properties', "", "got 1,... bytes"),
    ],
    ids=["an error", "no state", "a row left out", "rows of nobody", "empty rows"],
)
def test_a_run_that_did_not_do_its_work_is_reported(tmp_path: Path, honest: str, dishonest: str, said: str) -> None:
    """So that only completed work is measured."""
    program = tmp_path / "loop.py"
    program.write_text(LOOP.read_text(encoding="utf-8").replace(honest, dishonest), encoding="utf-8")
    with Server.start([0]) as server:
        this = Bench(server, tmp_path)
        this.write_messages(20)
        assert this.measure(Case(Contender("loop", str(LOOP)), 20, 0, rounds=1)).counts.rows == 20
        with pytest.raises(DishonestError, match=said):
            this.measure(Case(Contender("tampered", str(program)), 20, 0, rounds=1))


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither files nor processes, which would keep the pipes open."""
    with bench(tmp_path) as process:
        assert process.stderr
        assert process.stderr.readline().startswith("writing 2,")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SECONDS) == ("", "")
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
