"""No command prints a name from outside unescaped; and what commands import."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

import heap_courier.cli
from heap_courier.cli import printing, terminal
from heap_courier.cli.log import LOG
from heap_courier.couriers.logged_run import RunResult
from heap_courier.errors import FeedError, RejectedRow, SetupError
from heap_courier.files.fileset import FetchedFile
from heap_courier.formats.file_format import AVRO, FileFormat
from heap_courier.notices.notice import note
from heap_courier.project.scaffold import make_project
from heap_courier.warehouse.run_log import Rejected, Run, TableRun

EVIL = "a\nb\r\x1b]0;t\x07\x9b2J\x85\u2028\u202ec\ud800"
NOON = datetime(2026, 11, 21, 12)  # noqa: DTZ001  (as the run log has it)
RUN = Run("20261121-120000-abcd", EVIL, EVIL, NOON, NOON, "failed", EVIL)
TABLE = TableRun(EVIL, 1, 1, 1, 0, 0, EVIL)
FILE = FetchedFile(Path(EVIL), EVIL, EVIL, None, FileFormat(AVRO), 1, NOON.replace(tzinfo=timezone.utc))


@pytest.mark.parametrize(
    "output",
    [
        lambda: terminal.say(EVIL),
        lambda: terminal.say(EVIL, err=True),
        lambda: terminal.say_lines(str(SetupError(EVIL))),
        lambda: terminal.print_table([EVIL], [[EVIL]]),
        lambda: terminal.print_rows([EVIL], [[EVIL]]),
        lambda: printing.print_result(RunResult(RUN, (FILE,), (TABLE,), (EVIL,), 1)),
        lambda: printing.print_samples([FILE]),
        lambda: printing.print_tables([TABLE]),
        lambda: printing.print_runs([RUN]),
        lambda: printing.print_rejected([(EVIL, Rejected(EVIL, RejectedRow(1, EVIL, EVIL)))]),
        lambda: LOG(note(str(FeedError(EVIL)))),
    ],
)
def test_a_name_from_outside_is_escaped(output: object, capsys: pytest.CaptureFixture[str]) -> None:
    output()  # type: ignore[operator]
    out, err = capsys.readouterr()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800]", out + err)
    assert "a\\nb" in out + err
    assert "\nb" not in out + err


def test_commands_print_only_through_the_terminal_module() -> None:
    """So the test above covers what they print; JSON is escaped as JSON."""
    folder = Path(heap_courier.cli.__file__).parent
    raw = {
        path.name: re.findall(r"(?:click\.echo|\bprint|sys\.stdout\.write)\((.*)\)", path.read_text(encoding="utf-8"))
        for path in folder.glob("*.py")
    }
    assert {name: calls for name, calls in raw.items() if calls} == {
        "main.py": ["line, err=True"],  # each line is escaped where it is built
        "printing.py": ["printable_json(line)"],
        "terminal.py": [
            "printable(line), err=err",
            "table",
            "line.rstrip()",
            'Text(f"row {number}", style="bold")',
            'Text(f"  {column:<{longest}}  {value}")',
        ],
    }


# What a command imports

SLOW = {"adbc_driver_postgresql", "boto3", "botocore", "fastavro", "filelock", "numpy", "polars", "pyarrow"}
IMPORTS = """
import sys
from heap_courier.cli.main import cli
try:
    cli.main(sys.argv[1:], standalone_mode=False)
finally:
    print("imported", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path)
    return tmp_path


def imported(project: Path, *words: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTS, "--project", str(project), *words],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("imported ")]
    return set(line.split()[1:])


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_imports_nothing_that_reads_or_stores(project: Path, words: tuple[str, ...]) -> None:
    assert not imported(project, *words) & (SLOW | {"duckdb", "pydantic", "rich", "yaml"})


@pytest.mark.parametrize(
    "words", [("feed", "list"), ("tables",), ("runs",), ("group", "list"), ("group", "runs", "nightly"), ("init", "x")]
)
def test_a_read_only_command_imports_no_file_reader_and_no_bucket_client(project: Path, words: tuple[str, ...]) -> None:
    assert not imported(project, "feed", "list") & SLOW  # it creates the warehouse that the others read
    assert not imported(project, *words) & SLOW
