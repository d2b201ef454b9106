"""A daemon is visible exactly while it holds its lock."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

from heap_courier.groups.presence import Daemon, daemon_of, present

NOW = datetime(2026, 3, 4, 8, 30, tzinfo=timezone.utc)


def test_a_daemon_is_seen_from_its_start_to_its_end(tmp_path: Path) -> None:
    assert daemon_of(tmp_path) is None
    assert not list(tmp_path.iterdir())  # checking leaves no files behind
    with present(tmp_path, NOW):
        assert daemon_of(tmp_path) == Daemon(NOW)
        assert daemon_of(tmp_path) == Daemon(NOW)  # checking does not take the lock away
    assert daemon_of(tmp_path) is None


def test_a_second_daemon_is_seen_once_the_first_has_stopped(tmp_path: Path) -> None:
    later = NOW.replace(hour=9)
    with ExitStack() as first:
        first.enter_context(present(tmp_path, NOW))
        with present(tmp_path, later) as hold:
            assert daemon_of(tmp_path) == Daemon(NOW)
            first.close()
            assert daemon_of(tmp_path) is None
            hold()
            assert daemon_of(tmp_path) == Daemon(later)


def test_a_daemon_runs_without_being_seen_if_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / ".heap-courier").write_text("not a folder")
    with present(tmp_path, NOW):
        assert daemon_of(tmp_path) is None


def test_a_start_that_cannot_be_read_is_not_shown(tmp_path: Path) -> None:
    with present(tmp_path, NOW):
        (tmp_path / ".heap-courier" / "_daemon.since").write_text("soon")
        assert daemon_of(tmp_path) == Daemon(None)
