"""The commands in a terminal: a progress line that never mixes with the output."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pyte
import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_files"
CATALOG = SAMPLES / "configured_catalog.json"
MESSAGES = SAMPLES / "messages.jsonl"
COLUMNS, LINES = 2000, 400
PROGRESS = re.compile(rb"\d rows?, ")


class Session:
    """A command in a terminal: its output, and the resulting screen."""

    def __init__(self, arguments: list[str], term: str = "xterm", **streams: Any) -> None:
        keeper, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        streams = {name: terminal if stream == "terminal" else stream for name, stream in streams.items()}
        environment = {**os.environ, "TERM": term}
        with subprocess.Popen(arguments, env=environment, start_new_session=True, **streams) as process:
            os.close(terminal)
            if terminal == streams["stdin"]:
                os.write(keeper, b"\x04")
            self.written = b""
            while part := _read(keeper):
                self.written += part
            self.out = process.stdout.read() if process.stdout else b""
            self.code = process.wait(120)
        os.close(keeper)
        screen = pyte.Screen(COLUMNS, LINES)
        pyte.ByteStream(screen).feed(self.written)
        written = (screen.buffer[number] for number in sorted(screen.buffer))  # `screen.display` pads lines with spaces
        texts = ("".join(line[column].data for column in range(max(line, default=-1) + 1)) for line in written)
        self.lines = [text.rstrip() for text in texts if text.strip()]


def _read(keeper: int) -> bytes:
    try:
        return os.read(keeper, 65536)
    except OSError:  # the terminal is closed
        return b""


def write(connector: Any, sample: Any) -> list[str]:
    arguments: list[str] = connector.arguments("write", sample("track"), CATALOG)
    return arguments


def preview(connector: Any, sample: Any) -> list[str]:
    arguments: list[str] = connector.arguments("preview", sample("track"), CATALOG)
    return arguments


def test_messages_on_the_same_terminal_stay_intact(connector: Any, sample: Any) -> None:
    """The progress line is hidden for each, and is gone at the end."""
    with MESSAGES.open("rb") as source:
        session = Session(write(connector, sample), stdin=source, stdout="terminal", stderr="terminal")
    assert session.code == 0
    assert PROGRESS.search(session.written)
    assert session.lines[0].startswith("Loading stream `users` (")
    states = [line for line in session.lines if line.startswith("Checkpoint: ")]
    assert states == [f"Checkpoint: {rows} rows delivered, 0 rejected since the last one." for rows in (12, 12, 12)]
    assert session.lines[-1].startswith("Done: 36 rows read, 36 delivered, 0 rejected in ")
    assert b"\x1b" not in session.written


@pytest.mark.parametrize(
    ("command", "said"), [(write, rb" delivered, 0 rejected"), (preview, rb"36 rows, ([\d,]+ rows/s, )?0 rejected")]
)
def test_with_redirected_output_progress_goes_to_the_terminal(
    connector: Any, sample: Any, tmp_path: Path, command: Any, said: bytes
) -> None:
    """None of it is in the output, and nothing is left on the screen."""
    path = tmp_path / "output"
    with MESSAGES.open("rb") as source, path.open("wb") as output:
        session = Session(command(connector, sample), stdin=source, stdout=output, stderr="terminal")
    assert session.code == 0
    assert re.search(said, session.written)
    assert session.lines == []
    assert not PROGRESS.search(path.read_bytes().replace(b"36 rows", b""))


@pytest.mark.parametrize("command", [write, preview])
def test_no_progress_is_shown_if_a_program_reads_the_output(connector: Any, sample: Any, command: Any) -> None:
    """It may draw on the terminal, as PyAirbyte and `less` do."""
    with MESSAGES.open("rb") as source:
        session = Session(command(connector, sample), stdin=source, stdout=subprocess.PIPE, stderr="terminal")
    assert (session.code, session.written) == (0, b"")


def test_a_failed_run_leaves_no_progress_behind(connector: Any, heap: Any, sample: Any) -> None:
    """Only the last message."""
    heap.fault(kind="status", status=503, headers={"Retry-After": "3600"})
    with MESSAGES.open("rb") as source:
        session = Session(write(connector, sample), stdin=source, stdout="terminal", stderr="terminal")
    assert session.code == 1
    assert PROGRESS.search(session.written)
    assert session.lines[-1].startswith("Error: The sync stopped at row 1. Heap is unavailable")


def test_a_preview_on_a_terminal_reads_as_it_does_in_a_file(connector: Any, sample: Any) -> None:
    """Line by line."""
    arguments = preview(connector, sample)
    with MESSAGES.open("rb") as source:
        piped = subprocess.run(arguments, stdin=source, capture_output=True, check=True, timeout=120)
    with MESSAGES.open("rb") as source:
        session = Session(arguments, stdin=source, stdout="terminal", stderr="terminal")
    assert PROGRESS.search(session.written.replace(b"36 rows read", b""))
    assert session.lines == [line.rstrip() for line in piped.stdout.decode().splitlines() if line.strip()]


@pytest.mark.parametrize("command", [write, preview])
def test_a_dumb_terminal_shows_no_progress(connector: Any, sample: Any, command: Any) -> None:
    """Neither does piped standard error, as on the platform."""
    with MESSAGES.open("rb") as source:
        arguments = command(connector, sample)
        session = Session(arguments, "dumb", stdin=source, stdout=subprocess.DEVNULL, stderr="terminal")
    assert (session.code, session.written) == (0, b"")
    with MESSAGES.open("rb") as source:
        run = subprocess.run(command(connector, sample), stdin=source, capture_output=True, check=True, timeout=120)
    assert run.stderr == b""


def test_a_missing_pipe_is_reported_with_the_expected_input(connector: Any, sample: Any) -> None:
    """The user may type it, or stop with Ctrl-D; no progress line mixes with the input."""
    session = Session(preview(connector, sample), stdin="terminal", stdout=subprocess.PIPE, stderr="terminal")
    assert session.code == 1
    assert session.lines[0].startswith("Reading Airbyte messages from this terminal, one per line, until Ctrl-D")
    assert not PROGRESS.search(session.written)
    assert b"Error: No rows received" in session.out


def test_a_check_reads_as_a_sentence(connector: Any, heap: Any, sample: Any) -> None:
    """Piped, it is an Airbyte message."""
    arguments = connector.arguments("check", sample("track"))
    session = Session(arguments, stdin=subprocess.DEVNULL, stdout="terminal", stderr="terminal")
    assert session.lines == ["The check succeeded: the settings are valid, and Heap accepts them."]
    heap.fault(kind="status", status=400)
    session = Session(arguments, stdin=subprocess.DEVNULL, stdout="terminal", stderr="terminal")
    assert (session.code, len(session.lines)) == (0, 1)
    assert session.lines[0].startswith("The check failed: `app_id` was refused: ")
    piped = subprocess.run(arguments, capture_output=True, check=True, timeout=120)
    assert json.loads(piped.stdout)["connectionStatus"]["status"] == "FAILED"


def test_nothing_from_outside_controls_the_terminal(connector: Any, sample: Any, tmp_path: Path) -> None:
    """A stream's name with an escape code is printed with escapes."""
    row = {"type": "RECORD", "record": {"stream": "\x9b2J\u202e", "data": {}, "emitted_at": 1}}
    path = tmp_path / "messages"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with path.open("rb") as source:
        session = Session(write(connector, sample), stdin=source, stdout="terminal", stderr="terminal")
    assert session.lines[-1].startswith(r"Error: Row 1 belongs to stream `\u009b2J\u202e`")
