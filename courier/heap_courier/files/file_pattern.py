"""File patterns: Joda-Time letters for the date, quotes around literal text, and a wildcard.

Their grammar is documented under "file patterns" in https://docs.amperity.com/reference/couriers.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from string import ascii_letters
from typing import Final

from heap_courier.errors import SetupError

_EXAMPLE: Final = "'users-'yyyy-MM-dd'.avro'"
_PARTS: Final = {"yyyy": "year", "YYYY": "year", "MM": "month", "dd": "day"}
_DIGITS: Final = {"year": 4, "month": 2, "day": 2}
_PLAUSIBLE: Final = {"year": "[0-9]{4}", "month": "(?:0[1-9]|1[0-2])", "day": "(?:0[1-9]|[12][0-9]|3[01])"}
_ANY: Final = {part: f"[0-9]{{{digits}}}" for part, digits in _DIGITS.items()}
_PIECE: Final = re.compile(r"''|'|\*|[A-Za-z]+|[^'*A-Za-z]+")
_RUN: Final = re.compile(r"([A-Za-z])\1*")


@dataclass(frozen=True, slots=True)
class FilePattern:
    """A case-sensitive pattern for keys, which are relative to the courier's prefix.

    Attributes:
        text: the pattern as written.
        pieces: the parts of a key, in order, as pairs of kind and value: ("text", literal text), ("star", "*") for any
            characters except `/`, or ("date", part) with "year", "month" or "day".
    """

    text: str
    pieces: tuple[tuple[str, str], ...]

    @property
    def ending(self) -> str:
        """The literal text that all matching keys end with, in lower case; may be empty."""
        kind, value = self.pieces[-1]
        return value.lower() if kind == "text" else ""

    @property
    def dated(self) -> bool:
        """Whether the pattern contains a date; otherwise the same keys match on every day."""
        return any(kind == "date" for kind, _ in self.pieces)

    def first_day(self, day: date) -> date | None:
        """The first of the days with the same files as this one; None if all days have the same files."""
        parts = {value for kind, value in self.pieces if kind == "date"}
        if "year" not in parts:
            return None
        return day.replace(month=day.month if "month" in parts else 1, day=day.day if "day" in parts else 1)

    def prefix(self, day: date | None) -> str:
        """The text that all keys of a day start with; without a day, that the keys of all days start with."""
        beginning = ""
        for kind, value in self.pieces:
            if kind == "star" or (kind == "date" and day is None):
                break
            beginning += _digits(value, day) if kind == "date" and day else value
        return beginning

    def matches(self, key: str, day: date) -> bool:
        """Whether a key is one of that day."""
        digits = {part: _digits(part, day) for part in _DIGITS}
        return re.fullmatch(self._expression(digits), key) is not None

    def matches_any(self, key: str) -> bool:
        """Whether a key is one of any day, even of an impossible date such as `2026-99-99`."""
        return re.fullmatch(self._expression(_ANY), key) is not None

    def day_of(self, key: str) -> date | None:
        """The day of a matching key; None if the pattern has no date.

        If the pattern specifies only a month or a year, it is the first day of that.

        Raises:
            SetupError: the digits in place of the date are not a date.
        """
        if not self.dated:
            return None
        match = re.fullmatch(self._expression(_PLAUSIBLE), key) or re.fullmatch(self._expression(_ANY), key)
        if match is None:
            raise ValueError("the key does not match the pattern")
        year, month, day = (match.groupdict().get(part, "01") for part in _DIGITS)
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            raise SetupError(
                f"The key `{key}` matches the pattern {self.text}, but `{year}-{month}-{day}` is not a date: rename or "
                "remove the file, make the pattern narrower, or load by day."
            ) from None

    def _expression(self, digits: dict[str, str]) -> str:
        """A regular expression; if a part of the date occurs twice, both must have the same digits."""
        seen: set[str] = set()
        expression = ""
        for kind, value in self.pieces:
            if kind == "date":
                expression += f"(?P={value})" if value in seen else f"(?P<{value}>{digits[value]})"
                seen.add(value)
            else:
                expression += "[^/]*" if kind == "star" else re.escape(value)
        return expression


def parse_pattern(text: str) -> FilePattern:
    """Parses a pattern.

    Raises:
        SetupError: the pattern is empty, its date is incomplete, a quote is never closed, or a letter outside quotes is
            not part of a date.
    """
    runs = groupby(_pieces(text), key=itemgetter(0))
    pieces = tuple(
        piece for kind, run in runs for piece in ([(kind, "".join(v for _, v in run))] if kind == "text" else run)
    )
    parts = {value for kind, value in pieces if kind == "date"}
    lacking = [letters for letters, part in (("yyyy", "year"), ("MM", "month")) if part not in parts]
    if not pieces:
        raise SetupError(f"The file pattern is empty: write one such as {_EXAMPLE}.")
    if ("day" in parts and lacking) or ("month" in parts and "year" not in parts):
        raise SetupError(
            f"The pattern {text} has a date without {lacking[0]}, so the day of a file is ambiguous: add {lacking[0]}."
        )
    return FilePattern(text, pieces)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Splits a pattern with Joda-Time's quoting: a quote starts or ends literal text; two are a quote, anywhere."""
    quoted = False
    for piece in _PIECE.findall(text):
        if piece == "'":
            quoted = not quoted
        elif piece == "*":
            yield "star", piece
        elif piece[0] in ascii_letters and not quoted:
            for run in _RUN.finditer(piece):
                if run[0] not in _PARTS:
                    raise SetupError(_stray(text, piece, run[0]))
                yield "date", _PARTS[run[0]]
        else:
            yield "text", "'" if piece == "''" else piece
    if quoted:
        raise SetupError(
            f"The pattern {text} has an unclosed quote: put text in single quotes, such as {_EXAMPLE}; write "
            "a quote as ''."
        )


def _stray(text: str, word: str, run: str) -> str:
    meant = {"y": "yyyy", "m": "MM", "d": "dd"}[run[0].lower()] if set(word.lower()) <= set("ymd") else None
    return (
        f"The pattern {text} has `{word}` outside quotes, but only yyyy, MM and dd are allowed there"
        f"{f' (did you mean `{meant}`?)' if meant else ''}: put text in single quotes, such as {_EXAMPLE}."
    )


def _digits(part: str, day: date) -> str:
    return f"{getattr(day, part):0{_DIGITS[part]}}"
