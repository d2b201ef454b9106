"""Numbers as they are written in a line: lost digits, the text of a float, and the plain decimal form."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

INTEGERS_LOSE_DIGITS: Final = 2.0**53
"""From here on, several integers are parsed as the same float."""

_MOST_DIGITS: Final = 4000
"""Longer integers stay text, as which they would be sent anyway: Python refuses to parse slightly longer ones."""

_TOO_LARGE: Final = 10**_MOST_DIGITS

_LARGEST_EXPONENT: Final = 400
"""The most digits, roughly, of a plain decimal; every double has fewer."""


class InexactNumberError(Exception):
    """Digits of this number may have been lost, and here they matter: parse the line again, exactly."""


class WrittenFloat(float):
    """A float of the exact reading, with the text that it was written as."""

    __slots__ = ("text",)
    text: str


def written_float(text: str) -> WrittenFloat:
    """The float that is written as `text`."""
    number = WrittenFloat(text)
    number.text = text
    return number


def exact_integer(digits: str) -> int | str:
    """An integer; its digits as text if there are too many for Python."""
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def has_too_many_digits(number: int) -> bool:
    """Whether `exact_integer` would return such a number as text."""
    return abs(number) >= _TOO_LARGE


def has_lost_digits(value: Any) -> bool:
    """Whether a value of the fast reading may be an integer that lost its last digits."""
    return isinstance(value, float) and abs(value) >= INTEGERS_LOSE_DIGITS


def float_text(value: float) -> str:
    """The text that a float was written as, or the shortest text that parses to it."""
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
