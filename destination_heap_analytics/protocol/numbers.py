"""Numbers as a line wrote them: which floats lose digits, the text of a float, and the plain decimal form."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

INTEGERS_LOSE_DIGITS: Final = 2.0**53
"""From here on several integers are read as the same float."""

_MOST_DIGITS: Final = 4000
"""Python refuses to read integers not much longer than this; they stay text, as they would be sent."""

_TOO_LARGE: Final = 10**_MOST_DIGITS

_LARGEST_EXPONENT: Final = 400
"""A plain decimal has at most about this many digits; every double has fewer."""


class InexactNumberError(Exception):
    """Digits of this number may have been lost, and here they matter: read the line again, exactly."""


class WrittenFloat(float):
    """A float of the exact reading, which remembers how the line wrote it."""

    __slots__ = ("text",)
    text: str


def written_float(text: str) -> WrittenFloat:
    """The float that a line writes as `text`."""
    number = WrittenFloat(text)
    number.text = text
    return number


def exact_integer(digits: str) -> int | str:
    """The integer that a line writes; its digits if there are too many of them for Python."""
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def has_too_many_digits(number: int) -> bool:
    """Whether `exact_integer` leaves a number of this size as text."""
    return abs(number) >= _TOO_LARGE


def has_lost_digits(value: Any) -> bool:
    """Whether a value of the fast reading may be an integer whose last digits are gone."""
    return isinstance(value, float) and abs(value) >= INTEGERS_LOSE_DIGITS


def float_text(value: float) -> str:
    """A float as the line wrote it, or the shortest text that reads back as it."""
    return value.text if isinstance(value, WrittenFloat) else repr(value)


def plain_decimal(text: str) -> str | None:
    """A number without exponent and without insignificant zeros: `7E+3`, `7000.0` and `7000` are all `7000`.

    None if it is not a finite number, or its exponent is out of range.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    if not number:
        return "0"
    if abs(number.adjusted()) > _LARGEST_EXPONENT:
        return None
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
