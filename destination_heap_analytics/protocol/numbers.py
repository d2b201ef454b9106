"""Numbers as a line wrote them: which floats lose digits, and the text that a float was read from."""

from __future__ import annotations

from typing import Any, Final

_INTEGERS_LOSE_DIGITS: Final = 2.0**63


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


def has_lost_digits(value: Any) -> bool:
    """Whether a value of the fast reading may be an integer whose last digits are gone."""
    return isinstance(value, float) and abs(value) >= _INTEGERS_LOSE_DIGITS
