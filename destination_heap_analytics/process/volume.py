"""How many rows an input will have, judged by the part of it that has been read."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

from destination_heap_analytics.process.stdin import bytes_left

Blocks = Generator[tuple[list[bytes], int], None, None]


class Volume:
    """Counts what is read of an input whose size is known. One thread reads, another may query."""

    def __init__(self, size: int | None) -> None:
        """Start; nothing is read yet.

        Args:
            size: bytes of the whole input; None if it is not known, as of a pipe or a compressed file.
        """
        self._size = size
        self._bytes = 0
        self._rows = 0

    def of_bytes(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The same blocks, their bytes counted."""
        for block in blocks:
            self._bytes += len(block)
            yield block

    def of_rows(self, blocks: Blocks) -> Blocks:
        """The same blocks of lines, each line counted as a row."""
        for lines, size in blocks:
            self._rows += len(lines)
            yield lines, size

    def of_lines(self, blocks: Blocks) -> Blocks:
        """The same blocks of lines, counted both ways."""
        for lines, size in blocks:
            self._bytes += sum(map(len, lines)) + len(lines)
            self._rows += len(lines)
            yield lines, size

    def rows(self) -> float | None:
        """Rows of the whole input, if the rest of it is like what was read; None if nothing can be said."""
        if not self._size or not self._bytes:
            return None
        return self._rows * max(1.0, self._size / self._bytes)


def size_of(path: str, standard_input: str) -> int | None:
    """The bytes of a file, or of standard input by its name; None if they are compressed or not known."""
    if path.endswith(".gz"):
        return None
    try:
        if path == standard_input:
            return None if sys.stdin is None else bytes_left(sys.stdin.fileno())
        return Path(path).stat().st_size if Path(path).is_file() else None
    except (OSError, ValueError):  # no descriptor, as in a test
        return None
