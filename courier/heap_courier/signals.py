"""Signals: the first SIGTERM or Ctrl-C requests a graceful stop, the second one exits immediately; SIGHUP reloads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Makes SIGTERM interrupt the main thread as Ctrl-C does, with a KeyboardInterrupt.

    Attributes:
        number: SIGTERM once it was received, otherwise SIGINT.
    """

    def __init__(self) -> None:
        self.number = signal.SIGINT
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.number = signal.SIGTERM
        raise KeyboardInterrupt


@contextmanager
def stopped_by_signals(stop: threading.Event, say: Callable[[str], None]) -> Iterator[list[int]]:
    """While the block runs, the first signal sets `stop` and reports it by `say`; the second one exits immediately.

    Called in the main thread. Yields a list to which the number of a received signal is added.
    """
    came: list[int] = []

    def ask() -> None:
        say("Shutting down after the current run; press Ctrl-C again to stop now.")
        stop.set()

    def end(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        came.append(number)
        # In a thread, because the signal may have interrupted `stop.wait`, which holds the lock that `stop.set` needs.
        threading.Thread(target=ask, name="signal").start()

    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hangups() -> Iterator[list[int]]:
    """While the block runs, SIGHUP does not terminate the process but adds an entry to the list that is yielded.

    Called in the main thread. On systems without SIGHUP the list stays empty.
    """
    came: list[int] = []
    number = getattr(signal, "SIGHUP", None)
    if number is None:
        yield came
        return
    before = signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield came
    finally:
        signal.signal(number, before)
