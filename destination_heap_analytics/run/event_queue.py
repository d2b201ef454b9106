"""Everything that a run waits for: input, responses, and other events from other threads.

Input is limited in bytes: when the queue is full, the reading thread waits, and the pipe slows down the source. Events
are few: they are always accepted, and wake the run immediately.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from typing import Final, Generic, TypeVar

Payload = TypeVar("Payload")

QUEUE_BYTES: Final = 8 * 1024 * 1024


class EventQueue(Generic[Payload]):
    """What has arrived and has not been taken yet. One thread takes; any thread may add."""

    def __init__(self, limit: int = QUEUE_BYTES) -> None:
        """Start empty.

        Args:
            limit: the most bytes of input to queue.
        """
        self._limit = limit
        self._input: deque[tuple[list[Payload], int]] = deque()
        self._bytes = 0
        self._events: deque[object] = deque()
        self._has_ended = False
        self._is_closed = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def read(self, batches: Generator[tuple[list[Payload], int], None, None]) -> None:
        """Start reading input, in a separate thread.

        Args:
            batches: items with their size in bytes, in the order they arrive.
        """
        # A daemon thread: the process may exit while it is blocked in a read.
        threading.Thread(target=self._read, args=(batches,), name="intake", daemon=True).start()

    def post(self, event: object) -> None:
        """Add an event, and wake the run."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def event(self) -> object | None:
        """The next event; None if there is none."""
        return self._events.popleft() if self._events else None

    def input(self) -> list[Payload] | None:
        """The next items of the input; None if none have arrived. After the last ones, raises any error of reading."""
        with self._changed:
            if self._input:
                items, size = self._input.popleft()
                self._bytes -= size
                self._changed.notify_all()
                return items
            if self._failure:
                raise self._failure
            return None

    @property
    def has_ended(self) -> bool:
        """Whether all input has been taken, and no more will come."""
        return self._has_ended and not self._input

    def wait(self, seconds: float, *, for_input: bool) -> None:
        """Wait for an event, or until the time is up.

        Args:
            seconds: real seconds.
            for_input: whether to wait for input too.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._events or (for_input and (self._input or self._has_ended)), timeout=max(0.0, seconds)
            )

    def close(self) -> None:
        """Accept no more input; the reading thread ends when its current read returns."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _read(self, batches: Generator[tuple[list[Payload], int], None, None]) -> None:
        failure: BaseException | None = None
        try:
            for items, size in batches:
                with self._changed:
                    self._changed.wait_for(lambda: self._bytes < self._limit or self._is_closed)
                    if self._is_closed:
                        return
                    self._input.append((items, size))
                    self._bytes += size
                    self._changed.notify_all()
        except BaseException as raised:  # noqa: BLE001  # re-raised by the run
            failure = raised
        finally:
            batches.close()
            with self._changed:
                self._failure = failure
                self._has_ended = True
                self._changed.notify_all()
