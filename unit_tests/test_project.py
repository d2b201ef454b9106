"""The files of the project are consistent."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from destination_heap_analytics.version import VERSION

ROOT = Path(__file__).resolve().parents[1]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    """In the code, the metadata, the image, the changelog and the documents."""
    metadata = yaml.safe_load(text("metadata.yaml"))["data"]
    (label,) = re.findall(r"io\.airbyte\.version=(\S+)", text("Dockerfile"))
    newest = re.findall(r"^## (\S+)", text("CHANGELOG.md"), flags=re.MULTILINE)[0]
    assert [metadata["dockerImageTag"], label, newest] == [VERSION] * 3
    documents = "".join(path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
    assert set(re.findall(r"airbyte/destination-heap-analytics:([\w.]*\w)", documents)) == {VERSION}


def test_the_acceptance_configuration_names_files_that_exist() -> None:
    """And only configurations: any other key stops the suite."""
    tests = yaml.safe_load(text("acceptance-test-config.yml"))["acceptance_tests"]
    entries = [entry for section in tests.values() for entry in section["tests"]]
    assert len(entries) == 16
    for entry in entries:
        assert entry.keys() <= {"config_path", "status"}
        assert (ROOT / entry["config_path"]).is_file()
    invalid = {f"integration_tests/invalid_configs/{path.name}" for path in ROOT.glob("integration_tests/invalid_*/*")}
    assert {entry["config_path"] for entry in entries if entry.get("status") == "failed"} == invalid


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package, built from the sources as they are."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "destination_heap_analytics"):
        (sources / name).symlink_to(ROOT / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(sources),
    ]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def header(wheel: zipfile.ZipFile) -> Any:
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_the_package_has_the_specification_and_the_type_marker(wheel: zipfile.ZipFile) -> None:
    """The command `spec` prints the file."""
    assert {"destination_heap_analytics/spec.json", "destination_heap_analytics/py.typed"} <= set(wheel.namelist())


def test_the_package_requires_only_the_connectors_own_dependencies(wheel: zipfile.ZipFile) -> None:
    """Those of the tests are in an extra; the courier and the sandbox are separate projects."""
    requirements = header(wheel).get_all("Requires-Dist")
    own = sorted(re.split(r"[<>=]", line)[0] for line in requirements if "extra ==" not in line)
    assert own == [
        "airbyte-cdk",
        "airbyte-protocol-models-dataclasses",
        "boto3",
        "msgspec",
        "orjson",
        "pydantic",
        "python-dateutil",
        "requests",
    ]
    assert set(header(wheel).get_all("Provides-Extra")) == {"release", "tests"}
    assert header(wheel)["Requires-Python"] == ">=3.10"


def test_every_dependency_is_pinned_to_a_range(wheel: zipfile.ZipFile) -> None:
    """With a lower and an upper bound."""
    assert [line for line in header(wheel).get_all("Requires-Dist") if not ("<" in line and ">=" in line)] == []


def test_the_image_has_versions_that_the_package_allows(wheel: zipfile.ZipFile) -> None:
    """Otherwise: bash scripts/requirements."""
    lines = text("requirements.txt").splitlines()
    carried = dict(re.findall(r"^([\w.-]+)==(\S+)", text("requirements.txt"), flags=re.MULTILINE))
    left_out = [name for line in lines if line.startswith("# - ") for name in line[4:].split()]
    own = [Requirement(line) for line in header(wheel).get_all("Requires-Dist") if "extra ==" not in line]
    assert [need.name for need in own if not need.specifier.contains(carried.get(need.name, ""))] == left_out
    assert left_out == ["airbyte-cdk"]


def test_the_console_scripts_are_there(wheel: zipfile.ZipFile) -> None:
    """Under the names that the ecosystem and the README use."""
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    scripts = wheel.read(name).decode()
    assert "destination-heap-analytics = destination_heap_analytics.cli:main" in scripts
