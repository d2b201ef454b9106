"""SIGTERM and SIGINT: the run gives back what is safe and ends, and if it cannot, the process ends all the same.

The signals are blocked and waited for by a thread, rather than handled, so that they never break into a half-done step;
as process 1 of a container too, where a signal that nobody handles would be ignored.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

PATIENCE_SECONDS: Final = 12.0
"""How long the run may take to end, also when it sits in a write that nobody reads; the platform waits 15."""


def exit_code(number: int) -> int:
    """What a shell makes of a process that a signal has ended."""
    return 128 + number


def watch_signals(interrupt: Callable[[int], None], patience: float = PATIENCE_SECONDS) -> None:
    """From now on, `interrupt` is told the first signal's number. A second one ends the process at once."""
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
