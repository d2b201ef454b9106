"""Reads standard input, or messages passed in process, in blocks: queueing each line separately would be too slow."""

from __future__ import annotations

import os
import select
from collections.abc import Generator, Iterable
from stat import S_ISREG
from typing import Final, TypeVar

Payload = TypeVar("Payload")

_BLOCK: Final = 256 * 1024
_LINE_BYTES: Final = 48
"""The memory of a line in addition to its characters, so that blank lines count too."""

_MESSAGE_BYTES: Final = 1024
"""The assumed size of a message passed in process; its real size is unknown."""


def read_lines(descriptor: int) -> Generator[tuple[list[bytes], int], None, None]:
    """Lines from a file descriptor, a block at a time, with the size of each block; the last line may lack its end."""
    unfinished: list[bytes] = []
    while block := read_block(descriptor):
        last_end = block.rfind(b"\n")
        if last_end < 0:
            unfinished.append(block)
            continue
        lines = b"".join([*unfinished, block[:last_end]]).split(b"\n")
        unfinished = [block[last_end + 1 :]]
        yield lines, sum(map(len, lines)) + len(lines) * _LINE_BYTES
    if rest := b"".join(unfinished):
        yield [rest], len(rest) + _LINE_BYTES


def bytes_left(descriptor: int) -> int | None:
    """The number of bytes left to read in a file; None for a pipe or a terminal."""
    status = os.fstat(descriptor)
    if not S_ISREG(status.st_mode):
        return None
    return max(0, status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR))


def read_block(descriptor: int) -> bytes:
    """The next block of bytes; empty at the end. Waits for data even if another process made the pipe non-blocking."""
    while (block := _available(descriptor)) is None:
        poll = select.poll()  # not `select.select`, which accepts no descriptor above 1023
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    return block


def _available(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, _BLOCK)
    except BlockingIOError:
        return None


def read_messages(messages: Iterable[Payload]) -> Generator[tuple[list[Payload], int], None, None]:
    """Messages passed in process, one at a time, because the next one may take long to arrive."""
    for message in messages:
        yield [message], _MESSAGE_BYTES
