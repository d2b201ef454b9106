"""Estimates the number of rows in an input from the part that has been read."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

from destination_heap_analytics.process.stdin import bytes_left

Blocks = Generator[tuple[list[bytes], int], None, None]


class Volume:
    """Counts the bytes and rows read from an input. One thread reads, another may query."""

    def __init__(self, size: int | None) -> None:
        """Start; nothing is read yet.

        Args:
            size: the size of the input in bytes; None if it is unknown, as for a pipe or a compressed file.
        """
        self._size = size
        self._bytes = 0
        self._rows = 0

    def of_bytes(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass the blocks through, and count their bytes."""
        for block in blocks:
            self._bytes += len(block)
            yield block

    def of_rows(self, blocks: Blocks) -> Blocks:
        """Pass blocks of lines through, and count each line as a row."""
        for lines, size in blocks:
            self._rows += len(lines)
            yield lines, size

    def of_lines(self, blocks: Blocks) -> Blocks:
        """Pass blocks of lines through, and count both bytes and rows."""
        for lines, size in blocks:
            self._bytes += sum(map(len, lines)) + len(lines)
            self._rows += len(lines)
            yield lines, size

    def rows(self) -> float | None:
        """The estimated number of rows in the whole input; None if there is no estimate."""
        if not self._size or not self._bytes:
            return None
        return self._rows * max(1.0, self._size / self._bytes)


def size_of(path: str, standard_input: str) -> int | None:
    """The size of a file, or of what is left of standard input; None if it is compressed or unknown."""
    if path.endswith(".gz"):
        return None
    try:
        if path == standard_input:
            return None if sys.stdin is None else bytes_left(sys.stdin.fileno())
        return Path(path).stat().st_size if Path(path).is_file() else None
    except (OSError, ValueError):  # no descriptor, as in a test
        return None
