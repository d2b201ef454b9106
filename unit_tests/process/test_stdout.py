"""Messages and log lines are written completely and without delay."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteConnectionStatus, AirbyteMessage, Status, Type

from destination_heap_analytics.errors import OutputError
from destination_heap_analytics.process.stdout import log_to_output, print_line, print_message
from destination_heap_analytics.protocol.messages import EchoedState

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def _logging() -> Iterator[None]:
    handlers = logging.getLogger().handlers
    log_to_output()
    yield
    logging.getLogger().handlers = handlers
    logging.captureWarnings(capture=False)


def test_a_state_is_printed_as_its_text(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Bytes that are not UTF-8 included."""
    print_message(EchoedState(type=Type.STATE, line='{"state": {"é": "\udcff"}}'))
    assert capfdbinary.readouterr().out == b'{"state": {"\xc3\xa9": "\xff"}}\n'


def test_any_other_message_is_printed_as_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """On one line."""
    status = AirbyteConnectionStatus(status=Status.FAILED, message="a\nb")
    print_message(AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status))
    assert json.loads(capfdbinary.readouterr().out) == {
        "type": "CONNECTION_STATUS",
        "connectionStatus": {"status": "FAILED", "message": "a\nb"},
    }


def test_a_message_begins_with_its_type_and_has_no_spaces_between_tokens(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """PyAirbyte searches its log for exactly these characters to find an error."""
    print_message(AirbyteMessage(type=Type.TRACE))
    assert capfdbinary.readouterr().out == b'{"type":"TRACE"}\n'


@pytest.mark.usefixtures("_logging")
def test_libraries_are_not_logged(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """They may quote a response, which may echo a row."""
    logging.getLogger("urllib3.connection").warning("unparsed data: secret row")
    assert capfdbinary.readouterr().out == b""


@pytest.mark.filterwarnings("always")
@pytest.mark.usefixtures("_logging")
def test_log_lines_are_messages(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Including Python's warnings, which the platform would otherwise show as errors."""
    log_to_output()  # not to pytest, whose reports cannot contain half a character
    logging.getLogger("airbyte").warning("half a character: \ud800")
    warnings.warn("old", stacklevel=1)
    out, err = capfdbinary.readouterr()
    first, second = (json.loads(line)["log"] for line in out.splitlines())
    assert (first["level"], second["level"]) == ("WARN", "WARN")
    assert first["message"].startswith("half a character")
    assert "old" in second["message"]
    assert err == b""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_is_full_is_waited_for_even_if_its_owner_made_it_non_blocking(unbuffered: str) -> None:
    """A message must not be lost or truncated."""
    script = (
        "from destination_heap_analytics.process.stdout import log_to_output, print_message\n"
        "from destination_heap_analytics.protocol.messages import EchoedState\n"
        "from airbyte_protocol_dataclasses.models import Type\n"
        "log_to_output()\n"
        "for number in range(3000): print_message(EchoedState(type=Type.STATE, line=str(number).zfill(100)))\n"
    )
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=writing, env=environment) as process:
        os.close(writing)
        time.sleep(0.2)
        with os.fdopen(reading, "rb") as out:
            lines = out.read().splitlines()
        assert process.wait(60) == 0
    assert lines == [str(number).zfill(100).encode() for number in range(3000)]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_becomes_non_blocking_during_the_run_loses_nothing(unbuffered: str) -> None:
    """Another process may change it at any time."""
    script = (
        "import os, sys\n"
        "from destination_heap_analytics.process.stdout import write\n"
        "for number in range(3000):\n"
        "    os.set_blocking(1, False)\n"
        "    write(str(number).zfill(100).encode() + b'\\n')\n"
    )
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3000)]
        assert process.stdout.read() == b""
        assert process.wait(60) == 0
    assert lines == [str(number).zfill(100).encode() + b"\n" for number in range(3000)]


def test_what_is_printed_in_a_terminal_is_harmless(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is still the same JSON."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_line('{"name":"\x9b2J"}'.encode())
    assert capfdbinary.readouterr().out == b'{"name":"\\u009b2J"}\n'


def test_output_that_cannot_be_written_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is closed or the disk is full, but not if its reader is gone."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match=r"cannot be written \(closed\)"):
        print_line(b"{}")

    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=Full(), isatty=lambda: False))
    with pytest.raises(OutputError, match="No space left on device"):
        print_line(b"{}")


class FullPipe(io.BytesIO):
    """A non-blocking pipe that accepts three bytes at a time before it is full."""

    is_unbuffered = False
    is_full = False

    def write(self, content: Any) -> Any:
        self.is_full = not self.is_full
        if not self.is_full:
            return super().write(content)
        super().write(content[:3])
        if self.is_unbuffered:
            return 3
        raise BlockingIOError(11, "full", min(3, len(content)))


@pytest.mark.parametrize("is_unbuffered", [True, False])
def test_a_full_pipe_is_waited_for(monkeypatch: pytest.MonkeyPatch, is_unbuffered: bool) -> None:
    """What it accepted is not written again."""
    pipe = FullPipe()
    pipe.is_unbuffered = is_unbuffered
    waits: list[str] = []
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe, isatty=lambda: False))
    monkeypatch.setattr("destination_heap_analytics.process.stdout._wait", lambda: waits.append("waited") or 0)
    print_line(b"0123456789")
    assert pipe.getvalue() == b"0123456789\n"
    assert bool(waits) is not is_unbuffered


def test_a_pipe_that_accepts_nothing_at_first_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """If unbuffered, the write returns None; if buffered, the flush may fail."""

    class Slow(io.BytesIO):
        answers: Any = iter([None, 11])
        flushes: Any = iter([BlockingIOError(11, "full", 0), None])

        def write(self, content: Any) -> Any:
            return next(self.answers) and super().write(content)

        def flush(self) -> None:
            if failure := next(self.flushes):
                raise failure

    pipe = Slow()
    waits: list[str] = []
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe, isatty=lambda: False))
    monkeypatch.setattr("destination_heap_analytics.process.stdout._wait", lambda: waits.append("waited") or 0)
    print_line(b"0123456789")
    assert (pipe.getvalue(), len(waits)) == (b"0123456789\n", 2)
