"""What commands show in a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from datetime import datetime, timedelta

import pyte
import pytest

from heap_courier.cli.terminal import ending, instant, print_rows, print_table, took
from heap_courier.documents.wording import duration, size
from heap_courier.progress import NoBar, progress_bar


def terminal(script: str, columns: int = 60) -> list[str]:
    """The lines that a terminal shows when a script has run in it."""
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "40"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=side, stderr=side, env=environment) as process:
        os.close(side)
        written = b"".join(iter(lambda: _read(main), b""))
    os.close(main)
    assert process.returncode == 0, written.decode()
    screen = pyte.Screen(columns, 40)
    pyte.ByteStream(screen).feed(written)
    return [line.rstrip() for line in screen.display if line.strip()]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # all writers have closed it
        return b""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 second"),
        (1.4, "1 second"),
        (59.6, "1 minute"),
        (312, "5 minutes 12 seconds"),
        (3600, "1 hour"),
        (86_400 * 2 + 61, "2 days 1 minute 1 second"),
    ],
)
def test_a_duration_is_shown_in_whole_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (12_345_678_901, "12.3 GB"),
        (5 * 10**15, "5,000.0 TB"),
    ],
)
def test_a_size_is_shown_in_the_unit_that_fits(count: int, text: str) -> None:
    assert size(count) == text


def test_an_instant_is_shown_to_the_second() -> None:
    assert instant(datetime(2026, 11, 1, 8, 5, 9, 999_999)) == "2026-11-01 08:05:09"  # noqa: DTZ001
    assert instant(None) == ""


def test_long_durations_are_shown_in_clock_form() -> None:
    noon = datetime(2026, 11, 1, 12)  # noqa: DTZ001
    assert took(noon, noon + timedelta(minutes=5, seconds=12.4)) == "0:05:12"
    assert took(noon, noon + timedelta(days=1, seconds=1)) == "1 day, 0:00:01"
    assert took(noon, None) == ""


def test_an_outcome_and_its_message_are_one_line() -> None:
    assert ending("failed", "Error\nWhy") == "failed: Error Why"
    assert ending("completed", None) == ending("completed", "") == "completed"


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_table_in_a_pipe_is_as_wide_as_needed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["table", "rows", "message"], [["Heap:Users", 1234567, "x" * 300], ["Heap:Events", None, None]])

    assert shown(capsys) == [
        f"table{'':13}rows  message",
        f"Heap:Users   1,234,567  {'x' * 300}",
        "Heap:Events",
    ]


def test_a_table_without_rows_shows_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["run", "[/red]"], [])
    assert shown(capsys) == ["run  [/red]"]


def test_what_looks_like_markup_is_shown_literally(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["[b]"], [["[red]x[/red] :smile:"]])
    assert shown(capsys) == ["[b]", "[red]x[/red] :smile:"]


def test_a_row_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of columns and files are from outside, too."""
    print_rows(["id", "na\x1bme"], [[1, "\x1b]0;title\x07a\r\nb\tü"], [2, None]])
    print_table(["file"], [["\x1b[2Ja\nb"]])

    assert shown(capsys) == [
        "id  na\\x1bme",
        "1   \\x1b]0;title\\x07a\\x0d\\nb\\x09ü",
        "2",
        "file",
        "\\x1b[2Ja\\nb",
    ]


SHOW = "from heap_courier.cli.terminal import print_rows; print_rows(['id', 'email'], [[7, {email!r}], [8, None]])"


def test_rows_that_fit_into_the_terminal_are_shown_side_by_side() -> None:
    assert terminal(SHOW.format(email="a@example.com")) == ["id  email", "7   a@example.com", "8"]


def test_rows_that_do_not_fit_are_shown_one_value_per_line() -> None:
    assert terminal(SHOW.format(email="a" * 55)) == [
        "row 1",
        "  id     7",
        f"  email  {'a' * 51}",
        "aaaa",
        "row 2",
        "  id     8",
        "  email",
    ]


def test_wide_characters_count_as_two() -> None:
    assert terminal(SHOW.format(email="漢" * 30))[0] == "row 1"


def test_a_table_folds_in_a_terminal() -> None:
    script = (
        "from heap_courier.cli.terminal import print_table; print_table(['run', 'message'], [['r1', 'so it is ' * 9]])"
    )
    lines = terminal(script, columns=40)
    assert lines[0] == "run  message"
    assert " ".join(line.removeprefix("r1").strip() for line in lines[1:]) == ("so it is " * 9).strip()


def test_a_name_is_not_folded_if_another_column_can_be() -> None:
    """So that it can be copied."""
    script = (
        "from heap_courier.cli.terminal import print_table; "
        "print_table(['run', 'courier', 'why'], [['r1', 'Heap-Connect', 'so it is ' * 9]])"
    )
    lines = terminal(script, columns=30)
    assert lines[1].startswith("r1   Heap-Connect  so it is")


BAR = """
import threading
from heap_courier.progress import progress_bar

with progress_bar() as bar:
    bar.stage("fetching", 2000)
    threads = [threading.Thread(target=bar.advance, args=(500,)) for _ in range(3)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    bar.stage("loading")
    bar.advance(12345)
    {end}
print("done")
"""


def test_a_bar_in_a_terminal_shows_bytes_and_then_rows() -> None:
    lines = terminal(BAR.format(end="import os; bar._rows.refresh(); os._exit(0)"), columns=100)
    assert lines[-1].startswith("loading")
    assert "12,345 rows" in lines[-1]


def test_a_bar_is_removed_at_the_end() -> None:
    assert terminal(BAR.format(end="")) == ["done"]


def test_a_pipe_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as bar:
        assert isinstance(bar, NoBar)
        bar.stage("fetching", 10)
        threading.Thread(target=bar.advance, args=(10,)).run()
    assert capsys.readouterr() == ("", "")


def test_a_short_name_in_the_first_column_is_not_folded_so_that_it_can_be_copied() -> None:
    script = "from heap_courier.cli.terminal import print_table\n"
    script += "print_table(['run', 'message'], [['20261121-193153-1a49', 'word ' * 40]])"
    assert any(line.startswith("20261121-193153-1a49  word") for line in terminal(script, columns=40))
