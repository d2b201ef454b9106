"""Standard output: messages and log lines, whole and at once.

The platform acts on a state when it sees it, and standard output is block-buffered on a pipe; so each line is written
and flushed under one lock, whichever thread it comes from.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from airbyte_protocol_dataclasses.models import AirbyteLogMessage, AirbyteMessage, Level, Type

from destination_heap_analytics.errors import OutputError
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.process.secrets import NO_SECRETS, Secrets
from destination_heap_analytics.process.terminal_lines import as_text
from destination_heap_analytics.protocol.messages import EchoedState
from destination_heap_analytics.wording import printable

_LOCK: Final = threading.Lock()
_LEVELS: Final = {"CRITICAL": Level.FATAL, "ERROR": Level.ERROR, "WARNING": Level.WARN, "DEBUG": Level.DEBUG}


def as_json(message: AirbyteMessage, secrets: Secrets = NO_SECRETS) -> str:
    """One line of the protocol: a message with its fields in the order of its class, those that are None left out.

    It is ASCII: a name may hold half a surrogate pair, which no encoder takes. It has no spaces, because PyAirbyte
    looks for a line with `{"type":"TRACE"` in its log to tell why a run failed.
    """
    return json.dumps(_plain(message, secrets), separators=(",", ":"))


def _plain(value: Any, secrets: Secrets) -> Any:
    if is_dataclass(value):
        members = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: _plain(member, secrets) for name, member in members if member is not None}
    if isinstance(value, Enum):
        return value.value
    return secrets.masked(value) if isinstance(value, str) else value


def print_message(message: AirbyteMessage, secrets: Secrets = NO_SECRETS) -> None:
    """Write one message to standard output, with secrets masked in all but states, which go back unchanged.

    A terminal shows it as text; a program that reads the output gets JSON.
    """
    if sys.stdout is not None and sys.stdout.isatty() and (text := as_text(message)) is not None:
        write("".join(f"{printable(line)}\n" for line in secrets.masked(text).split("\n")).encode())
        return
    line = message.line if isinstance(message, EchoedState) else as_json(message, secrets)
    print_line(line.encode("utf-8", "surrogateescape"))


def print_line(line: bytes) -> None:
    """Write one line of JSON to standard output: unchanged to a program, harmless to a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        line = printable(line.decode("utf-8", "surrogateescape")).encode()
    write(line + b"\n")


def write(content: bytes) -> None:
    """Write to standard output, whole and at once, even if another process made the pipe non-blocking.

    Raises:
        BrokenPipeError: its reader is gone.
        OutputError: it cannot be written for another reason.
    """
    if sys.stdout is None:
        raise OutputError("closed")
    rest = memoryview(content)
    with _LOCK:
        while True:
            try:
                while rest:
                    rest = rest[sys.stdout.buffer.write(rest) or _wait() :]  # unbuffered, None if the pipe is full
                sys.stdout.buffer.flush()
            except BlockingIOError as full:  # noqa: PERF203  # not per line: only if the pipe is full
                rest = rest[full.characters_written :]
                _wait()
            except BrokenPipeError:
                raise
            except OSError as failure:
                raise OutputError(failure.strerror or "unknown error") from None
            else:
                return


def _wait() -> int:
    """Until the pipe takes more; nothing has been written meanwhile."""
    poll = select.poll()
    poll.register(sys.stdout.buffer, select.POLLOUT)
    poll.poll()
    return 0


def discard_output() -> None:
    """Send nowhere what is still buffered for standard output: its reader is gone, or it cannot be written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class StandardOutput:
    """Standard output for what is not a message, with the failures of `write`."""

    def write(self, content: bytes) -> int:
        """Write it whole."""
        write(content)
        return len(content)

    def flush(self) -> None:
        """Nothing is left in a buffer."""


def log_to_output(progress: Progress | None = None, secrets: Secrets = NO_SECRETS) -> None:
    """Write all log lines the same way, as LOG messages, Python's warnings too; the progress line makes room."""
    logging.getLogger("airbyte").setLevel(logging.INFO)
    logging.getLogger().handlers = [_LogHandler(progress or Progress(), secrets)]
    logging.captureWarnings(capture=True)


class _LogHandler(logging.Handler):
    """Prints our own log lines and Python's warnings, without a stack trace.

    Libraries have no line in the log: urllib3 quotes an answer that it cannot read, and an answer may echo a row.
    """

    def __init__(self, progress: Progress, secrets: Secrets) -> None:
        super().__init__()
        self._progress = progress
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] in {"airbyte", "py"}

    def emit(self, record: logging.LogRecord) -> None:
        level = _LEVELS.get(record.levelname, Level.INFO)
        message = AirbyteLogMessage(level=level, message=printable(record.getMessage()))
        with self._progress.aside():
            print_message(AirbyteMessage(type=Type.LOG, log=message), self._secrets)
