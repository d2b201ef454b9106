"""Reads the values of a JSON document of any size one by one, with limits on depth, length and memory.

The document is an array, whose elements are the values, or consecutive values. Data after the end of an array is an
error. Each value is read by Python's own decoder: it stops at a depth of about a thousand, while an incremental parser
would use up all memory for its stack, and a number of any length needs no more memory than its digits.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, Final

from heap_courier.formats.nesting import MOST_LEVELS, TOO_DEEP, is_too_deep

BLOCK_BYTES: Final = 1_000_000
LARGEST_VALUE: Final = 64_000_000
"""The most characters of a value, and so of a row."""

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_CUT_NUMBER: Final = len("e+")  # may follow a complete integer if a block ends in the middle of a number
_LONGEST_INTEGER: Final = 4_000  # digits; about the most that Python parses as an integer


class InvalidJSONError(ValueError):
    """The document is not valid JSON, is truncated, or exceeds a limit; the text completes a sentence."""


def whole_number(digits: str) -> int | Decimal:
    """An integer of any length; a decimal if it has more digits than Python parses as an integer."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else Decimal(digits)


def fraction(digits: str) -> Decimal:
    """A number with a fraction or an exponent, kept as written."""
    try:
        return Decimal(digits)
    except ArithmeticError:
        raise InvalidJSONError("has a number whose exponent is out of range") from None


def refuse_constant(name: str) -> None:
    """NaN and the infinities are not JSON."""
    raise InvalidJSONError(f"contains {name}, which is not JSON")


DECODER: Final = json.JSONDecoder(parse_float=fraction, parse_int=whole_number, parse_constant=refuse_constant)


class JSONValues:
    """The values of one document; iterate over it only once.

    Attributes:
        read: the number of bytes read so far.
        has_surrogates: whether they contain escaped surrogates, which are only valid in pairs.
    """

    def __init__(self, stream: BinaryIO, block: int = BLOCK_BYTES) -> None:
        self.read = 0
        self.has_surrogates = False
        self._stream = stream
        self._block = block
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._text = ""
        self._at = 0
        self._has_ended = False

    def __iter__(self) -> Iterator[Any]:
        """The values.

        Raises:
            InvalidJSONError: the document is not valid, or exceeds a limit.
        """
        if not self._next():
            raise InvalidJSONError("is empty")
        if self._next() != "[":
            while self._next():
                yield self._value()
            return
        while self._next() == "[":  # some writers append another array
            yield from self._elements()
        if self._next():
            raise InvalidJSONError("has content after its array")

    def _elements(self) -> Iterator[Any]:
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        while True:
            yield self._value()
            mark = self._next()
            self._at += 1
            if mark == "]":
                return
            if mark != ",":
                raise InvalidJSONError("is truncated" if not mark else "is not valid JSON")

    def _value(self) -> Any:
        while True:
            self._next()
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._has_ended:
                    raise InvalidJSONError("is not valid JSON or is truncated") from None
            except RecursionError:
                raise InvalidJSONError(TOO_DEEP) from None
            else:
                if end + _CUT_NUMBER < len(self._text) or self._has_ended:
                    if sum(self._text.count(mark, self._at, end) for mark in "[{") > MOST_LEVELS and is_too_deep(value):
                        raise InvalidJSONError(TOO_DEEP)
                    self._at = end
                    return value
            if len(self._text) - self._at > LARGEST_VALUE:
                raise InvalidJSONError(f"has a value of more than {LARGEST_VALUE:,} characters, or is not valid JSON")
            self._more()

    def _next(self) -> str:
        """The next character that is not white space; empty at the end of the document."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._has_ended:
                return ""
            self._more()

    def _more(self) -> None:
        """Doubles the buffer, so that a large value is parsed only a few times."""
        block = self._stream.read(max(self._block, len(self._text) - self._at))
        self.read += len(block)
        self._has_ended = not block
        try:
            self._text = self._text[self._at :] + self._decode(block, self._has_ended)
        except UnicodeDecodeError:
            raise InvalidJSONError("is not valid UTF-8") from None
        self._at = 0
        self.has_surrogates = self.has_surrogates or _SURROGATE.search(self._text) is not None
