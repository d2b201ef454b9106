"""For all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Whoever starts the tests behind a shell's `&` has them deaf to Ctrl-C, and with them all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
