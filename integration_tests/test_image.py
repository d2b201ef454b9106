"""The image, used as in the README: its contents, its user, its memory, and how it stops."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import Parser
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.messages import cursor, cursors, lines
from destination_heap_analytics.version import VERSION
from integration_tests.conftest import ROOT, SAMPLES, SANDBOX_URL, SECONDS, Outcome, outcome, piped, until

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("image")]  # which is built once
NAME = f"airbyte/destination-heap-analytics:{VERSION}"
PYTHON = "/connector/bin/python"
MEMORY = ("--memory", "256m", "--memory-swap", "256m")

COMMANDS = [
    line[2:]
    for block in re.findall(
        r"^```console\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("$ docker ")
]
"""The README's commands with `docker`."""


def docker(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, check=False, timeout=SECONDS * 5, **options)


def inside(image: str, program: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """The output of another program inside the image."""
    run = docker("run", "--rm", *options, "--entrypoint", program, image, *arguments)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode()


@pytest.fixture
def folder(heap: Any, tmp_path: Path) -> Path:
    """The working directory of the user, with the sample files for this test's Heap instead of the one on port 8470."""
    shutil.copytree(SAMPLES, tmp_path / "sample_files")
    for config in (tmp_path / "sample_files").glob("config_*.json"):
        config.write_text(config.read_text("utf-8").replace(SANDBOX_URL, heap.url), "utf-8")
    return tmp_path


@pytest.fixture
def typed(image: str, folder: Path) -> Callable[[str], Outcome]:
    """Run a command of the README in a shell."""

    def run(command: str) -> Outcome:
        assert NAME in command
        shell = ["bash", "-c", command.replace(NAME, image)]
        done = subprocess.run(shell, cwd=folder, capture_output=True, check=False, timeout=SECONDS)
        return outcome(done.returncode, done.stdout, done.stderr)

    return run


def writing(folder: Path, image: str, config: Any, *options: str) -> list[str]:
    """The README's `write`, with another configuration and more options."""
    (folder / "sample_files" / "config.json").write_text(json.dumps(config), "utf-8")
    volume = f"{folder}/sample_files:/sample_files:ro"
    run = ["docker", "run", "--rm", "-i", "--network", "host", "-v", volume, *options, image]
    return [
        *run,
        "write",
        "--config",
        "/sample_files/config.json",
        "--catalog",
        "/sample_files/configured_catalog.json",
    ]


def test_the_commands_of_the_readme_load_the_sample_rows(typed: Callable[[str], Outcome], heap: Any) -> None:
    """Build, spec, check, write."""
    build, spec, check, write = COMMANDS
    assert build == f"docker build -t {NAME} ."  # with which the image of this test was built, except for its name
    (specification,) = typed(spec).of("SPEC")
    committed = json.loads((ROOT / "destination_heap_analytics" / "spec.json").read_text("utf-8"))
    assert specification["spec"]["connectionSpecification"] == committed["connectionSpecification"]
    assert typed(check).status == ("SUCCEEDED", "")
    run = typed(write)
    assert (run.code, run.states, run.err) == (0, [(1, 12, 0), (2, 12, 0), (3, 12, 0)], b"")
    assert len(heap.events()) == 37


@pytest.mark.parametrize("api", ["user_properties", "account_properties"])
def test_the_other_two_apis_work_as_well(typed: Callable[[str], Outcome], heap: Any, api: str) -> None:
    """With the same commands and the other sample configurations."""
    *_, check, write = (command.replace("config_track", f"config_{api}") for command in COMMANDS)
    assert typed(check).status == ("SUCCEEDED", "")
    assert typed(write).states == [(1, 12, 0), (2, 12, 0), (3, 12, 0)]
    stored = heap.accounts() if api == "account_properties" else [user for user in heap.users() if user["properties"]]
    assert len(stored) == 36


def test_the_256_mb_limit_is_enforced(image: str) -> None:
    """Otherwise the next test would prove nothing."""
    run = docker("run", "--rm", *MEMORY, "--entrypoint", PYTHON, image, "-c", "bytearray(300 << 20)")
    assert run.returncode == 137


def test_200_000_rows_are_loaded_in_256_mb(image: str, folder: Path, heap: Any, sample: Any) -> None:
    """Every state is returned, and every row arrives once."""
    rows = 200_000
    messages = folder / "messages.jsonl"
    with messages.open("w", encoding="utf-8") as file:
        file.writelines(lines(rows))
    config = {**sample("track"), "delivery": {"mode": "bulk", "max_events_per_minute": 1_000_000_000}}
    with messages.open("rb") as source:
        run = subprocess.run(
            writing(folder, image, config, *MEMORY), stdin=source, capture_output=True, check=False, timeout=SECONDS * 5
        )
    done = outcome(run.returncode, run.stdout, run.stderr)
    assert (done.code, done.err) == (0, b"")
    assert [cursor(message["state"]) for message in done.of("STATE")] == cursors(rows)
    assert sum(delivered for _, delivered, _ in done.states) == rows
    arrived = Counter(event["identity"] for event in heap.rows("events"))
    assert arrived == Counter(f"user.{number}@example.com" for number in range(1, rows + 1))


@contextmanager
def started(command: list[str], number: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A container whose input stays open; it is removed however the test ends."""
    command = [*command[:2], "--cidfile", str(number), *command[2:]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        try:
            yield run
        finally:
            if run.poll() is None:
                docker("rm", "--force", number.read_text().strip())
                run.kill()


@pytest.mark.parametrize("by", ["docker kill", "the end of docker run"])
def test_a_signal_stops_it_gracefully(image: str, folder: Path, heap: Any, sample: Any, by: str) -> None:
    """Requests in flight complete, and their state is returned; the exit code is that of SIGTERM."""
    heap.fault(kind="latency", seconds=3, match="ada.abbate")
    (record, *_) = (SAMPLES / "messages.jsonl").read_text("utf-8").splitlines()
    number = folder / "container"
    with started(writing(folder, image, sample("track")), number) as run:
        assert run.stdin
        assert run.stdout
        run.stdin.write(piped([record, {"type": "STATE", "state": {"data": {}, "id": 7}}]))
        run.stdin.flush()
        until(heap.events)
        if by == "docker kill":
            assert docker("kill", "--signal", "TERM", number.read_text().strip()).returncode == 0
        else:
            run.send_signal(signal.SIGTERM)
        assert run.wait(SECONDS) == 143  # while the source is still open
        assert outcome(143, run.stdout.read(), b"").states == [(7, 1, 0)]


def test_a_signal_stops_a_check_immediately(image: str, folder: Path, heap: Any, sample: Any) -> None:
    """As process 1 of a container, it would ignore a signal without a handler."""
    heap.fault(kind="hang", seconds=600)
    number = folder / "container"
    write = writing(folder, image, sample("track"))
    check = [*write[: write.index("write")], "check", "--config", "/sample_files/config.json"]
    with started(check, number) as run:
        until(lambda: heap.stats()["requests"])
        assert docker("kill", "--signal", "TERM", number.read_text().strip()).returncode == 0
        assert run.wait(SECONDS) == 143


def test_its_name_and_version_are_those_of_the_connector(image: str) -> None:
    """As labels, with the entry point where the platform looks for it, without a shell."""
    config = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]
    assert config["Labels"]["io.airbyte.name"] == NAME.partition(":")[0]
    assert config["Labels"]["io.airbyte.version"] == VERSION
    assert config["Entrypoint"] == [PYTHON, "/airbyte/integration_code/main.py"]
    assert f"AIRBYTE_ENTRYPOINT={' '.join(config['Entrypoint'])}" in config["Env"]


def test_it_runs_as_a_user_who_is_not_root(image: str) -> None:
    """And does not own any files of the connector."""
    assert inside(image, "id", "-u").strip() == "1000"
    assert inside(image, "find", "/connector", "/airbyte", "!", "-user", "root") == ""


def test_it_runs_as_any_user_on_a_read_only_file_system(image: str) -> None:
    """As restrictive clusters run containers."""
    run = docker("run", "--rm", "--read-only", "--user", "12345:12345", "--cap-drop", "ALL", image, "spec")
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("command", "least"), [(("spec",), 50), (("check", "--config", "/sample_files/config_track.json"), 200)]
)
def test_nothing_is_compiled_on_start(image: str, command: tuple[str, ...], least: int) -> None:
    """Compiling takes three times as long as everything else, and the user cannot store compiled files."""
    options = ("--network", "none", "-v", f"{SAMPLES}:/sample_files:ro")
    run = docker("run", "--rm", *options, "--entrypoint", PYTHON, image, "-v", "main.py", *command)
    loaded = re.findall(r"^# code object from '?(.*?)'?$", run.stderr.decode(), flags=re.MULTILINE)
    assert len(loaded) > least
    assert [path for path in loaded if not path.endswith(".pyc")] == []


def test_preview_and_resend_work_in_it_as_well(image: str, folder: Path) -> None:
    """Without network access; they would fail if something were missing in the image."""
    volume = ("-v", f"{folder}/sample_files:/sample_files:ro", "--network", "none")
    files = ("--config", "/sample_files/config_track.json", "--catalog", "/sample_files/configured_catalog.json")
    messages = (SAMPLES / "messages.jsonl").read_bytes()
    shown = docker("run", "--rm", "-i", *volume, image, "preview", "--json", *files, input=messages)
    assert (shown.returncode, json.loads(shown.stdout)["mapped"]) == (0, 36)
    (folder / "sample_files" / "rejected.jsonl").write_text('{"email": "a"}\n')
    again = docker("run", "--rm", *volume, image, "resend", "/sample_files/rejected.jsonl", "--stream", "users")
    assert (again.returncode, json.loads(again.stdout)["record"]["data"]) == (0, {"email": "a"})


def test_it_has_the_connector_and_nothing_that_it_was_built_or_tested_with(image: str) -> None:
    """No sandbox, no courier, no tests, no separate pip, no cache."""
    code = inside(image, "find", "/connector", "/airbyte", "-name", "*.py").splitlines()
    assert "/airbyte/integration_code/main.py" in code
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "destination_heap_analytics").rglob("*.py")}
    assert {path.partition("/site-packages/")[2] for path in code if "/destination_heap_analytics/" in path} == ours
    strange = "heap_sandbox|heap_courier|benchmarks|unit_tests|integration_tests|pytest|pip|setuptools|wheel"
    assert [path for path in code if re.search(rf"/(site-packages|integration_code)/({strange})/", path)] == []
    kept = inside(image, "find", "/root", "/home", "-type", "f", "-path", "*pip*", options=("--user", "0:0"))
    assert kept == ""


def test_it_has_what_requirements_txt_lists_and_no_other_requirement_is_left_out(image: str) -> None:
    """With exact versions, except for the packages that the file lists as left out."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    named = dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))
    left_out = {name for line in re.findall("^# - (.*)", text, flags=re.MULTILINE) for name in line.split()}
    files = inside(image, "sh", "-c", "for f in /connector/lib/*/site-packages/*.dist-info/METADATA; do cat $f; "
                   "printf '\\0'; done")  # fmt: skip
    packages = [Parser().parsestr(content) for content in files.split("\0")[:-1]]
    carried = {canonicalize_name(package["Name"]): package["Version"] for package in packages}
    assert carried == {**named, "destination-heap-analytics": VERSION}

    lacking = set()
    for package in packages:
        for line in package.get_all("Requires-Dist") or ():
            needs = Requirement(line)
            if needs.marker is None or needs.marker.evaluate({"python_version": "3.11", "extra": ""}):
                name = canonicalize_name(needs.name)
                if not needs.specifier.contains(carried.get(name, ""), prereleases=True):
                    lacking.add(name)
    assert lacking <= left_out


def test_rejected_rows_go_to_a_bucket_by_a_role(image: str, folder: Path, sample: Any) -> None:
    """With the descriptions of only these two of Amazon's services."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        keys = {"aws_access_key_id": "AKIDEXAMPLE1", "aws_secret_access_key": "very-secret-key-42"}
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        s3 = boto3.client("s3", "us-east-1", endpoint_url=endpoint, **keys)
        s3.create_bucket(Bucket="rows-of-the-image")
        place = {
            "storage_type": "S3",
            "s3_bucket_name": "rows-of-the-image",
            "s3_bucket_region": "us-east-1",
            "s3_endpoint": endpoint,
            "bucket_path": "heap",
            "access_key_id": keys["aws_access_key_id"],
            "secret_access_key": keys["aws_secret_access_key"],
            "role_arn": "arn:aws:iam::123456789012:role/rejected-rows",
        }
        config = {**sample("track"), "object_storage_config": place}
        row = {"stream": "users", "data": {"email": None, "identities": {"connection": "c"}}, "emitted_at": 1}
        source = piped([{"type": "RECORD", "record": row}, {"type": "STATE", "state": {"data": {}, "id": 1}}])
        done = docker(*writing(folder, image, config)[1:], input=source)
        assert outcome(done.returncode, done.stdout, done.stderr).states == [(1, 0, 1)], done.stdout.decode()
        assert len(s3.list_objects_v2(Bucket="rows-of-the-image")["Contents"]) == 1
    finally:
        server.stop()
