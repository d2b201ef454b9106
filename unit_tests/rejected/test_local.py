"""A file stores whole lines, for its owner only; if that fails, a message says why and what to do."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.rejected import local as local_storage
from destination_heap_analytics.rejected.local import LocalFile

ROOT = Path(__file__).resolve().parents[2]


def test_appends_go_to_one_file(tmp_path: Path) -> None:
    """It is created, with its directories, at the first append and not before."""
    storage = LocalFile(str(tmp_path / "new"), "7/users", "attempt")
    assert not (tmp_path / "new").exists()
    storage.append(b"1\n2\n")
    storage.append(b"3\n")
    assert (tmp_path / "new/7/users/attempt_1.jsonl").read_bytes() == b"1\n2\n3\n"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_created_files_are_for_their_owner_only(tmp_path: Path, umask: int) -> None:
    """Rows are personal data; existing directories are unchanged."""
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    there.chmod(0o755)
    before = os.umask(umask)
    try:
        LocalFile(str(there / "new"), "7/users", "attempt").append(b"1\n")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [there, *there.rglob("*")]}
    assert modes == {"there": 0o755, "new": 0o700, "7": 0o700, "users": 0o700, "attempt_1.jsonl": 0o600}


def test_rows_are_on_disk_when_an_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced each time; at the first append also directories with new entries, from the file upwards."""
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{descriptor}").readlink(), tmp_path))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    storage = LocalFile(str(tmp_path), "7/users", "attempt")
    storage.append(b"1\n")
    assert synced == ["7/users/attempt_1.jsonl", "7/users", "7", "."]
    storage.append(b"2\n")
    assert synced[4:] == ["7/users/attempt_1.jsonl"]


def test_a_directory_that_cannot_be_synced_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems refuse; the rows themselves are synced."""
    fsync = os.fsync

    def refusing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refusing)
    LocalFile(str(tmp_path), "7/users", "attempt").append(b"1\n")
    assert (tmp_path / "7/users/attempt_1.jsonl").read_bytes() == b"1\n"


def test_a_partial_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the last byte."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, rest: write(descriptor, rest[:3]))
    LocalFile(str(tmp_path), "f", "attempt").append(b"12345678\n")
    assert (tmp_path / "f/attempt_1.jsonl").read_bytes() == b"12345678\n"


def failure(storage: LocalFile, action: str = "append") -> str:
    with pytest.raises(ConfigError) as failed:
        storage.probe() if action == "probe" else storage.append(b"secret\n")
    assert "secret" not in str(failed.value)
    return str(failed.value.message)


@pytest.mark.parametrize("action", ["append", "probe"])
@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_in_place_of_a_directory_is_reported(tmp_path: Path, below: str, action: str) -> None:
    """In one message: the setting, the place, the reason and the remedy."""
    file = tmp_path / "file"
    file.write_text("")
    place = file / below
    assert failure(LocalFile(str(place), "f", "attempt"), action) == (
        f"`object_storage_config.path` is `{place}`, but rejected rows cannot be written there (Not a directory): "
        "choose a path in which no part is a file."
    )


@pytest.mark.parametrize("action", ["append", "probe"])
def test_a_directory_that_may_not_be_written_to_is_reported(action: str) -> None:
    """Not even root can create one below /sys."""
    text = failure(LocalFile("/sys/rejected", "f", "attempt"), action)
    assert text.startswith("`object_storage_config.path` is `/sys/rejected`, but rejected rows cannot be written there")
    assert text.endswith(": allow the connector's user to write there, or choose another directory.")


@pytest.mark.parametrize(
    ("place", "reason"), [("/proc/rejected", "No such file or directory"), ("a\0b", "not a valid path")]
)
def test_any_other_problem_with_a_path_is_reported(place: str, reason: str) -> None:
    """With the system's reason."""
    text = failure(LocalFile(place, "f", "attempt"))
    assert f"({reason}): choose a directory that the connector can write to." in text


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_machine_without_resources_is_not_a_wrong_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The command reports the missing resource."""

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        LocalFile(str(tmp_path), "users", "attempt").append(b"1\n")


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    """With its remedy."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f/attempt_1.jsonl").symlink_to("/dev/full")
    assert failure(LocalFile(str(tmp_path), "f", "attempt")) == (
        f"`object_storage_config.path` is `{tmp_path}`, but rejected rows cannot be written there "
        "(No space left on device): free some space, or choose another directory."
    )


def test_no_partial_line_remains_if_the_disk_fills_up(tmp_path: Path) -> None:
    """The system accepts the first bytes and refuses the rest; earlier lines are intact."""
    code = """
import json, resource, sys
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.rejected.local import LocalFile
storage = LocalFile(sys.argv[1], "f", "attempt")
storage.append(b"1" * 99 + b"\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
try:
    storage.append(b"2" * 99 + b"\\n")
except ConfigError as error:
    print(json.dumps(error.message))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, timeout=60, cwd=ROOT
    )
    assert "(File too large)" in json.loads(run.stdout)
    assert (tmp_path / "f/attempt_1.jsonl").read_bytes() == b"1" * 99 + b"\n"


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    """Except the directory, if it did not exist."""
    LocalFile(str(tmp_path / "new"), "", "attempt").probe()
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


def test_a_probe_succeeds_even_if_its_removal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission to write is enough."""

    def refuse(_: Path, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(local_storage.Path, "unlink", refuse)
    LocalFile(str(tmp_path), "", "attempt").probe()
    assert [path.name for path in tmp_path.iterdir()] == ["check_attempt.txt"]


def test_the_command_that_sends_rows_again_can_be_pasted(tmp_path: Path) -> None:
    """A path with a space is quoted."""
    local = LocalFile(str(tmp_path / "a b"), "users", "1")
    path = tmp_path / "a b" / "users" / "1_1.jsonl"
    assert local.retrieval.startswith(f"in {path}. ")
    assert f"destination-heap-analytics resend '{path}' | destination-heap-analytics write --config" in local.retrieval
