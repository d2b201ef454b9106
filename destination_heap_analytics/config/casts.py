"""Casts, as in `amount::number`: their names, and how each converts text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Final

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_EXACT_UP_TO: Final = 2**53
"""From here on, a double no longer represents every integer."""

_MOST_DIGITS: Final = 400
"""Longer texts are rejected: no double needs more digits."""


class Cast(Enum):
    """A type that a value is converted to; the enum's value is its name in a setting."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    JSON = "json"


_SYNONYMS: Final = {
    Cast.NUMBER: "numeric num int integer bigint smallint long float double real decimal int64 float64",
    Cast.TEXT: "string str varchar char",
    Cast.BOOLEAN: "bool",
    Cast.JSON: "jsonb object array list variant struct",
}
OTHER_NAMES: Final[Mapping[str, Cast]] = {name: cast for cast, names in _SYNONYMS.items() for name in names.split()}
"""Names of the same types in other systems, for hints."""

BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
"""Texts that represent a boolean, in lower case, as in PostgreSQL."""


def number_of(text: str) -> int | float | None:
    """Parse a number with a decimal point; None if the text is not a number, or a double cannot represent it.

    Beyond 2^53, the double must equal the number that is written; below, digits after the point may be rounded.
    """
    stripped = text.strip()
    if len(stripped) > _MOST_DIGITS or not _NUMBER.fullmatch(stripped):
        return None
    written = Decimal(stripped)
    number = float(stripped)
    if not isfinite(number) or (not number and written):
        return None
    if abs(number) >= _EXACT_UP_TO:
        return number if Decimal(repr(number)) == written else None
    return int(stripped) if _INTEGER.fullmatch(stripped) else number


def boolean_of(text: str) -> bool | None:
    """Parse a boolean; None if the text is not one."""
    return BOOLEANS.get(text.strip().lower())
