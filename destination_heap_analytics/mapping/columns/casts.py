"""Applies a cast such as `amount::number` to a value of a record.

Null stays null, and blank text becomes null: text files have no other way to express it. A list is cast item by item,
except to JSON, which accepts any value.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, Final

from destination_heap_analytics.config.casts import Cast, boolean_of, number_of
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.mapping.columns.column import ABSENT, json_inside
from destination_heap_analytics.mapping.values import joined_text, unicode_text
from destination_heap_analytics.protocol.numbers import (
    INTEGERS_LOSE_DIGITS,
    InexactNumberError,
    float_text,
    has_lost_digits,
)

_REASONS: Final = {
    Cast.NUMBER: Reason.NOT_A_NUMBER,
    Cast.TEXT: Reason.NOT_A_TEXT,
    Cast.BOOLEAN: Reason.NOT_A_BOOLEAN,
}


def converted(value: Any, cast: Cast, column: str, *, exact: bool) -> Any:
    """Cast a value; None and ABSENT are unchanged.

    Args:
        value: the value.
        cast: the type to convert it to.
        column: the name of its column, for errors.
        exact: whether the value comes from the exact reading (values.py).

    Raises:
        RowRejectedError: the value cannot be cast.
        InexactNumberError: only if not `exact`.
    """
    if value is None or value is ABSENT:
        return value
    if cast is Cast.JSON:
        return _json(value, column, exact=exact)
    if isinstance(value, list):
        return [_scalar(item, cast, column, exact=exact) for item in value if item is not None]
    return _scalar(value, cast, column, exact=exact)


def _scalar(value: Any, cast: Cast, column: str, *, exact: bool) -> Any:
    if value is None:
        return None
    if isinstance(value, (Mapping, list)):
        raise RowRejectedError(_REASONS[cast], column)
    if cast is Cast.TEXT:
        return joined_text(value, column, exact=exact)
    if isinstance(value, str) and not value.strip():
        return None
    number_or_boolean = _number(value, exact=exact) if cast is Cast.NUMBER else _boolean(value)
    if number_or_boolean is None:
        raise RowRejectedError(_REASONS[cast], column)
    return number_or_boolean


def _number(value: Any, *, exact: bool) -> int | float | None:
    if isinstance(value, str):
        return number_of(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int) and abs(value) < INTEGERS_LOSE_DIGITS:
        return value
    if not exact and has_lost_digits(value):
        raise InexactNumberError
    return number_of(float_text(value) if isinstance(value, float) else str(value))


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return bool(value) if value in {0, 1} else None
    return boolean_of(value) if isinstance(value, str) else None


def _json(value: Any, column: str, *, exact: bool) -> str | None:
    """The JSON of a value, without spaces; a text that contains an object or a list is kept: it is JSON already."""
    if isinstance(value, str):
        if not value.strip():
            return None
        if json_inside(value) is not None:
            return unicode_text(value.strip(), column)
    return json_text(value, column, exact=exact)


def json_text(value: Any, column: str, *, exact: bool) -> str:
    """The JSON of a value, without spaces, with keys in their original order and numbers as written.

    Raises:
        RowRejectedError: JSON cannot represent the value.
        InexactNumberError: only if not `exact`.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return encode_basestring(unicode_text(value, column))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not exact:
            raise InexactNumberError
        if not isfinite(value):
            raise RowRejectedError(Reason.NOT_FINITE, column)
        return float_text(value)
    if isinstance(value, Mapping):
        members = (
            f"{encode_basestring(unicode_text(str(key), column))}:{json_text(inner, column, exact=exact)}"
            for key, inner in value.items()
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join([json_text(item, column, exact=exact) for item in value]) + "]"
    raise RowRejectedError(Reason.NOT_JSON, column)
