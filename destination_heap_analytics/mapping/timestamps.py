"""A time as sources write it -> ISO 8601 with an offset, the one form that Heap documents.

Source: https://developers.heap.io/reference/track-1 ("ISO 8601, e.g. 2017-03-10T22:21:56+00:00").
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

from dateutil.parser import isoparser

from destination_heap_analytics.errors import Reason, RowRejectedError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_COMMON: Final = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d+)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)
"""What nearly all sources write; to be a time it needs only a date, minutes and seconds that there are."""

_WHOLE_SECONDS: Final = 19
"""Length of a time such as 2022-10-21T04:09:54."""

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_NO_T: Final = re.compile(r"(?<=\d)(?: +|t)(?=\d)")
_UTC: Final = re.compile(r"(?<=\d) +UTC$")
_OFFSET_APART: Final = re.compile(r" +(?=[+-]\d\d)")
_PLAIN: Final = re.compile(
    r"\d{4}(-?)\d\d\1\d\dT\d\d(?:(:?)\d\d(?:\2\d\d(?:[.,]\d+)?)?)?(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_HOURS_ONLY: Final = 3
"""Length of an offset such as +00."""
_ISO: Final = isoparser(sep="T")

_MICROSECONDS_PER_UNIT: Final = (
    (Decimal("1e11"), Decimal("1e6")),  # seconds, to the year 5138
    (Decimal("1e14"), Decimal("1e3")),  # milliseconds
    (Decimal("1e17"), Decimal(1)),  # microseconds
)


def heap_timestamp(value: Any, column: str) -> str:
    """A record's time, as Heap takes it.

    ISO 8601 stays as it is, a space for its `T` or before its offset mended; without an offset it is UTC. A number,
    also as text, is epoch seconds, milliseconds or microseconds, by its magnitude.

    Raises:
        RowRejectedError: anything else.
    """
    if isinstance(value, str):
        if common := _COMMON.fullmatch(value):
            try:
                datetime.fromisoformat(value[:_WHOLE_SECONDS])
            except ValueError:
                raise RowRejectedError(Reason.NOT_A_TIME, column) from None
            return value if common[1] else value + "Z"
        text = value.strip()
        return _from_epoch(Decimal(text), column) if _NUMBER.fullmatch(text) else _from_iso(text, column)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch(Decimal(repr(float(value)) if isinstance(value, float) else value), column)
    raise RowRejectedError(Reason.NOT_A_TIME, column)


def _from_iso(text: str, column: str) -> str:
    if not text:
        raise RowRejectedError(Reason.EMPTY, column)
    mended = _NO_T.sub("T", text, count=1)
    mended = _OFFSET_APART.sub("", _UTC.sub("Z", mended))
    try:
        parsed = _ISO.isoparse(mended)
    except (ValueError, OverflowError):
        raise RowRejectedError(Reason.NOT_A_TIME, column) from None
    plain = _PLAIN.fullmatch(mended)
    if not plain:  # a date alone, a week of the year, and what the reader is lenient with
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).isoformat()
    offset = plain[3]
    if not offset:
        return mended + "Z"
    # PostgreSQL writes +00, which few readers of ISO 8601 take.
    return mended + ":00" if len(offset) == _HOURS_ONLY else mended


def _from_epoch(number: Decimal, column: str) -> str:
    if number.is_finite():
        for end, microseconds in _MICROSECONDS_PER_UNIT:
            if abs(number) < end:
                try:
                    return (
                        _EPOCH + timedelta(microseconds=int((number * microseconds).to_integral_value()))
                    ).isoformat()
                except OverflowError:
                    break  # before the year 1
    raise RowRejectedError(Reason.NOT_A_TIME, column)
