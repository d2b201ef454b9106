"""The images of the courier and the sandbox: their user, how they stop, and that nothing is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from courier.integration_tests import heap_bucket
from integration_tests.conftest import ROOT, base

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("image")]
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "host")  # noqa: S108


def docker(*arguments: str, code: int = 0) -> str:
    command = ["docker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def built(folder: str, number: Path) -> str:
    if shutil.which("docker") is None:
        pytest.skip("There is no `docker` on this machine: THE IMAGES ARE NOT TESTED. Install Docker or Podman.")
    docker("build", *base(), "--iidfile", str(number), "-t", f"heap-{folder}:test", str(ROOT / folder))
    return number.read_text().strip()


@pytest.fixture(scope="module")
def courier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ID of the courier's image."""
    return built("courier", tmp_path_factory.mktemp("image") / "courier")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ID of the sandbox's image."""
    return built("sandbox", tmp_path_factory.mktemp("image") / "sandbox")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a bucket with data as Heap Connect writes it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.Session("k", "s").client("s3", "us-east-1", endpoint_url=address)
    client.create_bucket(Bucket=heap_bucket.BUCKET)
    for dump in heap_bucket.story(Random(2026)):
        heap_bucket.put(client, heap_bucket.BUCKET, heap_bucket.objects(dump, Random(dump.dump_id)))
    yield address
    server.stop()


def test_a_dump_is_loaded_by_an_unprivileged_user_on_a_read_only_file_system(
    courier: str, bucket: str, tmp_path: Path
) -> None:
    """From an empty folder to a table; only the folder and /tmp are written to."""
    project = tmp_path / "heap"
    project.mkdir()
    shutil.chown(project, 1000, 1000)
    keys = ("-e", "AWS_ACCESS_KEY_ID=k", "-e", "AWS_SECRET_ACCESS_KEY=s")
    run = ("run", "--rm", *HARDENED, *keys, "-v", f"{project}:/project", courier)
    docker(*run, "init")
    path = project / "heap-courier.yaml"
    document = yaml.safe_load(path.read_text())
    document["couriers"]["Heap-Connect"] |= {"bucket": heap_bucket.BUCKET, "endpoint-url": bucket}
    path.write_text(yaml.safe_dump(document))
    assert "OK" in docker(*run, "check", "Heap-Connect")
    assert "loaded" in docker(*run, "run", "Heap-Connect")
    assert json.loads(docker(*run, "show", "Heap-Connect:users:resolved", "--json").splitlines()[0])["user_id"]
    assert {path.stat().st_uid for path in project.rglob("*")} == {1000}


@pytest.mark.parametrize("command", ["group serve --wait", "console --port 0"])
def test_a_service_of_the_courier_stops_cleanly(courier: str, tmp_path: Path, command: str) -> None:
    """On SIGTERM, as process 1 of its container, with exit code 0."""
    folder = tmp_path / "heap"
    folder.mkdir()
    shutil.chown(folder, 1000, 1000)
    mount = ("-v", f"{folder}:/project")
    docker("run", "--rm", *HARDENED, *mount, courier, "init", "--empty")
    number = docker("run", "-d", *HARDENED, *mount, courier, *command.split()).strip()
    try:
        sentence = "Nothing is scheduled" if "serve" in command else "Console of"
        follow = ["docker", "logs", "-f", number]
        with subprocess.Popen(follow, stdout=-1, stderr=subprocess.STDOUT, text=True) as log:
            assert log.stdout
            assert any(sentence in line for line in log.stdout)
            docker("stop", "--time", "60", number)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", number).strip() == "0"
    finally:
        docker("rm", "--force", number)


def test_the_sandbox_runs_as_any_user(sandbox: str) -> None:
    """Showing the help, and starting on a port in use, need all of its imports."""
    options = ("--read-only", "--user", "12345:12345", "--cap-drop", "ALL")
    assert "--host" in docker("run", "--rm", *options, sandbox, "--help")
    docker("run", "--rm", *options, sandbox, "--port", "99999", code=1)


@pytest.mark.parametrize(("name", "folder"), [("courier", "/courier"), ("sandbox", "/sandbox")])
def test_nothing_of_the_image_belongs_to_its_user(request: pytest.FixtureRequest, name: str, folder: str) -> None:
    """And it has neither the packages of the tests, nor those that built it, nor the connector's."""
    image = request.getfixturevalue(name)
    options = ("run", "--rm", "--entrypoint")
    assert docker(*options, "id", image, "-u").strip() == "1000"
    assert docker(*options, "find", image, folder, "!", "-user", "root") == ""
    packages = docker(*options, "sh", image, "-c", f"ls {folder}/lib/python3*/site-packages").split()
    assert "uvicorn" in packages
    assert {"pytest", "pip", "setuptools", "airbyte_cdk", "moto"} & set(packages) == set()
