"""Standard output: messages and log lines, whole and at once.

The platform acts on a state when it sees it, and standard output is block-buffered on a pipe; so each line is written
and flushed under one lock, whichever thread it comes from.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import suppress
from typing import Final

from airbyte_cdk.models import AirbyteLogMessage, AirbyteMessage, AirbyteMessageSerializer, Level, Type
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.messages import EchoedState

_LOCK: Final = threading.Lock()
_LEVELS: Final = {"CRITICAL": Level.FATAL, "ERROR": Level.ERROR, "WARNING": Level.WARN, "DEBUG": Level.DEBUG}


def print_message(message: AirbyteMessage) -> None:
    """Write one message to standard output."""
    if isinstance(message, EchoedState):
        line = message.line
    else:
        # Escaped to ASCII: a name may hold half a surrogate pair, which no encoder takes. Without a space, because
        # PyAirbyte looks in its log for a line with `{"type":"TRACE"` to tell why a run has failed.
        line = json.dumps(AirbyteMessageSerializer.dump(message), separators=(",", ":"))
    content = memoryview(line.encode("utf-8", "surrogateescape") + b"\n")
    with _LOCK:
        while content:  # unbuffered, a write may be short
            content = content[sys.stdout.buffer.write(content) :]
        sys.stdout.buffer.flush()


def log_to_output(progress: Progress | None = None) -> None:
    """Send all log lines the same way, as LOG messages, Python's warnings too; progress steps aside for them."""
    with suppress(OSError, ValueError):  # no descriptor, as in a test
        os.set_blocking(sys.stdout.fileno(), True)  # whoever shares the pipe may have it otherwise
    logging.getLogger().handlers = [_LogHandler(progress or Progress())]
    logging.captureWarnings(capture=True)


class _LogHandler(logging.Handler):
    """Prints our own log lines and Python's warnings, without a stack trace.

    Libraries have no line in the log: urllib3 quotes an answer that it cannot read, and an answer may echo a row.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] in {"airbyte", "py"}

    def emit(self, record: logging.LogRecord) -> None:
        level = _LEVELS.get(record.levelname, Level.INFO)
        text = filter_secrets(record.getMessage())
        with self._progress.aside():
            print_message(AirbyteMessage(type=Type.LOG, log=AirbyteLogMessage(level=level, message=text)))
