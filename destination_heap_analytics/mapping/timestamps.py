"""Converts timestamps as sources write them to ISO 8601 with an offset, the only format that Heap documents.

Source: https://developers.heap.io/reference/track-1 ("ISO 8601, e.g. 2017-03-10T22:21:56+00:00").
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

from dateutil.parser import isoparser

from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.protocol.numbers import float_text, plain_decimal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_COMMON: Final = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d+)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)
"""The most common format; valid if its date, minutes and seconds exist."""

_WHOLE_SECONDS: Final = 19
"""Length of a time such as 2022-10-21T04:09:54."""

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_NO_T: Final = re.compile(r"(?<=\d)(?: +|t)(?=\d)")
_UTC: Final = re.compile(r"(?<=\d) +UTC$")
_OFFSET_APART: Final = re.compile(r"(?<! ) +(?=[+-]\d\d)")
_PLAIN: Final = re.compile(
    r"\d{4}(-?)\d\d\1\d\dT\d\d(?:(:?)\d\d(?:\2\d\d(?:[.,]\d+)?)?)?(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_HOURS_ONLY: Final = 3
"""Length of an offset such as +00."""
_ISO: Final = isoparser(sep="T")

_YEAR_1990: Final = 631_152_000
_YEAR_2100: Final = 4_102_444_800
"""Seconds since 1970. A number outside this range, in any unit, is not an epoch: 20220518 would be a day in 1970."""

_UNITS: Final = (1, 10**3, 10**6, 10**9)
"""The units of an epoch, per second; their ranges do not overlap."""

_COMPACT: Final = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Dates without separators, by their length."""

_YEARS: Final = range(1900, 2101)
"""The years of a compact date."""

_LONGEST: Final = 64
"""The most characters in a timestamp, which bounds the work of the patterns."""


def heap_timestamp(value: Any, column: str) -> str:
    """Convert a timestamp to the format that Heap accepts.

    ISO 8601 is unchanged, except that a space may replace the `T` or precede the offset; without an offset, it is UTC.
    A number, also as text, is an epoch if it falls between 1990 and 2100 in seconds, milliseconds, microseconds or
    nanoseconds; otherwise, its digits may be a date from 1900 to 2100 in UTC: YYYYMMDD, with optional HH, HHmm or
    HHmmss.

    Raises:
        RowRejectedError: it is none of these.
    """
    if isinstance(value, str):
        if common := _COMMON.fullmatch(value):
            try:
                datetime.fromisoformat(value[:_WHOLE_SECONDS])
            except ValueError:
                raise RowRejectedError(Reason.NOT_A_TIME, column) from None
            return value if common[1] else value + "Z"
        text = value.strip()
        if len(text) > _LONGEST:
            raise RowRejectedError(Reason.NOT_A_TIME, column)
        return _from_number(text, column) if _NUMBER.fullmatch(text) else _from_iso(text, column)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = float_text(value) if isinstance(value, float) else str(value)
        return _from_number(text, column)
    raise RowRejectedError(Reason.NOT_A_TIME, column)


def heap_timestamps(values: Sequence[str], column: str) -> list[str]:
    """Convert several timestamps. If all have the same common format, it is checked only once.

    Raises:
        RowRejectedError: one of them is not a timestamp.
    """
    forms = set("\n".join(values).translate(_DIGITS_AS_ZEROS).split("\n"))
    if len(forms) == 1 and (form := _UTC_FORM.fullmatch(forms.pop())):
        try:
            deque(map(datetime.fromisoformat, values), maxlen=0)
        except ValueError:
            pass  # the error is raised below
        else:
            return list(values) if form[1] else [value + "Z" for value in values]
    return [heap_timestamp(value, column) for value in values]


_UTC_FORM: Final = re.compile(r"0000-00-00T00:00:00(?:\.0+)?(Z)?")
"""A timestamp in UTC with all digits replaced by zeros."""

_DIGITS_AS_ZEROS: Final = str.maketrans("123456789", "0" * 9)


def _from_iso(text: str, column: str) -> str:
    if not text:
        raise RowRejectedError(Reason.EMPTY, column)
    fixed = _NO_T.sub("T", text, count=1)
    fixed = _OFFSET_APART.sub("", _UTC.sub("Z", fixed))
    try:
        parsed = _ISO.isoparse(fixed)
    except (ValueError, OverflowError):
        raise RowRejectedError(Reason.NOT_A_TIME, column) from None
    plain = _PLAIN.fullmatch(fixed)
    if not plain:  # a date, a week date, or another format that the parser accepts
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).isoformat()
    offset = plain[3]
    if not offset:
        return fixed + "Z"
    # PostgreSQL writes +00, which few parsers of ISO 8601 accept.
    return fixed + ":00" if len(offset) == _HOURS_ONLY else fixed


def _from_number(text: str, column: str) -> str:
    if len(text) > _LONGEST or (plain := plain_decimal(text)) is None:
        raise RowRejectedError(Reason.NOT_A_TIME, column)
    number = Decimal(plain)
    for unit in _UNITS:
        if _YEAR_1990 * unit <= number < _YEAR_2100 * unit:
            microseconds = int((number * 10**6 / unit).to_integral_value())
            return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
    try:
        date = datetime.strptime(plain, _COMPACT[len(plain)]).replace(tzinfo=timezone.utc)
    except (KeyError, ValueError):
        raise RowRejectedError(Reason.NOT_A_TIME, column) from None
    if date.year not in _YEARS or not plain.isdigit():
        raise RowRejectedError(Reason.NOT_A_TIME, column)
    return date.isoformat()
