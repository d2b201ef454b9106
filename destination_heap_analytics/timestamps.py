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
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_NO_T: Final = re.compile(r"(?<=\d)(?: +|t)(?=\d)")
_HOURS_ONLY: Final = re.compile(r"(?<=[T:.,\d]\d)[+-]\d\d$")
_ISO: Final = isoparser(sep="T")

_MICROSECONDS_PER_UNIT: Final = (
    (Decimal("1e11"), Decimal("1e6")),  # seconds, to the year 5138
    (Decimal("1e14"), Decimal("1e3")),  # milliseconds
    (Decimal("1e17"), Decimal(1)),  # microseconds
)


def heap_timestamp(value: Any, column: str) -> str:
    """A record's time, as Heap takes it.

    ISO 8601 stays as it is, a space for its `T` mended, UTC where it names no offset. A number, also one written as
    text, is epoch seconds, milliseconds or microseconds, by its magnitude.

    Raises:
        RowRejectedError: anything else.
    """
    if isinstance(value, str):
        if _NUMBER.fullmatch(value):
            return _from_epoch(Decimal(value), column)
        return _from_iso(value, column)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch(Decimal(repr(float(value)) if isinstance(value, float) else value), column)
    raise RowRejectedError(Reason.NOT_A_TIME, column)


def _from_iso(text: str, column: str) -> str:
    mended = _NO_T.sub("T", text.strip(), count=1)
    try:
        parsed = _ISO.isoparse(mended)
    except ValueError:
        raise RowRejectedError(Reason.NOT_A_TIME, column) from None
    if "T" not in mended:
        return parsed.replace(tzinfo=timezone.utc).isoformat()
    if parsed.tzinfo is None:
        return mended + "Z"
    if _HOURS_ONLY.search(mended):
        return mended + ":00"  # PostgreSQL writes +00, which few readers of ISO 8601 take
    return mended


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
