"""Gzipped files, within a bound: gzip compresses a thousand zero bytes into one."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

from heap_courier.errors import UnreadableFileError

MOST_UNPACKED: Final = 100 * 10**9
"""Bytes that a file may decompress to, unless a project says otherwise."""

_READ_AT_ONCE: Final = 1 << 20


class TooLargeError(Exception):
    """A file decompresses to more than its limit."""


def too_large(name: str, most: int) -> UnreadableFileError:
    """The error for a file or an archive that decompresses to more than its limit."""
    return UnreadableFileError(
        f"`{name}` unpacks to more than {most:,} bytes: check what is in it, or raise `limits.unpacked` in the project."
    )


class Gzipped(gzip.GzipFile):
    """The content of a gzipped file, as a stream.

    Args:
        path: of the file.
        most: bytes that it may decompress to. Raises TooLargeError beyond.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._file = path.open("rb", _READ_AT_ONCE)
        self._most = most
        super().__init__(fileobj=self._file)

    def read(self, size: int | None = -1) -> bytes:
        """As of any stream."""
        read = super().read(size)
        if self.tell() > self._most:
            raise TooLargeError
        return read

    def close(self) -> None:
        """Closes the file too."""
        try:
            super().close()
        finally:
            self._file.close()
