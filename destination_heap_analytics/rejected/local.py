"""Rejected rows in a file on this machine: one for each attempt, made at the first row, readable to its owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EEXIST, ENOSPC, ENOTDIR, EPERM, EROFS
from itertools import takewhile
from pathlib import Path
from typing import Final

from destination_heap_analytics.errors import ConfigError

_REMEDIES: Final = {
    **dict.fromkeys((EACCES, EPERM, EROFS), "let the connector's user write there, or name another directory"),
    **dict.fromkeys((ENOTDIR, EEXIST), "name a directory that has no file in its path"),
    **dict.fromkeys((ENOSPC, EDQUOT), "make room there, or name another directory"),
}


class LocalFile:
    """The file of one attempt."""

    def __init__(self, root: str, folder: str, attempt: str) -> None:
        """Name the file; nothing is made yet.

        Args:
            root: the directory that the user named.
            folder: the way from there to the file's own.
            attempt: what the file's name begins with; no other attempt has the same.
        """
        self._root = Path(root)
        self._file = self._root / folder / f"{attempt}_1.jsonl"
        self._check = self._root / f"check_{attempt}.txt"

    def append(self, lines: bytes) -> None:
        """Keep whole lines; they are on the disk when this returns.

        Raises:
            ConfigError: they cannot be written; the file ends as it did before, with a whole line.
        """
        with self._explained():
            _append(self._file, lines)

    def probe(self) -> None:
        """Write a small file and remove it. Raises what `append` raises."""
        with self._explained():
            _append(self._check, b"The check of an Airbyte connection wrote this file; it may be removed.\n")
        with suppress(OSError):
            self._check.unlink()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as failure:  # ValueError: a NUL character in the path
            number = failure.errno if isinstance(failure, OSError) else None
            reason = os.strerror(number) if number else "this is no path"
            remedy = _REMEDIES.get(number or 0, "name a directory that the connector can write to")
            raise ConfigError(
                f"`object_storage_config.path` is `{self._root}`, and rejected rows cannot be written there "
                f"({reason}): {remedy}."
            ) from None


def _append(file: Path, lines: bytes) -> None:
    new = _make(file.parent)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)  # no half line stays behind a full disk
            raise
    finally:
        os.close(descriptor)
    if not size:
        for folder in (file.parent, *(made.parent for made in new)):
            _sync(folder)


def _make(folder: Path) -> list[Path]:
    """Make the folder, and those above it, for the owner alone; gives those that were missing."""
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return missing


def _sync(folder: Path) -> None:
    """Make the names in the folder durable, as far as its file system can: some refuse, and some folders are hidden."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
