"""One value of a record -> the text or number that Heap takes in its place.

A line is read fast first, which gives a float for an integer beyond 64 bits and forgets how a float was written. Where
that matters InexactNumberError asks for the slow, exact reading of the same line; so does text that is not Unicode,
which the fast reader refuses and the exact one lets through. `exact` says which of the two a value comes from.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final

from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.heap_api import MAX_INTEGER
from destination_heap_analytics.protocol.numbers import InexactNumberError, WrittenFloat, has_lost_digits

Scalar = str | int | float

_WHOLE: Final = re.compile(r"(-?\d+)\.0+", re.ASCII)


def scalar(value: Any, column: str, *, exact: bool) -> Scalar:
    """A property's text, number or boolean.

    Raises:
        RowRejectedError: JSON cannot carry the value, or it is no scalar.
        InexactNumberError: only where not `exact`.
    """
    if isinstance(value, str):
        return unicode_text(value, column) if exact else value
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else str(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise RowRejectedError(Reason.NOT_FINITE, column)
        if not exact and has_lost_digits(value):
            raise InexactNumberError
        return float(value)
    raise RowRejectedError(Reason.NOT_JSON, column)


def name_text(value: Any, column: str, *, exact: bool) -> str:
    """The text of an identity, an account ID or an event's name; a number as the line wrote it, `12.0` as `12`.

    Raises:
        RowRejectedError: the value is neither a text nor a number.
        InexactNumberError: only where not `exact`.
    """
    if isinstance(value, str):
        return unicode_text(value, column) if exact else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RowRejectedError(Reason.NOT_TEXT_OR_NUMBER, column)
    if isinstance(value, int):
        return str(value)
    if not exact:
        raise InexactNumberError
    if not isfinite(value):
        raise RowRejectedError(Reason.NOT_FINITE, column)
    written = value.text if isinstance(value, WrittenFloat) else repr(value)
    whole = _WHOLE.fullmatch(written)
    return whole[1] if whole else written


def as_text(value: Scalar) -> str:
    """A property's value as Heap would write it inside a joined list."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def unicode_text(text: str, column: str | None) -> str:
    """The text itself.

    Raises:
        RowRejectedError: half a surrogate pair, or bytes that were no UTF-8, stand in it.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RowRejectedError(Reason.NOT_UNICODE, column) from None
    return text
