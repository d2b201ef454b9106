"""Reads dates by Joda-Time patterns: https://www.joda.org/joda-time/key_format.html.

| letters | meaning |
|---|---|
| `yyyy`, `yy`, `y` (or `Y`) | year: 4 digits; 2 digits (from 69, in the last century); 1 to 4 digits |
| `M`, `d`, `H`, `h`, `m`, `s` | month, day, hour (0-23), hour (1-12), minute, second: 1 or 2 digits; if doubled, 2 |
| `MMM`, `MMMM`; `E` | English name of a month; of a weekday |
| `S` | a digit of the fraction of a second |
| `a` | AM or PM |
| `Z`, `ZZ` | offset from UTC: `+0200`, `+02:00`, `Z` |

Text in single quotes, and anything that is not a letter, matches itself. A time without an offset is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = (
    r"(?P<month_name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY: Final = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_NUMBERS: Final = {"M": "month", "d": "day", "H": "hour", "h": "half_day_hour", "m": "minute", "s": "second"}
_TOKEN: Final = re.compile(r"'(?P<literal>(?:[^']|'')*)'|(?P<letters>(?P<letter>[A-Za-z])(?P=letter)*)|(?P<other>[^'])")
_PIVOT: Final = 69  # POSIX: 69 is 1969, 68 is 2068
_NAME: Final = 3  # from this many letters on, the name of a month
_NOON: Final = 12

Reader = Callable[[str], datetime]


def reader(pattern: str) -> Reader:
    """A parser for text in this pattern, which returns a time in UTC, without a zone, or raises ValueError.

    Raises:
        ValueError: the pattern is not valid or not supported; the message completes a sentence.
    """
    position = 0
    parts: list[str] = []
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if not token:
            raise ValueError("has an unclosed quote")
        position = token.end()
        if token["letters"]:
            parts.append(_part(token["letter"], len(token["letters"])))
        else:
            literal = token["other"] or (token["literal"].replace("''", "'") or "'")
            parts.append(re.escape(literal))
    if not any("<year" in part for part in parts):
        raise ValueError("has no year")
    try:
        expression = re.compile("".join(parts), re.ASCII | re.IGNORECASE)
    except re.error:
        raise ValueError("contains the same part of the date twice") from None

    def read(text: str) -> datetime:
        if not (match := expression.fullmatch(text)):
            raise ValueError
        return _instant(match.groupdict())

    return read


def _part(letter: str, count: int) -> str:
    if letter in "yY":
        return r"(?P<year>\d{1,4})" if count == 1 else r"(?P<year2>\d\d)" if count == 2 else rf"(?P<year>\d{{{count}}})"  # noqa: PLR2004
    if letter == "M" and count >= _NAME:
        return _MONTH
    if letter in _NUMBERS:
        return rf"(?P<{_NUMBERS[letter]}>\d{{1,2}})" if count == 1 else rf"(?P<{_NUMBERS[letter]}>\d{{{count}}})"
    if letter == "S":
        return rf"(?P<fraction>\d{{{count}}})"
    if letter == "a":
        return "(?P<half>am|pm)"
    if letter == "E":
        return _DAY
    if letter == "Z" and count < _NAME:
        return r"(?P<offset>z|[+-]\d\d:?\d\d)"
    if letter in "zZ":
        raise ValueError("contains the name of a time zone, which is not supported; use `Z` for an offset")
    raise ValueError(f"has the letter `{letter}`, which is not supported; put literal text in single quotes")


def _instant(parts: dict[str, str | None]) -> datetime:
    def number(name: str, default: int = 0) -> int:
        return int(parts.get(name) or default)

    year = number("year")
    if short := parts.get("year2"):
        year = int(short) + (1900 if int(short) >= _PIVOT else 2000)
    name = parts.get("month_name")
    hour = number("hour")
    if parts.get("half_day_hour"):
        hour = number("half_day_hour") % _NOON + (_NOON if (parts.get("half") or "").lower() == "pm" else 0)
    instant = datetime(
        year,
        _MONTHS.index(name[:_NAME].lower()) + 1 if name else number("month", 1),
        number("day", 1),
        hour,
        number("minute"),
        number("second"),
        int((parts.get("fraction") or "0").ljust(6, "0")[:6]),
        tzinfo=timezone.utc,
    )
    offset = parts.get("offset")
    if offset and offset not in "zZ":
        ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
        instant = instant - ahead if offset[0] == "+" else instant + ahead
    return instant.replace(tzinfo=None)
