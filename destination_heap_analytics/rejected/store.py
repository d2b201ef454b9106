"""The storage of rejected rows: each as one line of JSON, durable before any state passes it.

    <place>/<sync id>/<namespace>/<stream>/<date>_<milliseconds>_<random>_<part>.jsonl

A stored row is the row as the source wrote it, to the last digit, with three keys added at its end: `rejected_reason`,
`rejected_field` and `rejected_message`. A source may have keys of the same names: they stay, and since readers of JSON
take the last of several equal keys they see ours. resend.py removes the last of each name, which restores the row; only
a tool that rewrote the file in between, and kept one of each name, has lost the source's own.
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
"""The key of a whole line that is stored as text because no row can be read from it."""

UNREADABLE_REASONS: Final = frozenset({Reason.UNREADABLE, Reason.NO_DATA, Reason.NAMESPACE})
"""The reasons of rows that are stored that way."""

WAITING_BYTES: Final = 16 * 1024 * 1024
APPEND_BYTES: Final = 8 * 1024 * 1024

_MOST_BYTES: Final = 255
"""The longest name that file systems accept."""

_CUT: Final = "~"
"""Marks an encoded name whose end, or all of it, is missing."""


def rejected_line(source: bytes | Mapping[str, Any] | None, rejection: RowRejectedError) -> bytes:
    """A rejected row as it is stored, without a line end.

    Args:
        source: the line of its message; its data if it was passed in process; None if nothing is left of it.
        rejection: stored with the row, including Heap's own words.
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
    """Start and end of the value of each member in the object that opens there.

    Values are skipped by Python's own reader, several times as fast as token by token: thousands of rows may be
    rejected in a second, and each passes here.
    """
    spans: dict[str, tuple[int, int]] = {}
    at = _inked(text, opening + 1)
    try:
        while text[at] != "}":
            key, at = _VALUE.raw_decode(text, at)
            start = _inked(text, _inked(text, at) + 1)
            _, end = _VALUE.raw_decode(text, start)
            spans[key] = start, end
            at = _inked(text, end)
            if text[at] == ",":
                at = _inked(text, at + 1)
    except RecursionError:  # nested too deeply for it
        return {key: (start, end) for key, start, end in json_members(text, opening)}
    return spans


def _inked(text: str, at: int) -> int:
    """The first position from there on that is not blank."""
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
    """One part of a path for any name: ASCII, without a slash, not hidden, not empty, 255 bytes at most."""
    part = quote(name, safe="", errors="surrogatepass").replace(_CUT, "%7E") or _CUT
    if part.startswith("."):
        part = "%2E" + part[1:]
    if len(part) > _MOST_BYTES:
        mark = _CUT + sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        part = part[: _MOST_BYTES - len(mark)] + mark
    return part


def part_name(part: str) -> str | None:
    """The name that a part of a path was made from; None if it was too long to be known."""
    try:
        return None if _CUT in part else unquote(part, errors="surrogatepass")
    except UnicodeDecodeError:
        return None


class Storage(Protocol):
    """Stores lines of rejected rows.

    Attributes:
        retrieval: where they are, and the commands that send them again.
    """

    @property
    def retrieval(self) -> str:
        """A sentence that ends with the commands."""
        ...

    def append(self, lines: bytes) -> None:
        """Store whole lines, each with its line end; they are durable when this returns.

        Raises:
            SyncStoppedError: names the setting, the place, the reason and the remedy.
        """
        ...

    def probe(self) -> None:
        """Write something small, and remove it again if allowed. Raises what `append` raises."""
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
        stream: the one being loaded; None for `check`, which only probes.
        now: milliseconds since the epoch.
        random_text: distinguishes this attempt's files from others of the same moment.
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
    """The lines put with these tickets are durable; in the order they were put."""

    tickets: tuple[Ticket, ...]


@dataclass(frozen=True)
class StoreFailed:
    """The storage failed; the writer accepts nothing more.

    Attributes:
        error: what it raised; a SyncStoppedError unless the connector is at fault.
    """

    error: Exception


class RejectWriter(Generic[Ticket]):
    """A thread that makes lines durable, one append at a time; lines that arrive meanwhile share the next append."""

    def __init__(self, storage: Storage, report: Callable[[Stored[Ticket] | StoreFailed], None]) -> None:
        """Start waiting for lines.

        Args:
            storage: used only by this thread.
            report: called by the thread with the writer's lock held, so that a caller that sees `is_idle` has
                the report already. It must only hand over, as to a queue: a lock that `put` may be called under would
                deadlock.
        """
        self._storage = storage
        self._report = report
        self._waiting: deque[tuple[bytes, Ticket]] = deque()
        self._unstored = 0
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        # A daemon: a stop does not wait for a storage that hangs.
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
            except Exception as error:  # noqa: BLE001  # handed to the run, which raises it
                with self._changed:
                    self._give_up()
                    self._forget(batch)
                    self._report(StoreFailed(error))
                return
            with self._changed:
                self._forget(batch)
                self._report(Stored(tuple(ticket for _, ticket in batch)))

    def _next(self) -> list[tuple[bytes, Ticket]]:
        """The lines for the next append, once there are any; none after the writer is closed."""
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
