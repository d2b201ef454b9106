"""Splits a delimited file between its records, so that each piece can be parsed separately.

Arrow's reader splits a file wherever a block ends. It then loses a line feed inside quotes at that position
(https://github.com/apache/arrow/issues/51368), and reads an unclosed quote to the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

PIECE_BYTES: Final = 1_000_000
"""How many bytes are read at a time, and how long a record may be."""

_LINE_ENDS: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The special characters of a delimited file, each one byte; empty if the file does not use it."""

    separator: bytes
    quote: bytes = b'"'
    escape: bytes = b""


class Readable(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Approximately this many bytes, or fewer; empty at the end."""


class UnclosedQuoteError(Exception):
    """The file ends inside a quoted value."""


class LongRecordError(Exception):
    """A record is longer than PIECE_BYTES."""


def pieces(stream: Readable, dialect: Dialect, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """The records of a file, in pieces of about this many bytes. Every piece ends with a line end, even the last one.

    Raises:
        UnclosedQuoteError: the file ends inside quotes.
        LongRecordError: a record is longer than a piece.
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
            continue  # inside an unquoted value, a quote is an ordinary character
        last = _line_end(data, outside, opening, escape) or last
        closing = _closing(data, at, quote, escape)
        if closing < 0:
            return last
        at = outside = closing + 1
    return _line_end(data, outside, len(data), escape) or last


def _closing(data: bytes, at: int, quote: bytes, escape: bytes) -> int:
    """The position of the quote that closes a value; -1 if it is not known yet."""
    while (closing := data.find(quote, at)) >= 0:
        if escape and _is_escaped(data, closing, escape):
            at = closing + 1
        elif data[closing + 1 : closing + 2] == quote:
            at = closing + 2
        elif closing + 1 == len(data):
            return -1  # the next byte may be a second quote, which would escape this one
        else:
            return closing
    return -1


def _line_end(data: bytes, start: int, stop: int, escape: bytes) -> int:
    """The position after the last line end in a range outside quotes; 0 if there is none."""
    end = data.rfind(b"\n", start, stop)
    if end < 0:  # perhaps a classic Mac file; a carriage return at the very end may still be followed by a line feed
        end = data.rfind(b"\r", start, min(stop, len(data) - 1))
    while end >= 0 and escape and _is_escaped(data, end, escape):
        end = data.rfind(b"\n", start, end)
    return end + 1 if end >= 0 else 0


def _is_escaped(data: bytes, position: int, escape: bytes) -> bool:
    count = 0
    while position - count > 0 and data[position - count - 1] == escape[0]:
        count += 1
    return count % 2 == 1
