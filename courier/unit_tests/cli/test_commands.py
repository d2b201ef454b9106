"""Every command, in process: its help, and a walk through the commands that need no bucket."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from heap_courier.cli.main import cli, exit_code
from heap_courier.errors import SetupError
from heap_courier.project.scaffold import make_project
from heap_courier.signals import Interruption


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


def test_every_command_and_every_option_has_a_help_text() -> None:
    found = dict(commands(cli))
    assert {("run",), ("feed", "activate"), ("group", "serve"), ("stitch", "explain"), ("publish",)} <= set(found)
    for words, command in found.items():
        assert command.help, words
        silent = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
        assert not silent, words


def test_the_overview_has_the_sentence_of_each_command() -> None:
    overview = CliRunner().invoke(cli, ["--help"]).output
    for words, _ in commands(cli):
        if len(words) == 1:
            assert f"  {words[0]} " in overview


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path)
    sample = tmp_path / "people.csv"
    sample.write_text("user_id,email\n" + "".join(f"{number},p{number}@example.com\n" for number in range(1, 30)))
    return tmp_path


def types(project: Path, *words: str, code: int = 0) -> str:
    ended = CliRunner().invoke(cli, ["--project", str(project), *words], catch_exceptions=False)
    assert ended.exit_code == code, ended.output
    return ended.output


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_feed_becomes_a_table_that_is_shown_backed_up_and_restored(project: Path) -> None:
    types(project, "feed", "add", "CRM:People", "--sample", str(project / "people.csv"))
    types(project, "feed", "activate", "CRM:People")
    before = types(project, "tables")
    assert ["CRM:People", "29", "3"] in lines(before)

    copy = project / "copy.duckdb"
    assert "Wrote" in types(project, "backup", str(copy))
    assert "The previous warehouse was moved to" in types(project, "restore", str(copy), "--replace")
    assert types(project, "tables") == before
    assert types(project, "show", "CRM:People")
    assert "No run yet" in types(project, "runs")
    assert "Would remove" in types(project, "prune", "--dry-run")


def test_groups_are_listed_with_their_next_run(project: Path) -> None:
    types(project, "feed", "add", "CRM:People", "--sample", str(project / "people.csv"))
    types(project, "feed", "activate", "CRM:People")
    (heading, first, *_) = lines(types(project, "group", "list"))
    assert heading[:3] == ["group", "couriers", "schedule"]
    assert "has not run yet" in types(project, "group", "runs", first[0])


def test_stitch_check_shows_what_is_missing_for_a_good_result(project: Path) -> None:
    types(project, "feed", "add", "CRM:People", "--sample", str(project / "people.csv"))
    types(project, "feed", "activate", "CRM:People")
    out = types(project, "stitch", "check")
    assert out.splitlines()[0].split() == ["domain", "table", "records", "keys", "profile"]
    assert len(out.splitlines()) > 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SystemExit(7), 7, ""),
        (SystemExit("text"), 1, ""),
        (click.UsageError("no such thing"), 2, "Error: no such thing\n"),
        (click.ClickException("refused"), 1, "Error: refused\n"),
        (SetupError("`bucket` is empty"), 1, "Error: `bucket` is empty\n"),
        (SetupError("a: is wrong", "b: is wrong"), 1, "a: is wrong\nb: is wrong\n"),
        (
            OSError(errno.ENOSPC, "x"),
            1,
            "Error: The disk, or the output device, is full: free some space, then run this again.\n",
        ),
        (OSError(errno.EPIPE, "x"), 1, "Error: The output was closed before all of it was written.\n"),
        (
            OSError(errno.EIO, "input/output error"),
            1,
            "Error: A system call failed to read or write (input/output error).\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.yaml"),
            1,
            "Error: `a.yaml` cannot be read or written (Permission denied): check its permissions and its owner.\n",
        ),
        (MemoryError(), 1, "Error: Not enough memory.\n"),
        (KeyboardInterrupt(), 130, "Interrupted: what was loaded is kept; the next run loads the rest.\n"),
        (click.Abort(), 130, "Interrupted: what was loaded is kept; the next run loads the rest.\n"),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    def fail(**_options: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "main", fail)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert exit_code(Interruption()) == code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == said
