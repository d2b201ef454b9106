"""SIGTERM and SIGINT: the run reports what it has delivered and stops; if it hangs, the process exits anyway.

The signals are blocked, and a thread waits for them, so that they never interrupt a step halfway. This also works for
process 1 of a container, for which the kernel ignores signals without a handler.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

PATIENCE_SECONDS: Final = 12.0
"""The process exits after this time, even if the run is stuck in a write that no one reads; the platform waits 15."""


def exit_code(number: int) -> int:
    """The exit code that a shell reports for a process terminated by this signal."""
    return 128 + number


def watch_signals(interrupt: Callable[[int], None], patience: float = PATIENCE_SECONDS) -> None:
    """From now on, the first signal calls `interrupt` with its number; a second one exits immediately."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def wait() -> None:
        number = signal.sigwait(SIGNALS)
        timer = threading.Timer(patience, os._exit, [exit_code(number)])
        timer.daemon = True
        timer.start()
        interrupt(number)
        signal.sigwait(SIGNALS)
        os._exit(exit_code(number))

    threading.Thread(target=wait, name="signals", daemon=True).start()
