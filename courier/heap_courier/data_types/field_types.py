"""The types of a feed's fields, and their Arrow types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DIGITS: Final = 38  # in a Decimal: https://docs.amperity.com/reference/feeds.html


class Kind(Enum):
    """The seven types of a feed: https://docs.amperity.com/reference/feeds.html."""

    BOOLEAN = "Boolean"
    DATE = "Date"
    DATETIME = "Datetime"
    DECIMAL = "Decimal"
    FLOAT = "Float"
    INTEGER = "Integer"
    STRING = "String"


@dataclass(frozen=True, slots=True)
class FieldType:
    """A type; `precision` and `scale` count digits and apply to Decimal only.

    A Datetime is a time in UTC with microseconds, stored without a zone. A String may also contain lists, maps and
    structs, as JSON.
    """

    kind: Kind
    precision: int = MOST_DIGITS
    scale: int = 0

    def __str__(self) -> str:
        return f"Decimal({self.precision}, {self.scale})" if self.kind is Kind.DECIMAL else self.kind.value

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of a column of this type."""
        import pyarrow as pa  # noqa: PLC0415  (commands that only list do not need it)

        if self.kind is Kind.DECIMAL:
            return pa.decimal128(self.precision, self.scale)
        return _arrow()[self.kind]


BOOLEAN: Final = FieldType(Kind.BOOLEAN)
DATE: Final = FieldType(Kind.DATE)
DATETIME: Final = FieldType(Kind.DATETIME)
FLOAT: Final = FieldType(Kind.FLOAT)
INTEGER: Final = FieldType(Kind.INTEGER)
STRING: Final = FieldType(Kind.STRING)


@cache
def _arrow() -> dict[Kind, pa.DataType]:
    import pyarrow as pa  # noqa: PLC0415  (as above)

    return {
        Kind.BOOLEAN: pa.bool_(),
        Kind.DATE: pa.date32(),
        Kind.DATETIME: pa.timestamp("us"),
        Kind.FLOAT: pa.float64(),
        Kind.INTEGER: pa.int64(),
        Kind.STRING: pa.string(),
    }


_DECIMAL: Final = re.compile(r"Decimal(?:\s*\(\s*([0-9]+)\s*(?:,\s*([0-9]+)\s*)?\))?", re.IGNORECASE)


def in_utc(instant: datetime) -> datetime:
    """A time as a Datetime stores it: in UTC, without a zone, because engines convert times with a zone."""
    return instant.astimezone(timezone.utc).replace(tzinfo=None) if instant.tzinfo else instant


def parse_type(text: str) -> FieldType:
    """Parses a type as written in a feed file: `Integer`, `Decimal(38, 2)`; case-insensitive.

    Raises:
        ValueError: unknown type; the message lists the types.
    """
    if match := _DECIMAL.fullmatch(text.strip()):
        precision = int(match[1] or MOST_DIGITS)
        scale = int(match[2] or 0)
        if not (1 <= precision <= MOST_DIGITS and scale <= precision and scale < MOST_DIGITS):
            raise ValueError("a Decimal has 1 to 38 digits, of which 0 to 37 are after the decimal point")
        return FieldType(Kind.DECIMAL, precision, scale)
    for kind in Kind:
        if kind.value.lower() == text.strip().lower():
            return FieldType(kind)
    raise ValueError(f"there is no type `{text}`; the types are {', '.join(kind.value for kind in Kind)}")
