"""Writes messages and log lines to standard output, each as a whole and without delay.

The platform acts on a state as soon as it reads it, but standard output is block-buffered on a pipe. So each line is
written and flushed under one lock, from any thread.
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
    """A message as one line of the protocol, with the fields in the order of its class, without those that are None.

    It is ASCII, because a name may contain half a surrogate pair, which cannot be encoded. It has no spaces, because
    PyAirbyte searches its log for `{"type":"TRACE"` to find out why a run failed.
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
    """Write one message to standard output, with secrets masked, except in states, which are returned unchanged.

    A terminal gets text, a program JSON.
    """
    if sys.stdout is not None and sys.stdout.isatty() and (text := as_text(message)) is not None:
        write("".join(f"{printable(line)}\n" for line in secrets.masked(text).split("\n")).encode())
        return
    line = message.line if isinstance(message, EchoedState) else as_json(message, secrets)
    print_line(line.encode("utf-8", "surrogateescape"))


def print_line(line: bytes) -> None:
    """Write one line of JSON to standard output: unchanged for a program, escaped for a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        line = printable(line.decode("utf-8", "surrogateescape")).encode()
    write(line + b"\n")


def write(content: bytes) -> None:
    """Write to standard output completely, and flush, even if another process made the pipe non-blocking.

    Raises:
        BrokenPipeError: the reader is gone.
        OutputError: writing failed for another reason.
    """
    if sys.stdout is None:
        raise OutputError("closed")
    rest = memoryview(content)
    with _LOCK:
        while True:
            try:
                while rest:
                    rest = rest[
                        sys.stdout.buffer.write(rest) or _wait() :
                    ]  # if unbuffered, None means that the pipe is full
                sys.stdout.buffer.flush()
            except BlockingIOError as full:  # noqa: PERF203  # runs only if the pipe is full
                rest = rest[full.characters_written :]
                _wait()
            except BrokenPipeError:
                raise
            except OSError as failure:
                raise OutputError(failure.strerror or "unknown error") from None
            else:
                return


def _wait() -> int:
    """Wait until the pipe accepts more. Returns 0, the number of bytes written meanwhile."""
    poll = select.poll()
    poll.register(sys.stdout.buffer, select.POLLOUT)
    poll.poll()
    return 0


def discard_output() -> None:
    """Discard what is buffered for standard output: its reader is gone, or it cannot be written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class StandardOutput:
    """Standard output as a binary file, for output that is not a message; raises what `write` raises."""

    def write(self, content: bytes) -> int:
        """Write all of it."""
        write(content)
        return len(content)

    def flush(self) -> None:
        """Nothing to do: `write` has flushed."""


def log_to_output(progress: Progress | None = None, secrets: Secrets = NO_SECRETS) -> None:
    """Print all log lines, and Python's warnings, as LOG messages; the progress line is hidden meanwhile."""
    logging.getLogger("airbyte").setLevel(logging.INFO)
    logging.getLogger().handlers = [_LogHandler(progress or Progress(), secrets)]
    logging.captureWarnings(capture=True)


class _LogHandler(logging.Handler):
    """Prints the connector's log lines and Python's warnings, without stack traces.

    Libraries are not logged: urllib3, for one, quotes a response that it cannot parse, which may echo a row.
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
