"""The connector as a process, piped as on the platform, and a local mock of Heap."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fork_server import Fork
from heap_sandbox.server import Sandbox
from integration_tests.forked import MAIN, SECONDS, Forked

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_files"
SANDBOX_URL = "http://127.0.0.1:8470"
"""The address in the sample files; tests replace it by their own."""


Lines = Iterable[str | bytes | dict[str, Any]]
"""Messages, as objects or as JSON."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: its exit code, and its messages as the platform reads them."""

    code: int
    out: bytes
    err: bytes
    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def log(self) -> str:
        return "\n".join(f"{line['log']['level']} {line['log']['message']}" for line in self.of("LOG"))

    @property
    def status(self) -> tuple[str, str]:
        (message,) = self.of("CONNECTION_STATUS")
        return message["connectionStatus"]["status"], message["connectionStatus"].get("message") or ""

    @property
    def error(self) -> tuple[str, str]:
        (message,) = self.of("TRACE")
        return message["trace"]["error"]["failure_type"], message["trace"]["error"]["message"]

    @property
    def states(self) -> list[tuple[Any, int, int]]:
        """The ID and counts (delivered, rejected) of each returned state."""
        return [
            (
                message["state"].get("id"),
                int(message["state"]["destinationStats"]["recordCount"]),
                int(message["state"]["destinationStats"]["rejectedRecordCount"]),
            )
            for message in self.of("STATE")
        ]


@dataclass(frozen=True)
class Connector:
    """The connector's command line, with its files in a folder of the test."""

    folder: Path
    forked: Forked

    def start(self, config: Any, catalog: Any, **streams: Any) -> Fork:
        """Start a write; the caller pipes its input and output."""
        return self.forked.start(self.words("write", config, catalog), **streams)

    def arguments(self, command: str, config: Any = None, catalog: Any = None) -> list[str]:
        return [sys.executable, MAIN, *self.words(command, config, catalog)]

    def words(self, command: str, config: Any = None, catalog: Any = None) -> list[str]:
        """The arguments of main.py."""
        words = [command]
        for option, content in (("--config", config), ("--catalog", catalog)):
            if content is not None:
                words += [option, str(self.file(option.strip("-") + ".json", content))]
        return words

    def file(self, name: str, content: Any) -> Path:
        if isinstance(content, Path):
            return content
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def run(
        self, command: str, config: Any = None, catalog: Any = None, lines: Lines = (), *, speed: float = 1.0
    ) -> Outcome:
        """Run a command to completion; `speed` shortens its pauses between requests by that factor."""
        run = self.forked.run(self.words(command, config, catalog), piped(lines), speed=speed)
        return outcome(run.returncode, run.stdout, run.stderr)

    def preview(self, config: Any, catalog: Any, content: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        return self.forked.run([*self.words("preview", config, catalog), *options], content)


def piped(lines: Lines) -> bytes:
    """Messages as lines of standard input."""
    content = b""
    for line in lines:
        text = json.dumps(line) if isinstance(line, dict) else line
        content += (text.encode() if isinstance(text, str) else text) + b"\n"
    return content


def outcome(code: int, out: bytes, err: bytes) -> Outcome:
    return Outcome(code, out, err, [json.loads(line.decode("utf-8", "replace")) for line in out.splitlines()])


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


@pytest.fixture
def connector(tmp_path: Path, forked: Forked) -> Connector:
    return Connector(tmp_path, forked)


@pytest.fixture
def heap() -> Iterator[Sandbox]:
    with Sandbox.start() as sandbox:
        yield sandbox


@pytest.fixture
def sample(heap: Sandbox) -> Callable[[str], dict[str, Any]]:
    """The sample configuration of an API, with the address of this test's Heap."""

    def config(api: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((SAMPLES / f"config_{api}.json").read_text(encoding="utf-8"))
        return {**content, "base_url": heap.url}

    return config


def base() -> list[str]:
    """Options that build an image on the base in IMAGE_BASE, for a machine that cannot reach the pinned one."""
    name = os.environ.get("IMAGE_BASE")
    return ["--build-arg", f"BASE={name}"] if name else []


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ID of an image of this checkout: another run may reuse its name meanwhile."""
    if shutil.which("docker") is None:
        pytest.skip("There is no `docker` on this machine: THE IMAGE IS NOT TESTED. Install Docker or Podman.")
    number = tmp_path_factory.mktemp("image") / "id"
    build = ["docker", "build", *base(), "--iidfile", str(number), "-t", "destination-heap-analytics:test", str(ROOT)]
    run = subprocess.run(build, capture_output=True, text=True, timeout=1800, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return number.read_text().strip()
