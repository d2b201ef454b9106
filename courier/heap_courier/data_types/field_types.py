"""The types that a field of a feed can have, and what they are in Arrow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DIGITS: Final = 38  # of a Decimal: https://docs.amperity.com/reference/feeds.html


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
    """A type; `precision` and `scale` count digits and matter for a Decimal alone.

    A Datetime is an instant to the microsecond, in UTC, written without a zone. A String also holds what has no type of
    its own here (lists, maps, records), as JSON.
    """

    kind: Kind
    precision: int = MOST_DIGITS
    scale: int = 0

    def __str__(self) -> str:
        return f"Decimal({self.precision}, {self.scale})" if self.kind is Kind.DECIMAL else self.kind.value

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that a conformed column has."""
        import pyarrow as pa  # noqa: PLC0415  (commands that only look do without it)

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
    """An instant as a Datetime has it: with a zone each engine would take it for one of its own."""
    return instant.astimezone(timezone.utc).replace(tzinfo=None) if instant.tzinfo else instant


def parse_type(text: str) -> FieldType:
    """Reads a type as a feed file writes it: `Integer`, `Decimal(38, 2)`; the case does not matter.

    Raises:
        ValueError: with the types that there are.
    """
    if match := _DECIMAL.fullmatch(text.strip()):
        precision = int(match[1] or MOST_DIGITS)
        scale = int(match[2] or 0)
        if not (1 <= precision <= MOST_DIGITS and scale <= precision and scale < MOST_DIGITS):
            raise ValueError("a Decimal has 1 to 38 digits, of which 0 to 37 behind the point")
        return FieldType(Kind.DECIMAL, precision, scale)
    for kind in Kind:
        if kind.value.lower() == text.strip().lower():
            return FieldType(kind)
    raise ValueError(f"there is no type `{text}`; the types are {', '.join(kind.value for kind in Kind)}")
