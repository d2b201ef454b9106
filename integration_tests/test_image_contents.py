"""The contents of the image, without an image: its files, its packages, and that they are sufficient.

The small form of test_image.py, which builds the image and runs it.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.messages import cursor, cursors, lines
from destination_heap_analytics.version import VERSION
from integration_tests.conftest import ROOT, SAMPLES, SECONDS, Outcome, outcome

TEXT = (ROOT / "requirements.txt").read_text("utf-8")
NAMED = dict(re.findall(r"^([\w.-]+)==(\S+)", TEXT, flags=re.MULTILINE))
LEFT_OUT = {name for line in re.findall("^# - (.*)", TEXT, flags=re.MULTILINE) for name in line.split()}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
MEMORY = 256 << 20

START = """
import runpy, sys
sys.path[:0] = sys.argv.pop(1).split(":")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program that sees only Python's own modules and the given folders."""


def needed(found: Distribution) -> list[Requirement]:
    """The requirements of a package in the image."""
    requirements = map(Requirement, found.requires or ())
    where = {"python_version": "3.11", "python_full_version": "3.11.9", "extra": ""}
    return [one for one in requirements if one.marker is None or one.marker.evaluate(where)]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The connector as setup.py installs it from the files that the Dockerfile copies."""
    checkout, built = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("built")
    for name in ("setup.py", "pyproject.toml", "README.md", "destination_heap_analytics"):
        (checkout / name).symlink_to(ROOT / name)
    folders = ["egg_info", f"--egg-base={built}", "build", f"--build-base={built}", f"--build-lib={built / 'lib'}"]
    subprocess.run(
        [sys.executable, "setup.py", "-q", *folders], cwd=checkout, check=True, timeout=SECONDS, capture_output=True
    )
    return built / "lib"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exactly the packages in requirements.txt."""
    folder = tmp_path_factory.mktemp("packages")
    for name in NAMED:
        found = distribution(name)
        for top in {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(found.locate_file(top))))
    return folder


def started(library: Path, packages: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-S", "-c", START, f"{library}:{packages}", str(ROOT / "main.py"), *words]
    return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, **options)


def run(library: Path, packages: Path, *words: str, **options: Any) -> Outcome:
    done = started(library, packages, *words, **options)
    return outcome(done.returncode, done.stdout, done.stderr)


def test_it_has_all_of_the_connector_and_nothing_else(library: Path) -> None:
    """Each module of each folder and the specification; no sandbox, no courier, no tests."""
    package = ROOT / "destination_heap_analytics"
    ours = [*package.rglob("*.py"), package / "spec.json", package / "py.typed"]
    assert {str(path.relative_to(library)) for path in library.rglob("*") if path.is_file()} == {
        str(path.relative_to(ROOT)) for path in ours
    }


def test_no_requirement_is_missing() -> None:
    """Of the connector or of a package, except for those that requirements.txt lists as left out."""
    named = {canonicalize_name(name) for name in (*NAMED, *LEFT_OUT)}
    missing = {
        f"{name} requires {one}"
        for name in ("destination-heap-analytics", *NAMED)
        for one in needed(distribution(name))
        if canonicalize_name(one.name) not in named
    }
    assert missing == set()


def test_each_version_is_one_that_setup_py_allows() -> None:
    """The connector's own requirements; test_image.py also checks the packages against each other."""
    allowed = {canonicalize_name(one.name): one.specifier for one in needed(distribution("destination-heap-analytics"))}
    given = {canonicalize_name(name): version for name, version in NAMED.items()}
    del allowed["airbyte-cdk"]  # no command needs it, and the image leaves it out
    assert len(allowed) > 5
    assert [name for name, versions in allowed.items() if not versions.contains(given[name])] == []


def test_the_packages_are_sufficient_for_every_command(
    library: Path, packages: Path, sample: Any, tmp_path: Path
) -> None:
    """Without any other package of the environment that the tests run in."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(sample("track")), "utf-8")
    options = ("--config", str(config))
    catalog = ("--catalog", str(SAMPLES / "configured_catalog.json"))
    committed = json.loads((ROOT / "destination_heap_analytics" / "spec.json").read_text("utf-8"))
    (specification,) = run(library, packages, "spec").of("SPEC")
    assert specification["spec"]["connectionSpecification"] == committed["connectionSpecification"]
    assert run(library, packages, "check", *options).status == ("SUCCEEDED", "")
    messages = (SAMPLES / "messages.jsonl").read_bytes()
    written = run(library, packages, "write", *options, *catalog, input=messages)
    assert (written.code, written.states, written.err) == (0, [(1, 12, 0), (2, 12, 0), (3, 12, 0)], b"")
    shown = started(library, packages, "preview", *options, *catalog, "--json", input=messages)
    assert json.loads(shown.stdout)["mapped"] == 36


def test_a_package_that_is_left_out_is_not_there(library: Path, packages: Path, tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    program = tmp_path / "program.py"
    program.write_text("import pytest")
    command = [sys.executable, "-I", "-S", "-c", START, f"{library}:{packages}", str(program)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert b"No module named 'pytest'" in done.stderr


def test_rejected_rows_go_to_a_bucket(
    library: Path, packages: Path, sample: Any, tmp_path: Path, moto_server: str
) -> None:
    """boto3 and everything that it imports are among the packages."""
    place = {
        "storage_type": "S3",
        "s3_bucket_name": "no-such-bucket-of-the-image",
        "s3_bucket_region": "us-east-1",
        "s3_endpoint": moto_server,
        "bucket_path": "heap",
        "access_key_id": "AKIDEXAMPLE1",
        "secret_access_key": "very-secret-key-42",
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**sample("track"), "object_storage_config": place}), "utf-8")
    status, said = run(library, packages, "check", "--config", str(config)).status
    assert status == "FAILED"
    assert "`no-such-bucket-of-the-image`" in said


def test_its_name_and_version_are_those_of_the_connector() -> None:
    """As labels, with the entry point where the platform looks for it."""
    assert "LABEL io.airbyte.name=airbyte/destination-heap-analytics\n" in DOCKERFILE
    assert f"LABEL io.airbyte.version={VERSION}\n" in DOCKERFILE
    (words,) = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)
    assert f'ENV AIRBYTE_ENTRYPOINT="{" ".join(json.loads(words))}"\n' in DOCKERFILE
    assert DOCKERFILE.index("USER 1000:1000") > DOCKERFILE.index("main.py spec")


def test_many_rows_are_loaded_in_little_memory(tmp_path: Path, heap: Any, sample: Any) -> None:
    """20,000 in 256 MB of data; test_image.py has ten times as many."""
    rows = 20_000
    config = {**sample("track"), "delivery": {"mode": "bulk", "max_events_per_minute": 1_000_000_000}}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "messages.jsonl").write_text("".join(lines(rows)), "utf-8")
    command = [sys.executable, str(ROOT / "main.py"), "write", "--config", str(tmp_path / "config.json")]
    with (tmp_path / "messages.jsonl").open("rb") as source:
        done = subprocess.run(
            [*command, "--catalog", str(SAMPLES / "configured_catalog.json")],
            stdin=source,
            capture_output=True,
            timeout=SECONDS * 5,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),  # no threads
        )
    result = outcome(done.returncode, done.stdout, done.stderr)
    assert (result.code, result.err) == (0, b"")
    assert [cursor(message["state"]) for message in result.of("STATE")] == cursors(rows)
    assert heap.stats()["events"] == rows
