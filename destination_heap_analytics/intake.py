"""Input, read ahead by a thread of its own, so that a silent source never keeps the run from acting in time.

The queue is bounded in bytes: when it is full the thread waits, and the source feels it in the pipe.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

QUEUE_BYTES: Final = 8 * 1024 * 1024
_BLOCK: Final = 256 * 1024
_LINE_BYTES: Final = 48
"""What a line takes beside its characters, so that blank ones do not fill the memory either."""

_MESSAGE_BYTES: Final = 1024
"""What a message handed over in process counts for in the queue; its real size is not known."""


class Intake(Generic[Item]):
    """A bounded queue between the thread that reads and the run that consumes."""

    def __init__(self, batches: Generator[tuple[list[Item], int], None, None], limit: int = QUEUE_BYTES) -> None:
        """Begin to read.

        Args:
            batches: items with their size in bytes, in the order they arrive; iterated by the reading thread.
            limit: bytes that may wait in the queue.
        """
        self._batches = batches
        self._limit = limit
        self._waiting: deque[tuple[list[Item], int]] = deque()
        self._bytes = 0
        self._ended = False
        self._closed = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        # A daemon: the process may end while the thread still sits in a read that nothing will answer.
        threading.Thread(target=self._read, name="intake", daemon=True).start()

    def items(self, patience: float) -> Iterator[Item | None]:
        """The items in order; None whenever `patience` seconds pass without one. Raises what the reading raised."""
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting or self._ended, timeout=patience):
                    batch: list[Item] | None = None
                elif self._waiting:
                    batch, size = self._waiting.popleft()
                    self._bytes -= size
                    self._changed.notify_all()
                elif self._failure:
                    raise self._failure
                else:
                    return
            if batch is None:
                yield None
            else:
                yield from batch

    def close(self) -> None:
        """Take nothing more; the reading thread ends as soon as its read returns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _read(self) -> None:
        failure: BaseException | None = None
        try:
            for items, size in self._batches:
                with self._changed:
                    self._changed.wait_for(lambda: self._bytes < self._limit or self._closed)
                    if self._closed:
                        return
                    self._waiting.append((items, size))
                    self._bytes += size
                    self._changed.notify_all()
        except BaseException as raised:  # noqa: BLE001  # handed to the consumer, which raises it
            failure = raised
        finally:
            self._batches.close()
            with self._changed:
                self._failure = failure
                self._ended = True
                self._changed.notify_all()


def read_lines(descriptor: int) -> Generator[tuple[list[bytes], int], None, None]:
    """Whole lines of a file descriptor, a block at a time; the last one may lack its line end."""
    unfinished: list[bytes] = []
    while block := os.read(descriptor, _BLOCK):
        last_end = block.rfind(b"\n")
        if last_end < 0:
            unfinished.append(block)
            continue
        lines = b"".join([*unfinished, block[:last_end]]).split(b"\n")
        unfinished = [block[last_end + 1 :]]
        yield lines, sum(map(len, lines)) + len(lines) * _LINE_BYTES
    if rest := b"".join(unfinished):
        yield [rest], len(rest) + _LINE_BYTES


def read_messages(messages: Iterable[Item]) -> Generator[tuple[list[Item], int], None, None]:
    """Messages handed over in process, one at a time, since the next may be long in coming."""
    for message in messages:
        yield [message], _MESSAGE_BYTES
