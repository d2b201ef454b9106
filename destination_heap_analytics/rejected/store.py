"""The storage of rejected rows: each is one line of JSON, durable before a later state is returned.

    <place>/<sync id>/<namespace>/<stream>/<date>_<milliseconds>_<random>_<part>.jsonl

A stored row is the row exactly as the source wrote it, with three keys appended: `rejected_reason`, `rejected_field`
and `rejected_message`. If the source has keys with the same names, both are kept, and JSON parsers use the last ones,
which are ours. resend.py removes the last of each, which restores the row; only a tool that rewrites the file with
unique keys loses the source's own.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote, unquote

from destination_heap_analytics.config.storage_settings import LocalStorage, NoStorage, S3Storage
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.messages import json_members, line_text
from destination_heap_analytics.rejected.local import LocalFile

Ticket = TypeVar("Ticket")

ADDED_KEYS: Final = ("rejected_reason", "rejected_field", "rejected_message")
UNREADABLE_LINE: Final = "unreadable_line"
"""The key of a line that is stored as text because no row can be read from it."""

UNREADABLE_REASONS: Final = frozenset({Reason.UNREADABLE, Reason.NO_DATA, Reason.NAMESPACE})
"""The reasons for which a line is stored as text."""

WAITING_BYTES: Final = 16 * 1024 * 1024
APPEND_BYTES: Final = 8 * 1024 * 1024

_MOST_BYTES: Final = 255
"""The longest name that file systems accept."""

_CUT: Final = "~"
"""Marks an encoded name that was cut, or is empty."""


def rejected_line(source: bytes | Mapping[str, Any] | None, rejection: RowRejectedError) -> bytes:
    """A rejected row as it is stored, without its line end.

    Args:
        source: the line of its message; its data if it was passed in process; None if neither was kept.
        rejection: stored with the row, including the text of Heap's response.
    """
    message = f"{rejection}. Heap's response: {rejection.words}" if rejection.words else str(rejection)
    values = (rejection.reason.name.lower(), rejection.column, message)
    added = json.dumps(dict(zip(ADDED_KEYS, values, strict=True)))[1:-1]
    inner = _row_text(source, rejection.reason)[:-1]
    filled = inner.rstrip()
    comma = "" if filled == "{" else ", "
    return f"{filled}{comma}{added}{inner[len(filled) :]}}}".encode("utf-8", "surrogateescape")


def _row_text(source: bytes | Mapping[str, Any] | None, reason: Reason) -> str:
    if not isinstance(source, bytes):
        return _dumped(source or {})
    if reason in UNREADABLE_REASONS:
        return json.dumps({UNREADABLE_LINE: source.removesuffix(b"\n").decode("utf-8", "surrogateescape")})
    text = line_text(source)
    record, _ = _spans(text, 0)["record"]
    start, end = _spans(text, record)["data"]
    return text[start:end]


_VALUE: Final = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)
"""Reads a number of any length without converting it."""


def _spans(text: str, opening: int) -> dict[str, tuple[int, int]]:
    """Start and end of the value of each member in the object that begins at `opening`.

    Python's JSON decoder skips each value, which is several times as fast as reading tokens: thousands of rows may be
    rejected in a second.
    """
    spans: dict[str, tuple[int, int]] = {}
    at = _skip_space(text, opening + 1)
    try:
        while text[at] != "}":
            key, at = _VALUE.raw_decode(text, at)
            start = _skip_space(text, _skip_space(text, at) + 1)
            _, end = _VALUE.raw_decode(text, start)
            spans[key] = start, end
            at = _skip_space(text, end)
            if text[at] == ",":
                at = _skip_space(text, at + 1)
    except RecursionError:  # nested too deeply for it
        return {key: (start, end) for key, start, end in json_members(text, opening)}
    return spans


def _skip_space(text: str, at: int) -> int:
    """The position of the first character from `at` on that is not white space."""
    while text[at] in " \t\r\n":
        at += 1
    return at


def _dumped(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(row), default=str)
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # a key that is not text, a row that contains itself or is nested too deeply
        return "{}"


def path_part(name: str) -> str:
    """A name encoded as one part of a path: ASCII, without a slash, not hidden, not empty, at most 255 bytes."""
    part = quote(name, safe="", errors="surrogatepass").replace(_CUT, "%7E") or _CUT
    if part.startswith("."):
        part = "%2E" + part[1:]
    if len(part) > _MOST_BYTES:
        mark = _CUT + sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        part = part[: _MOST_BYTES - len(mark)] + mark
    return part


def part_name(part: str) -> str | None:
    """The name that a part of a path encodes; None if it was cut."""
    try:
        return None if _CUT in part else unquote(part, errors="surrogatepass")
    except UnicodeDecodeError:
        return None


class Storage(Protocol):
    """Stores lines of rejected rows.

    Attributes:
        retrieval: where they are stored, and the commands that resend them.
    """

    @property
    def retrieval(self) -> str:
        """Continues "The rejected rows are", and ends with the commands."""
        ...

    def append(self, lines: bytes) -> None:
        """Store whole lines, each with its line end; they are durable when this returns.

        Raises:
            SyncStoppedError: the message has the setting, the place, the reason and the remedy.
        """
        ...

    def probe(self) -> None:
        """Write something small, and remove it if permitted. Raises what `append` raises."""
        ...


def open_storage(
    settings: NoStorage | LocalStorage | S3Storage,
    stream: Stream | None,
    *,
    now: int,
    random_text: str,
) -> Storage | None:
    """The configured storage, or None; nothing is written or sent yet.

    Args:
        settings: `object_storage_config`.
        stream: the stream being loaded; None for `check`, which only probes.
        now: milliseconds since the epoch.
        random_text: distinguishes the files of attempts that start at the same moment.
    """
    names = (str(stream.sync_id or 0), stream.namespace, stream.name) if stream else ()
    folder = "/".join(path_part(name) for name in names if name is not None)
    date = datetime.fromtimestamp(now / 1000, tz=timezone.utc).date().isoformat()
    attempt = f"{date}_{now}_{random_text[:8]}"
    match settings:
        case LocalStorage():
            return LocalFile(settings.path, folder, attempt)
        case S3Storage():
            from destination_heap_analytics.rejected.s3 import S3Bucket  # noqa: PLC0415  # imports boto3, which few need

            return S3Bucket(settings, folder, attempt)
    return None


@dataclass(frozen=True)
class Stored(Generic[Ticket]):
    """The lines with these tickets are durable, in the order they were put."""

    tickets: tuple[Ticket, ...]


@dataclass(frozen=True)
class StoreFailed:
    """The storage failed; the writer accepts nothing more.

    Attributes:
        error: the exception; a SyncStoppedError, unless it is a bug.
    """

    error: Exception


class RejectWriter(Generic[Ticket]):
    """A thread that stores lines. Lines that arrive during an append share the next one."""

    def __init__(self, storage: Storage, report: Callable[[Stored[Ticket] | StoreFailed], None]) -> None:
        """Start waiting for lines.

        Args:
            storage: used only by this thread.
            report: called by the thread while it holds the writer's lock, so that a caller that sees `is_idle` has
                the report. It must only enqueue: taking a lock under which `put` is called would deadlock.
        """
        self._storage = storage
        self._report = report
        self._waiting: deque[tuple[bytes, Ticket]] = deque()
        self._unstored = 0
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        # A daemon thread: stopping does not wait for a storage that hangs.
        threading.Thread(target=self._write, name="reject writer", daemon=True).start()

    def put(self, line: bytes, ticket: Ticket) -> None:
        """Queue one line; never waits. Ignored after a failure or `close`."""
        with self._changed:
            if not self._closed:
                self._waiting.append((line, ticket))
                self._unstored += 1
                self._bytes += len(line)
                self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        """Whether too much is queued to accept more."""
        with self._changed:
            return self._bytes > WAITING_BYTES

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or being written."""
        with self._changed:
            return not self._unstored

    def close(self) -> None:
        """Accept nothing more and discard the queue; an append in progress still finishes and is reported."""
        with self._changed:
            self._give_up()

    def _write(self) -> None:
        while batch := self._next():
            lines = b"".join(line + b"\n" for line, _ in batch)
            try:
                self._storage.append(lines)
            except Exception as error:  # noqa: BLE001  # re-raised by the run
                with self._changed:
                    self._give_up()
                    self._forget(batch)
                    self._report(StoreFailed(error))
                return
            with self._changed:
                self._forget(batch)
                self._report(Stored(tuple(ticket for _, ticket in batch)))

    def _next(self) -> list[tuple[bytes, Ticket]]:
        """Wait for lines, and return those for the next append; empty once the writer is closed."""
        batch: list[tuple[bytes, Ticket]] = []
        size = 0
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            while self._waiting and (not batch or size + len(self._waiting[0][0]) < APPEND_BYTES):
                batch.append(self._waiting.popleft())
                size += len(batch[-1][0]) + 1
        return batch

    def _give_up(self) -> None:
        self._closed = True
        self._forget(self._waiting)
        self._waiting.clear()
        self._changed.notify_all()

    def _forget(self, lines: list[tuple[bytes, Ticket]] | deque[tuple[bytes, Ticket]]) -> None:
        self._unstored -= len(lines)
        self._bytes -= sum(len(line) for line, _ in lines)
