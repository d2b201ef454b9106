"""SIGTERM and SIGINT: the run reports what is delivered and stops; if it cannot, the process still exits.

The signals are blocked and waited for in a thread, not handled, so that they never interrupt a half-done step. This
also works for process 1 of a container, where a signal without a handler is ignored.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

PATIENCE_SECONDS: Final = 12.0
"""How long the run may take to stop, even if it is stuck in a write without a reader; the platform waits 15."""


def exit_code(number: int) -> int:
    """The exit code that a shell gives to a process that a signal terminated."""
    return 128 + number


def watch_signals(interrupt: Callable[[int], None], patience: float = PATIENCE_SECONDS) -> None:
    """From now on, the first signal calls `interrupt` with its number; a second one exits at once."""
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
