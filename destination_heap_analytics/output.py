"""Standard output: messages and log lines, whole and at once.

The platform acts on a state when it sees it, and standard output is block-buffered on a pipe; so each line is written
and flushed under one lock, whichever thread it comes from.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Final

import orjson
from airbyte_cdk.logger import AirbyteLogFormatter
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer

from destination_heap_analytics.protocol import EchoedState

_LOCK: Final = threading.Lock()


def print_message(message: AirbyteMessage) -> None:
    """Write one message to standard output."""
    if isinstance(message, EchoedState):
        _print_line(message.line)
    else:
        _print_line(orjson.dumps(AirbyteMessageSerializer.dump(message)).decode())


def log_to_output() -> None:
    """Send all log lines the same way, as LOG messages, Python's warnings too."""
    root = logging.getLogger()
    root.handlers = [_LogHandler()]
    logging.captureWarnings(capture=True)


class _LogHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(AirbyteLogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        _print_line(self.format(record))


def _print_line(line: str) -> None:
    with _LOCK:
        sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
        sys.stdout.buffer.flush()
