"""The command line as a whole: its exit codes, and its errors for unknown arguments."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from courier.unit_tests.forked import command, forked
from heap_courier.cli.couriers import DAY
from heap_courier.cli.main import cli
from heap_courier.project.scaffold import make_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path)
    return tmp_path


def test_a_thread_that_would_abort_the_interpreters_shutdown_does_not_change_the_exit_code() -> None:
    program = "import atexit, os; from heap_courier.cli.main import main; atexit.register(os.abort); main()"
    ended = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.splitlines()[0].split()[0]) == (0, "Usage:")


def test_a_full_disk_under_the_output_is_reported_in_a_sentence(project: Path) -> None:
    program = "from heap_courier.cli.main import main; main()"
    words = [sys.executable, "-c", program, "--project", str(project), "group", "list"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "is full" in ended.stderr or "cannot be written" in ended.stderr


def test_a_misspelled_command_suggests_the_intended_one() -> None:
    assert "no command `chekc` (did you mean `check`?)" in CliRunner().invoke(cli, ["chekc"]).output


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"heap-courier {version('destination-heap-analytics')}\n"


def test_days_are_refused_for_a_courier_that_follows_heap_connect(project: Path) -> None:
    ended = CliRunner().invoke(cli, ["--project", str(project), "run", "Heap-Connect", "--day", "2026-03-01"])
    assert (ended.exit_code, "leave out the days" in ended.output) == (2, True)


# What the operating system refuses


PROGRAM = "from heap_courier.__main__ import main; main()"


def started(*words: str, program: str = PROGRAM, redirect: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a shell, whose redirections close or fill what it writes to."""
    command = f'"$0" -c "$1" "${{@:2}}" {redirect}'
    return subprocess.run(
        ["/bin/bash", "-c", command, sys.executable, program, *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&-"])
@pytest.mark.parametrize("words", [("--help",), ("group", "list"), ("tables",), ("show", "x")])
def test_a_closed_stream_gives_no_traceback(project: Path, redirect: str, words: tuple[str, ...]) -> None:
    ended = started("--project", str(project), *words, redirect=redirect)
    assert ended.returncode == (1 if words[0] in ("tables", "show") else 0)
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_closed_pipe_gives_no_traceback(project: Path) -> None:
    ended = started("--project", str(project), "group", "list", redirect="| true")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("heap-courier.yaml", "a: " + "[" * 100_000),
        ("heap-courier.yaml", "a: " + "[" * 100_000 + "]" * 100_000),
        ("entities/heap.json", "[" * 100_000 + "]" * 100_000),
        ("feeds/deep.yaml", "fields: " + "[" * 100_000 + "]" * 100_000),
        ("feeds/deep.yaml", "id: \0"),
    ],
)
def test_a_file_that_is_nested_too_deeply_is_reported_in_a_sentence(project: Path, name: str, content: str) -> None:
    (project / "feeds").mkdir()
    (project / name).write_text(content)
    process = forked(["check"], folder=project, environment=os.environ)
    out, err = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert name in out + err


def denied(call: str, *words: str) -> None:
    """The command on a system that denies a call: as root, permissions restrict nothing."""

    def deny(self: Path, *_arguments: object, **_options: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    setattr(Path, call, deny)
    command(*words)


@pytest.mark.parametrize("call", ["mkdir", "write_text", "read_text", "glob", "stat"])
@pytest.mark.parametrize(
    "words", [("init", "new"), ("check",), ("feed", "list"), ("tables",), ("run", "Heap", "--day", "today")]
)
def test_a_folder_without_permission_is_reported_in_a_sentence(
    project: Path, call: str, words: tuple[str, ...]
) -> None:
    (project / "heap-courier.yaml").write_text(
        (project / "heap-courier.yaml")
        .read_text()
        .replace("heap-rs3-example", "x\n    endpoint-url: http://127.0.0.1:9")
    )
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    process = forked([call, *words], folder=project, environment=environment, program=denied)
    _, err = process.communicate()
    assert process.returncode in {0, 1}
    assert "Traceback" not in err


def test_a_missing_package_is_reported_with_what_to_install() -> None:
    program = f"import sys; sys.modules['click'] = None; {PROGRAM}"
    ended = started("--help", program=program)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "The Python package `click` is missing" in ended.stderr
    assert "pip install" in ended.stderr


@pytest.mark.parametrize(("word", "days_ago"), [("today", 0), ("yesterday", 1)])
def test_a_day_can_be_given_by_name(word: str, days_ago: int) -> None:
    today = date(2026, 3, 1)
    assert DAY.convert(word, None, None)(today) == today - timedelta(days=days_ago)
    assert DAY.convert("2026-11-21", None, None)(today) == date(2026, 11, 21)
    with pytest.raises(click.BadParameter, match="write 2026-11-21, today or yesterday"):
        DAY.convert("tomorrow", None, None)
