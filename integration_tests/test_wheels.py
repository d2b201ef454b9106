"""Wheels, each built and installed separately: the commands work, and none requires another product's packages."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from integration_tests.conftest import ROOT

pytestmark = pytest.mark.thorough
PROJECTS = {
    "destination-heap-analytics": (ROOT, "destination_heap_analytics", "spec"),
    "heap-courier": (ROOT / "courier", "heap_courier", "--help"),
    "heap-sandbox": (ROOT / "sandbox", "heap_sandbox", "--help"),
}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_is_installed_into_an_empty_environment(name: str, tmp_path: Path) -> None:
    """It has every file of the package but no tests, and its command starts. Only the connector requires the CDK."""
    folder, package, word = PROJECTS[name]
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, folder)
    (wheel,) = tmp_path.glob("*.whl")
    ours = {str(path.relative_to(folder)) for path in (folder / package).rglob("*") if path.is_file()}
    ours = {path for path in ours if not path.endswith(".pyc")}
    with zipfile.ZipFile(wheel) as archive:
        assert {path for path in archive.namelist() if ".dist-info/" not in path} == ours
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / "bin"
    run(programs / "pip", "install", "-q", wheel)
    assert run(programs / name, word)
    installed = {each["name"].lower() for each in json.loads(run(programs / "pip", "list", "--format=json"))}
    assert name in installed
    assert ("airbyte-cdk" in installed) == (name == "destination-heap-analytics")
    assert installed & set(PROJECTS) == {name}
