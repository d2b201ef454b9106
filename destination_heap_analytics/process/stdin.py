"""Standard input, or messages handed over in process, in blocks: handling each line on its own would cost too much."""

from __future__ import annotations

import os
import select
from collections.abc import Generator, Iterable
from stat import S_ISREG
from typing import Final, TypeVar

Payload = TypeVar("Payload")

_BLOCK: Final = 256 * 1024
_LINE_BYTES: Final = 48
"""Memory of a line besides its characters, so that blank lines cannot fill it either."""

_MESSAGE_BYTES: Final = 1024
"""Assumed size of a message handed over in process; its real size is unknown."""


def read_lines(descriptor: int) -> Generator[tuple[list[bytes], int], None, None]:
    """Whole lines of a file descriptor, a block at a time; the last one may lack its line end."""
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
    """How much is left to read of a file; None if it is a pipe or a terminal."""
    status = os.fstat(descriptor)
    if not S_ISREG(status.st_mode):
        return None
    return max(0, status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR))


def read_block(descriptor: int) -> bytes:
    """The next block of bytes, empty at the end; waits for it even if another process made the pipe non-blocking."""
    while (block := _available(descriptor)) is None:
        poll = select.poll()  # not `select.select`, which takes no descriptor above 1023
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    return block


def _available(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, _BLOCK)
    except BlockingIOError:
        return None


def read_messages(messages: Iterable[Payload]) -> Generator[tuple[list[Payload], int], None, None]:
    """Messages handed over in process, one at a time, because the next one may take long to arrive."""
    for message in messages:
        yield [message], _MESSAGE_BYTES
