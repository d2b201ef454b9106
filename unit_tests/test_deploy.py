"""What is deployed: units, images and manifests name commands that exist, and the documents name the files."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from heap_courier.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
UNITS = sorted(ROOT.glob("deploy/systemd/*.service"))
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


def is_a_command(words: list[str]) -> bool:
    """Whether heap-courier accepts these words, as its help shows."""
    result = CliRunner().invoke(cli, [*words, "--help"])
    return result.exit_code == 0


def test_a_word_that_is_none_is_no_command() -> None:
    """Otherwise the tests below would show nothing."""
    assert not is_a_command(["group", "served"])
    assert not is_a_command(["group", "serve", "--waiting"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_of_the_courier_without_rights(unit: Path) -> None:
    """As a user of its own, who writes to its own folder."""
    settings = RawConfigParser(strict=False)
    settings.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's names have capitals
    settings.read(unit)
    service = settings["Service"]
    program, *words = service["ExecStart"].split()
    assert program == "/opt/heap-courier/bin/heap-courier"
    assert is_a_command(words)
    assert (service["User"], service["StateDirectory"], service["CapabilityBoundingSet"]) == ("heap-courier",) * 2 + (
        "",
    )
    assert f"{Path(service['WorkingDirectory'])}" in OPERATIONS


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """With a program that exists here."""
    for unit in UNITS:
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text("utf-8"), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text, "utf-8")
    units = [str(path) for path in tmp_path.iterdir()]
    verify = ["systemd-analyze", "verify", *units]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
