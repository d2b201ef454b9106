"""The command line as a whole: how it ends, and what it says to words that it does not know."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from heap_courier.cli.main import cli
from heap_courier.project.scaffold import make_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path)
    return tmp_path


def test_a_thread_that_aborts_an_interpreter_being_taken_down_does_not_spoil_the_exit_code() -> None:
    program = "import atexit, os; from heap_courier.cli.main import main; atexit.register(os.abort); main()"
    ended = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.splitlines()[0].split()[0]) == (0, "Usage:")


def test_a_full_disk_behind_the_output_is_a_sentence(project: Path) -> None:
    program = "from heap_courier.cli.main import main; main()"
    words = [sys.executable, "-c", program, "--project", str(project), "group", "list"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "disk is full" in ended.stderr or "cannot be written" in ended.stderr


def test_a_misspelt_command_is_told_with_the_one_that_was_meant() -> None:
    assert "no command `chekc` (did you mean `check`?)" in CliRunner().invoke(cli, ["chekc"]).output


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"heap-courier {version('destination-heap-analytics')}\n"


def test_days_are_refused_for_a_courier_that_follows_heap_connect(project: Path) -> None:
    ended = CliRunner().invoke(cli, ["--project", str(project), "run", "Heap-Connect", "--day", "2026-03-01"])
    assert (ended.exit_code, "leave the days out" in ended.output) == (2, True)
