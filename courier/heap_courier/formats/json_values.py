"""The values of a JSON document of any size, one after the other, within bounds of depth, length and memory.

The document is an array, whose elements are yielded, or consecutive values. Data after the end of an array is never
skipped. Python's own decoder reads each value: it stops at a depth of about a thousand, where a parser that keeps
the state of an endless nesting takes all memory, and a number of any length costs no more than its digits.
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
"""Characters of one value: what a row may take."""

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_CUT_NUMBER: Final = len("e+")  # after an integer, if a block ends in the middle of a longer one
_LONGEST_INTEGER: Final = 4_000  # digits that Python reads as an integer, about


class InvalidJSONError(ValueError):
    """The document is not valid JSON, is cut short, or exceeds a bound; the text says which."""


def whole_number(digits: str) -> int | Decimal:
    """An integer of any length; one that Python refuses to read as such keeps its digits as a decimal."""
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
    """The values of one document; iterate over it once.

    Attributes:
        read: bytes read so far.
        has_surrogates: whether they hold escapes of surrogates, of which half a pair is not a character.
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
            InvalidJSONError: with the position of the error.
        """
        if not self._next():
            raise InvalidJSONError("is empty")
        if self._next() != "[":
            while self._next():
                yield self._value()
            return
        while self._next() == "[":  # some writers append one array to another
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
                raise InvalidJSONError("is cut short" if not mark else "is not valid JSON")

    def _value(self) -> Any:
        while True:
            self._next()
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._has_ended:
                    raise InvalidJSONError("is not valid JSON or is cut short") from None
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
        """The next character that is not white space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._has_ended:
                return ""
            self._more()

    def _more(self) -> None:
        """Reads as much as is buffered already, so that a large value is not parsed again and again."""
        block = self._stream.read(max(self._block, len(self._text) - self._at))
        self.read += len(block)
        self._has_ended = not block
        try:
            self._text = self._text[self._at :] + self._decode(block, self._has_ended)
        except UnicodeDecodeError:
            raise InvalidJSONError("is not valid UTF-8") from None
        self._at = 0
        self.has_surrogates = self.has_surrogates or _SURROGATE.search(self._text) is not None
