"""Notices, given to a command for real."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from heap_courier.groups import notifications as notices
from heap_courier.groups.notifications import notifier


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_notice_is_said() -> None:
    said: list[str] = []
    notifier((), said.append)("It rains.")
    assert said == ["It rains."]


def test_and_stands_on_the_standard_input_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "notice"
    said: list[str] = []
    code = f"import sys, pathlib; pathlib.Path({str(path)!r}).write_bytes(sys.stdin.buffer.read())"
    notifier(python(code), said.append)("It rains.\nIn Zürich.")
    assert path.read_bytes() == "It rains.\nIn Zürich.\n".encode()
    assert said == ["It rains.\nIn Zürich."]


def test_what_the_command_prints_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    notifier(python("import sys; print('a'); print('b', file=sys.stderr)"), lambda _notice: None)("It rains.")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (python("import sys; sys.stdin.read(); sys.exit(3)"), "exited with code 3"),
        (("/no/such/command", "token"), "cannot be run (No such file or directory)"),
        (python("import sys; sys.stdin.read(); import time; time.sleep(600)"), "did not finish within 0 seconds"),
    ],
)
def test_a_command_that_fails_is_told_of_without_its_arguments(
    command: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "600" in command[-1]:
        monkeypatch.setattr(notices, "PATIENCE", 0.2)
    said: list[str] = []
    notifier(command, said.append)("It rains.")
    assert said[1:] == [f"The notification failed: the command `{command[0]}` {why}."]


def test_a_command_that_reads_nothing_has_had_its_notice() -> None:
    said: list[str] = []
    notifier(python("pass"), said.append)("It rains. " * 100_000)
    assert said[1:] == []
