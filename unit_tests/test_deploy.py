"""Deployment files: units, images and manifests use existing commands, and the documents refer to them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from fnmatch import fnmatch
from importlib.metadata import requires
from pathlib import Path
from runpy import run_path
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools.config.pyprojecttoml import read_configuration

from heap_courier.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
UNITS = sorted(ROOT.glob("deploy/systemd/*.service"))
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


def is_a_command(words: list[str]) -> bool:
    """Whether heap-courier accepts this command line, judging by its help."""
    result = CliRunner().invoke(cli, [*words, "--help"])
    return result.exit_code == 0


def test_an_unknown_word_is_not_a_command() -> None:
    """Otherwise the tests below would prove nothing."""
    assert not is_a_command(["group", "served"])
    assert not is_a_command(["group", "serve", "--waiting"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_of_the_courier_without_privileges(unit: Path) -> None:
    """As a dedicated user, which can write only to its own folder."""
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
    """With a program that exists on this machine."""
    for unit in UNITS:
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text("utf-8"), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text, "utf-8")
    units = [str(path) for path in tmp_path.iterdir()]
    verify = ["systemd-analyze", "verify", *units]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
COURIERS = ("daemon", "console")
PROJECTS = {"destination-heap-analytics": ROOT, "heap-courier": ROOT / "courier", "heap-sandbox": ROOT / "sandbox"}
MANIFESTS = [
    manifest
    for path in sorted(ROOT.glob("deploy/kubernetes/*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text("utf-8"))
]
RELEASE = run_path(str(ROOT / "scripts" / "release.py"))


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.compose-spec", "compose.yaml"),
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[bf]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_files_of_other_programs_follow_their_published_schemas(schema: str, pattern: str) -> None:
    """Their own tools may not be installed where the tests run."""
    paths = list(ROOT.glob(pattern))
    assert paths
    for path in paths:
        document = yaml.safe_load(path.read_text("utf-8"))
        if True in document:  # `on`, in YAML 1.1
            document["on"] = document.pop(True)
        jsonschema.validate(document, get_builtin_schema(schema))


def bases() -> set[str]:
    return {
        base
        for folder in (*PROJECTS.values(), ROOT / "deploy" / "demo-bucket")
        for base in re.findall("^ARG BASE=(.*)$", (folder / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    }


def test_all_images_have_the_same_base_pinned_by_digest() -> None:
    """The database's image is pinned too."""
    (base,) = bases()
    for image in (base, SERVICES["postgresql"]["image"]):
        assert re.fullmatch(r"docker\.io/library/[\w.:-]+@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("folder", PROJECTS.values(), ids=list(PROJECTS))
def test_an_image_runs_as_a_numeric_user_and_installs_only_files_with_known_hashes(folder: Path) -> None:
    """From a number, Kubernetes can tell that the user is not root."""
    text = (folder / "Dockerfile").read_text("utf-8")
    assert re.findall("^USER (.*)$", text, flags=re.MULTILINE) == ["1000:1000"]
    assert text.count("FROM ${BASE}") == len(re.findall("^FROM", text, flags=re.MULTILINE)) == 2
    installed = re.findall(r"install .*-r \S+", text)
    assert len(installed) == 2
    assert all("--require-hashes" in line for line in installed)
    for name in ("requirements.txt", "build-requirements.txt"):
        packages = re.split(r"^(?=[\w.-]+==)", (folder / name).read_text("utf-8"), flags=re.MULTILINE)[1:]
        assert packages
        assert all("--hash=sha256:" in package for package in packages)


@pytest.mark.parametrize("name", ["heap-courier", "heap-sandbox"])
def test_an_image_has_what_its_project_requires(name: str) -> None:
    """Each package in a version that the project allows, and their dependencies."""
    text = (PROJECTS[name] / "requirements.txt").read_text("utf-8")
    carried = dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))
    own = needed(name, ("", "console", "stitch"))
    assert len(own) > 3
    assert [str(one) for one in own if not one.specifier.contains(carried.get(canonicalize_name(one.name), ""))] == []
    lacking = {f"{package} requires {one}" for package in carried for one in needed(package, ("",))
               if canonicalize_name(one.name) not in carried}  # fmt: skip
    assert lacking == set()


def needed(package: str, extras: tuple[str, ...]) -> list[Requirement]:
    """The requirements of a package in the image."""
    where = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux"}
    found = map(Requirement, requires(package) or ())
    return [
        one for one in found if not one.marker or any(one.marker.evaluate({**where, "extra": each}) for each in extras)
    ]


@pytest.mark.parametrize(("name", "package"), [("heap-courier", "heap_courier"), ("heap-sandbox", "heap_sandbox")])
def test_a_wheel_has_every_file_of_the_package(name: str, package: str) -> None:
    """Including pages, styles and data; test_wheels.py builds and installs the wheels."""
    folder = PROJECTS[name]
    patterns = read_configuration(folder / "pyproject.toml")["tool"]["setuptools"]["package-data"][package]
    files = [path for path in (folder / package).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert len(files) > 3
    names = [str(path.relative_to(folder / package)) for path in files]
    assert [each for each in names if not any(fnmatch(each, pattern) for pattern in patterns)] == []
    assert [path for path in (folder / package).rglob("*.py") if not path.with_name("__init__.py").exists()] == []


def test_the_console_is_published_to_this_computer_alone_with_a_token_and_tls() -> None:
    """So is the sandbox, which has neither."""
    assert {port for service in SERVICES.values() for port in service.get("ports", ())} == {
        "127.0.0.1:8480:8480",
        "127.0.0.1:8470:8470",
    }
    assert {"--tls-cert", "--tls-key"} <= set(SERVICES["console"]["command"])


@pytest.mark.parametrize("service", COURIERS)
def test_a_service_starts_a_command_of_the_courier(service: str) -> None:
    """On a read-only file system, without capabilities."""
    assert is_a_command(SERVICES[service]["command"])
    assert SERVICES[service]["read_only"]
    assert SERVICES[service]["cap_drop"] == ["ALL"]


def containers() -> list[dict[str, Any]]:
    return [
        container
        for manifest in MANIFESTS
        for spec in [manifest["spec"].get("jobTemplate", manifest)["spec"].get("template", {}).get("spec", {})]
        for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]
    ]


def test_kubernetes_containers_start_commands_without_privileges() -> None:
    """As the restricted Pod Security profile requires."""
    assert len(containers()) == 4
    for container in containers():
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        commands = re.findall(r"heap-courier ([a-z].*?)(?= \|\||$)", container.get("command", ["", ""])[-1])
        for words in [*map(str.split, commands), container.get("args")]:
            assert not words or is_a_command([word for word in words if word != "nightly"])


@pytest.fixture
def path_of_programs(tmp_path: Path) -> dict[str, str]:
    """An environment in which `heap-courier` prints its arguments, except for `init`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    real = Path(sys.executable).with_name("heap-courier")
    program = programs / "heap-courier"
    program.write_text(f'[ "$1" = init ] && exec {real} "$@"\necho "$HEAP_WAREHOUSE $HEAP_COURIER_CONSOLE_TOKEN $*"\n')
    program.write_text("#!/bin/sh\n" + program.read_text())
    program.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    places = {"PROJECT": str(tmp_path / "project"), "SECRETS": str(tmp_path / "secrets")}
    (tmp_path / "secrets").mkdir()
    return {"PATH": f"{programs}:{os.environ['PATH']}", **places}


@pytest.mark.skipif(
    not (shutil.which("openssl") and Path("/etc/ssl/certs/ca-certificates.crt").exists()), reason="there is no openssl"
)
def test_what_services_share_is_created_once(path_of_programs: dict[str, str], tmp_path: Path) -> None:
    """A project for PostgreSQL, a password, a token and a certificate, readable only by their owner."""

    def run(script: str, *words: str) -> str:
        command = ["/bin/sh", str(ROOT / "deploy" / "compose" / script), *words]
        return subprocess.run(command, env=path_of_programs, capture_output=True, text=True, check=True).stdout

    first = run("setup.sh")
    token, password = (
        (tmp_path / "secrets" / name).read_text().strip() for name in ("console-token", "warehouse-password")
    )
    assert f"Token: {token}" in first
    assert password not in first
    assert len(token) == len(password) == 40
    assert "engine: postgresql" in (tmp_path / "project" / "heap-courier.yaml").read_text()
    made = {path: path.read_bytes() for path in tmp_path.glob("*/*.*")}
    assert run("setup.sh") in first
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*.*")} == made
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "secrets").iterdir()} == {0}
    assert run("start.sh", "console") == f"postgresql://heap:{password}@postgresql/heap {token} console\n"


def test_the_release_checklist_finds_what_is_missing() -> None:
    """And nothing in the project as it is, except the date of the next section."""
    problems = RELEASE["changelog_problems"]
    assert problems("## 1.0.0 (2026-12-01)\n\n- A line.\n", "1.0.0") == []
    assert problems("## 1.0.0\n\n- A line.\n", "1.0.0") == ["the heading of 1.0.0 in CHANGELOG.md has no date"]
    assert problems("## 1.0.0 (2026-12-01)\n\n## 0.9\n\n- A line.\n", "1.0.0") == [
        "the section of 1.0.0 in CHANGELOG.md is empty"
    ]
    assert problems("## 0.9\n", "1.0.0") == ["CHANGELOG.md has no section for 1.0.0"]
    assert RELEASE["version_problems"](ROOT) == []


def test_the_release_checklist_finds_every_place_with_another_version(tmp_path: Path) -> None:
    """In the files of the connector, and where images are used."""
    for name in ("metadata.yaml", "Dockerfile", "CHANGELOG.md", "compose.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8").replace("0.2.0", "0.1.9"), "utf-8")
    assert RELEASE["version_problems"](tmp_path) == [
        "metadata.yaml says 0.1.9, not 0.2.0",
        "Dockerfile says 0.1.9, not 0.2.0",
        "CHANGELOG.md says 0.1.9, not 0.2.0",
        "deploy/ and compose.yaml name heap-courier:0.1.9, not 0.2.0",
        "deploy/ and compose.yaml name heap-sandbox:0.1.9, not 0.2.0",
    ]
