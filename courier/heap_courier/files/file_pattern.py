"""File patterns: Joda-Time letters for the date, quotes around everything else, and a wildcard.

The grammar: https://docs.amperity.com/reference/couriers.html, file patterns.
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
    """A pattern of keys, relative to the courier's prefix; case-sensitive.

    Attributes:
        text: the original text.
        pieces: the parts of a key, in order: literal text, "*" for any characters except `/`, or "year", "month",
            "day"; each with its kind.
    """

    text: str
    pieces: tuple[tuple[str, str], ...]

    @property
    def ending(self) -> str:
        """What all keys end with, in lower case, as far as the pattern says."""
        kind, value = self.pieces[-1]
        return value.lower() if kind == "text" else ""

    @property
    def dated(self) -> bool:
        """Whether a day selects among its keys; if not, the same keys are those of every day."""
        return any(kind == "date" for kind, _ in self.pieces)

    def first_day(self, day: date) -> date | None:
        """The first of the days that have the same files as this one; None if all days have."""
        parts = {value for kind, value in self.pieces if kind == "date"}
        if "year" not in parts:
            return None
        return day.replace(month=day.month if "month" in parts else 1, day=day.day if "day" in parts else 1)

    def prefix(self, day: date | None) -> str:
        """What all keys of that day begin with; of any day, if none is given."""
        beginning = ""
        for kind, value in self.pieces:
            if kind == "star" or (kind == "date" and day is None):
                break
            beginning += _digits(value, day) if kind == "date" and day else value
        return beginning

    def matches(self, key: str, day: date) -> bool:
        """Whether it is a key of that day."""
        digits = {part: _digits(part, day) for part in _DIGITS}
        return re.fullmatch(self._expression(digits), key) is not None

    def matches_any(self, key: str) -> bool:
        """Whether it is a key of some day, or of one that no calendar has."""
        return re.fullmatch(self._expression(_ANY), key) is not None

    def day_of(self, key: str) -> date | None:
        """The day of a key that matches: the first one of its month or year if the pattern is no more precise.

        None if the pattern has no date.

        Raises:
            SetupError: the digits at the places of the date are not a date.
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
                "remove that file, make the pattern narrower, or load by day."
            ) from None

    def _expression(self, digits: dict[str, str]) -> str:
        """A regular expression; a part of the date that comes again must be the same again."""
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
    """Reads a pattern.

    Raises:
        SetupError: a quote has no partner, or a letter outside the quotes is not part of a date.
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
            f"The pattern {text} has a date without {lacking[0]}, so the day of a file is ambiguous: add it."
        )
    return FilePattern(text, pieces)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Reads quotes as Joda-Time does: one toggles, two are a quote, in and out of quotes."""
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
        f"The pattern {text} has `{word}` outside quotes, and only yyyy, MM and dd are allowed there"
        f"{f' (did you mean `{meant}`?)' if meant else ''}: put text in single quotes, such as {_EXAMPLE}."
    )


def _digits(part: str, day: date) -> str:
    return f"{getattr(day, part):0{_DIGITS[part]}}"
