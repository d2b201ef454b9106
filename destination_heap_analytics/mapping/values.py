"""Converts a value of a record to the text or number that Heap accepts.

There are two readings of a line. The fast one parses integers beyond 64 bits as floats, and does not keep how a float
was written. If that matters, InexactNumberError requests the slower, exact reading of the same line. Lines with invalid
Unicode, which the fast parser refuses, are also read exactly. `exact` tells which reading a value comes from.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.heap_api import MAX_INTEGER, MAX_PROPERTY
from destination_heap_analytics.protocol.numbers import (
    InexactNumberError,
    float_text,
    has_lost_digits,
    plain_decimal,
)

Scalar = str | int | float

SHORT: Final = MAX_PROPERTY // 2
"""A text of this many characters is always within a property's limit: a character has at most two UTF-16 units."""

_USER_ID: Final = re.compile("0|[1-9][0-9]{0,15}")


def scalar(value: Any, column: str, *, exact: bool) -> Scalar:
    """The text, number or boolean of a property.

    Raises:
        RowRejectedError: JSON cannot represent the value, or it is not a scalar.
        InexactNumberError: only if not `exact`.
    """
    if isinstance(value, str):
        return unicode_text(value, column) if exact else value
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else str(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise RowRejectedError(_reason(float_text(value)), column)
        if not has_lost_digits(value):
            return float(value)
        if not exact:
            raise InexactNumberError
        written = float_text(value)
        return float(value) if Decimal(written) == Decimal(repr(float(value))) else _plain(written, column)
    raise RowRejectedError(Reason.NOT_JSON, column)


def name_text(value: Any, column: str, *, exact: bool) -> str:
    """The text of an identity, an account ID or an event's name; a number in its plain decimal form.

    Raises:
        RowRejectedError: the value is neither text nor a number.
        InexactNumberError: only if not `exact`.
    """
    if isinstance(value, str):
        return unicode_text(value, column) if exact else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RowRejectedError(Reason.NOT_TEXT_OR_NUMBER, column)
    if isinstance(value, int):
        return str(value)
    return _float_as_text(value, column, exact=exact)


def user_id_text(value: Any, column: str, *, exact: bool) -> str:
    """Heap's own ID of a user as decimal digits (https://developers.heap.io/reference/track-1).

    Raises:
        RowRejectedError: the value is not a user ID.
        InexactNumberError: only if not `exact`.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise RowRejectedError(Reason.NOT_A_USER_ID, column)
    text = name_text(value, column, exact=exact)
    if not _USER_ID.fullmatch(text) or int(text) > MAX_INTEGER:
        raise RowRejectedError(Reason.NOT_A_USER_ID, column)
    return text


def joined_text(value: Any, column: str, *, exact: bool) -> str:
    """The text of an item in a joined list, as Heap would write it; a number in its plain decimal form.

    Raises:
        RowRejectedError: JSON cannot represent the value, or it is not a scalar.
        InexactNumberError: only if not `exact`.
    """
    if isinstance(value, float):
        return _float_as_text(value, column, exact=exact)
    return as_text(scalar(value, column, exact=exact))


def as_text(value: Scalar) -> str:
    """A value as Heap would write it in a joined list."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _float_as_text(value: float, column: str, *, exact: bool) -> str:
    if not exact:
        raise InexactNumberError
    return _plain(float_text(value), column)


def _reason(written: str) -> Reason:
    """The reason for which a float that is not finite is rejected: `1e999` is a number, `NaN` is not."""
    return Reason.EXPONENT if any(char.isdigit() for char in written) else Reason.NOT_FINITE


def _plain(written: str, column: str) -> str:
    """The plain decimal form of a number."""
    plain = plain_decimal(written)
    if plain is None:
        raise RowRejectedError(_reason(written), column)
    return plain


def unicode_text(text: str, column: str | None) -> str:
    """Check that a text is valid Unicode, and return it.

    Raises:
        RowRejectedError: it contains half a surrogate pair, or invalid UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RowRejectedError(Reason.NOT_UNICODE, column) from None
    return text
