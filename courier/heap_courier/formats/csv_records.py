"""A delimited file cut between its records, so that each piece can be parsed by itself.

Arrow's reader cuts a file wherever a block ends, which loses a line feed inside quotes at that position
(https://github.com/apache/arrow/issues/51368) and reads an unclosed quote to the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

PIECE_BYTES: Final = 1_000_000
"""How much is read at once, and how long one record may be."""

_LINE_ENDS: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The characters that give a delimited file its form, each one byte; empty if there is none."""

    separator: bytes
    quote: bytes = b'"'
    escape: bytes = b""


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most about this many bytes; none at the end."""


class UnclosedQuoteError(Exception):
    """The file ends inside a quoted value."""


class LongRecordError(Exception):
    """A record is longer than PIECE_BYTES."""


def pieces(stream: Readable, dialect: Dialect, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Whole records of a file, in pieces of about this many bytes; the last one also ends with a line end.

    Raises:
        UnclosedQuoteError: the last record is never closed.
        LongRecordError: a record does not fit into a piece.
    """
    rest = b""
    while block := stream.read(size):
        data = rest + block
        end = _last_end(data, dialect)
        if end:
            yield data[:end]
        elif len(data) > max(size, PIECE_BYTES):
            raise LongRecordError
        rest = data[end:]
    if rest:
        closed = rest + b"\n"
        if _last_end(closed, dialect) < len(closed):
            raise UnclosedQuoteError
        yield closed


def _last_end(data: bytes, dialect: Dialect) -> int:
    """The position after the last line end outside quotes; 0 if there is none."""
    if not dialect.quote:
        return _line_end(data, 0, len(data), dialect.escape)
    starts = frozenset([dialect.separator[0], *_LINE_ENDS])
    quote, escape = dialect.quote, dialect.escape
    last, outside, at = 0, 0, 0
    while (opening := data.find(quote, at)) >= 0:
        at = opening + 1
        if opening and data[opening - 1] not in starts:
            continue  # a quote inside a value that is not quoted is a character like any other
        last = _line_end(data, outside, opening, escape) or last
        closing = _closing(data, at, quote, escape)
        if closing < 0:
            return last
        at = outside = closing + 1
    return _line_end(data, outside, len(data), escape) or last


def _closing(data: bytes, at: int, quote: bytes, escape: bytes) -> int:
    """The end of a quoted value; -1 if it is not known yet."""
    while (closing := data.find(quote, at)) >= 0:
        if escape and _is_escaped(data, closing, escape):
            at = closing + 1
        elif data[closing + 1 : closing + 2] == quote:
            at = closing + 2
        elif closing + 1 == len(data):
            return -1  # the next byte may double it
        else:
            return closing
    return -1


def _line_end(data: bytes, start: int, stop: int, escape: bytes) -> int:
    """The position after the last line end in a stretch outside quotes; 0 if there is none."""
    end = data.rfind(b"\n", start, stop)
    if end < 0:  # a classic Mac file: a carriage return at the very end may still be followed by its line feed
        end = data.rfind(b"\r", start, min(stop, len(data) - 1))
    while end >= 0 and escape and _is_escaped(data, end, escape):
        end = data.rfind(b"\n", start, end)
    return end + 1 if end >= 0 else 0


def _is_escaped(data: bytes, position: int, escape: bytes) -> bool:
    count = 0
    while position - count > 0 and data[position - count - 1] == escape[0]:
        count += 1
    return count % 2 == 1
