"""Reads gzipped files up to a size limit, because gzip compresses a thousand zero bytes into one."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

from heap_courier.errors import UnreadableFileError

MOST_UNPACKED: Final = 100 * 10**9
"""How many bytes a file may decompress to by default."""

_BUFFER_BYTES: Final = 1 << 20


class TooLargeError(Exception):
    """A file decompresses to more than its limit."""


def too_large(name: str, most: int) -> UnreadableFileError:
    """The error for a file or an archive that decompresses to more than its limit."""
    return UnreadableFileError(
        f"`{name}` unpacks to more than {most:,} bytes: check its content, or raise `limits.unpacked` in the project."
    )


class Gzipped(gzip.GzipFile):
    """The content of a gzipped file, as a stream.

    Args:
        path: the file.
        most: how many bytes it may decompress to. Beyond that, `read` raises TooLargeError.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._file = path.open("rb", _BUFFER_BYTES)
        self._most = most
        super().__init__(fileobj=self._file)

    def read(self, size: int | None = -1) -> bytes:
        """Reads at most `size` bytes; all if it is negative or None."""
        read = super().read(size)
        if self.tell() > self._most:
            raise TooLargeError
        return read

    def close(self) -> None:
        """Closes the stream and its file."""
        try:
            super().close()
        finally:
            self._file.close()
