"""The command, as a separate process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from heap_sandbox.cli import main
from heap_sandbox.server import Sandbox, listen
from heap_sandbox.version import VERSION

COMMAND = (sys.executable, "-m", "heap_sandbox.cli")
EVENT = {"app_id": "11", "identity": "alice", "event": "E"}
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as a shell has it
READY = "Heap sandbox listening on "
INVITATION = "Open {}/ in a browser for a live view.\n"


class Running:
    """The command while it runs; a Sandbox to look into it."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        self.process = process
        self.line = line
        self.heap = Sandbox(line.removeprefix(READY).strip())
        assert process.stdout is not None
        assert process.stdout.readline() == INVITATION.format(self.heap.url)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=30)
        return self.process.returncode, output, errors


@contextmanager
def command(*options: str) -> Iterator[Running]:
    process = subprocess.Popen(
        (*COMMAND, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=BUFFERED
    )
    try:
        assert process.stdout is not None
        yield Running(process, process.stdout.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def failure(*options: str) -> str:
    """The only line on stderr of a command that exits with code 1."""
    done = subprocess.run((*COMMAND, *options), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(".\n")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_stops_cleanly(number: signal.Signals) -> None:
    """It prints two lines when it is ready, nothing else, and exits with code 0."""
    with command("--port", "0") as running:
        assert running.line == f"{READY}{running.heap.url}\n"
        assert running.heap.url.startswith("http://127.0.0.1:")
        assert requests.post(running.heap.url + "/api/track", json=EVENT, timeout=30).text == "{}"
        assert running.end(number) == (0, "", "")


def test_it_stops_while_a_request_hangs_and_a_client_stays_connected() -> None:
    """With one signal."""
    body = b'{"app_id": "11"}'
    head = f"POST /api/track HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with command("--port", "0") as running:
        running.heap.fault(kind="hang")
        address = ("127.0.0.1", int(running.heap.url.rpartition(":")[2]))
        with closing(socket.create_connection(address)) as hanging, closing(socket.create_connection(address)):
            hanging.sendall(head + body)
            while not running.heap.requests():
                pass
            assert running.end() == (0, "", "")


def test_it_listens_on_the_port_that_it_is_given() -> None:
    """And prints it."""
    with closing(listen(0)) as listener:
        port = listener.getsockname()[1]
    with command("--port", str(port)) as running:
        assert running.heap.url == f"http://127.0.0.1:{port}"


def test_options_reach_the_sandbox() -> None:
    """Apps, rates and scale."""
    with command("--port", "0", "--app-id", "11", "--app-id", "12", "--rate-limits", "--scale", "60") as running:
        documents = [EVENT | {"app_id": app_id} for app_id in ("11", "12", "13")]
        answers = [requests.post(running.heap.url + "/api/track", json=one, timeout=30) for one in documents]
        assert [answer.status_code for answer in answers] == [200, 200, 400]
        limits = running.heap.limits()
        assert (limits["enabled"], limits["scale"]) == (True, 60)


def test_by_default_nothing_is_limited() -> None:
    """Any app, no rates."""
    with command("--port", "0") as running:
        assert running.heap.limits()["enabled"] is False


def test_a_database_outlives_the_process(tmp_path: Path) -> None:
    """Even if the process was killed."""
    options = ("--port", "0", "--database", str(tmp_path / "heap.db"))
    with command(*options) as running:
        requests.post(running.heap.url + "/api/track", json=EVENT, timeout=30)
        running.process.kill()
    with command(*options) as running:
        assert [event["identity"] for event in running.heap.events()] == ["alice"]
        requests.post(running.heap.url + "/api/track", json=EVENT, timeout=30)
        assert running.end() == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["heap.db"]


def test_a_busy_port_is_explained() -> None:
    """One sentence, no traceback."""
    with closing(listen(0)) as listener:
        port = listener.getsockname()[1]
        assert (
            failure("--port", str(port))
            == f"Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another port with --port.\n"
        )


def test_an_impossible_port_is_explained() -> None:
    """Ports end at 65535."""
    assert failure("--port", "65536").startswith("Cannot listen on 127.0.0.1:65536: ")


def test_a_bad_database_is_explained(tmp_path: Path) -> None:
    """One sentence, no traceback."""
    path = tmp_path / "no" / "heap.db"
    expected = f"The database {path} cannot be used: unable to open database file.\n"
    assert failure("--port", "0", "--database", str(path)) == expected


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--scale", "0", "scale must be a number from 0.001 to 1,000,000.\n"),
        ("--scale", "nan", "scale must be a number from 0.001 to 1,000,000.\n"),
        ("--app-id", "abc", "An app ID must consist of digits; 'abc' does not.\n"),
    ],
)
def test_an_invalid_setting_is_explained(
    option: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same message as from the control endpoints."""
    assert main(["--port", "0", option, value]) == 1
    assert capsys.readouterr() == ("", sentence)


def test_a_missing_dependency_is_named() -> None:
    """With the command that installs it, and no traceback."""
    code = "import sys; sys.modules['uvicorn'] = None; import heap_sandbox.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == "heap-sandbox requires uvicorn, which is not installed. Run: pip install ./sandbox\n"


@pytest.mark.parametrize("name", ["\x1b[2J", "\r", "\n", "\x9b2J", "\u202e", "\u2028", "\u200b"])
@pytest.mark.parametrize(
    "options", [["--database", "/no/{}.db"], ["--app-id", "{}"], ["{}"], ["--port", "{}"], ["--{}"], ["--scale={}"]]
)
def test_control_characters_never_reach_the_terminal(
    name: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """In any argument, they are escaped."""
    with suppress(SystemExit):
        main(["--port", "0", *(option.format(name) for option in options)])
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors
    assert [line for line in errors.split("\n") if not line.isprintable()] == []


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"heap-sandbox {VERSION}\n")
