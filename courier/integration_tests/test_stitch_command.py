"""`heap-courier stitch` as a person types it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from courier.integration_tests.command import PROGRAM, SECONDS
from courier.unit_tests.stitch.project_of_people import People
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

ROOT = Path(__file__).resolve().parents[2]
BOB = {"given-name": "Robert", "surname": "Geheim", "birthdate": "1950-02-03", "phone": "555 987 1234"}
WITHOUT = "import sys; sys.modules.update(splink=None, anyascii=None)"
"""Python finds neither package."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "heap-courier.yaml").write_text("warehouse: {engine: duckdb, file: heap.duckdb}\n")
    with closing(DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)) as warehouse:
        People(warehouse, tmp_path).feed("CRM", [{"pk": "1", **BOB}, {"pk": "2", **BOB}])
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "stitch", *words], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_a_run_prints_a_table_and_no_content_of_records(project: Path) -> None:
    commands = [run(project, *words) for words in (("check",), ("run",), ("explain", "CRM:People/1", "CRM:People/2"))]

    assert [(each.returncode, each.stderr) for each in commands] == [(0, "")] * 3
    assert commands[1].stdout.splitlines()[1].split() == ["2", "1", "1", "0", "0", "0", "0", "0", "0"]
    assert "given name equal +7.3, surname equal +8.7, birthdate equal +14.5, phone equal +12.8" in commands[2].stdout
    assert not any(word in each.stdout for each in commands for word in ("Geheim", "GEHEIM", "1234"))


def test_without_the_extra_a_sentence_says_what_to_install(project: Path) -> None:
    """Other commands do without."""
    code = f"{WITHOUT}\nfrom heap_courier.__main__ import main\nsys.argv[1:] = WORDS\nmain()"

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code.replace("WORDS", repr(list(words)))],
            cwd=project,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    refused = typed("stitch", "run")

    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "Error: Stitch needs the Python package `splink`: install the courier with its extra"
    )
    assert len(refused.stderr.splitlines()) == 1
    assert typed("tables").returncode == 0
    assert typed("stitch", "--help").returncode == 0


def test_plain_commands_do_not_import_what_links_records() -> None:
    code = "import heap_courier.cli.main, heap_courier.cli.groups, heap_courier.cli.stitch, sys; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"splink", "anyascii", "heap_courier.stitch"} & set(loaded) == set()


@pytest.mark.thorough
def test_the_demo_runs_to_its_end() -> None:
    demo = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo_stitch.py")],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert demo.returncode == 0, demo.stderr
    assert "Heap now holds 4 users with properties:" in demo.stdout
