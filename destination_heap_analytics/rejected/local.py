"""Rejected rows in a local file: one per attempt, created with the first row, readable by its owner only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EEXIST, EMFILE, ENFILE, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import Final

from destination_heap_analytics.errors import ConfigError

RESEND: Final = (
    "destination-heap-analytics resend %s | destination-heap-analytics write --config CONFIG --catalog CATALOG"
)
"""The command that resends stored rows."""

_REMEDIES: Final = {
    **dict.fromkeys((EACCES, EPERM, EROFS), "allow the connector's user to write there, or choose another directory"),
    **dict.fromkeys((ENOTDIR, EEXIST), "choose a path in which no part is a file"),
    **dict.fromkeys((ENOSPC, EDQUOT), "free some space, or choose another directory"),
}

_NO_RESOURCES: Final = frozenset({EMFILE, ENFILE, ENOMEM})
"""Errors that are not caused by the directory: the command reports that the machine is out of resources."""


class LocalFile:
    """The file of one attempt."""

    def __init__(self, root: str, folder: str, attempt: str) -> None:
        """Prepare; nothing is created yet.

        Args:
            root: the configured directory.
            folder: the path of the file's folder below it.
            attempt: the beginning of the file's name; unique to this attempt.
        """
        self._root = Path(root)
        self._file = self._root / folder / f"{attempt}_1.jsonl"
        self._check = self._root / f"check_{attempt}.txt"

    @property
    def retrieval(self) -> str:
        """Where the file is, and the command that resends it."""
        return f"in {self._file}. Once the cause is fixed, send them again: {RESEND % quote(str(self._file))}"

    def append(self, lines: bytes) -> None:
        """Store whole lines; they are on disk when this returns.

        Raises:
            ConfigError: they cannot be written; the file is left unchanged.
        """
        with self._explained():
            _append(self._file, lines)

    def probe(self) -> None:
        """Write a small file and remove it. Raises what `append` raises."""
        with self._explained():
            _append(self._check, b"Written by the check of an Airbyte connection; it can be deleted.\n")
        with suppress(OSError):
            self._check.unlink()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as failure:  # ValueError: a NUL character in the path
            number = failure.errno if isinstance(failure, OSError) else None
            if number in _NO_RESOURCES:
                raise
            reason = os.strerror(number) if number else "not a valid path"
            remedy = _REMEDIES.get(number or 0, "choose a directory that the connector can write to")
            raise ConfigError(
                f"`object_storage_config.path` is `{self._root}`, but rejected rows cannot be written there "
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
                os.ftruncate(descriptor, size)  # leave no partial line on a full disk
            raise
    finally:
        os.close(descriptor)
    if not size:
        for folder in (file.parent, *(made.parent for made in new)):
            _sync(folder)


def _make(folder: Path) -> list[Path]:
    """Create the folder and its parents for the owner only; return those that were missing."""
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return missing


def _sync(folder: Path) -> None:
    """Make the entries of a folder durable if possible: some file systems refuse, and some folders are not readable."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
