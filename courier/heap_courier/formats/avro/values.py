"""Avro values that need care before fastavro creates them: decimals, and what takes no bytes in a file.

fastavro lets a program say how values of a logical type are read, by the type and its name together:
https://fastavro.readthedocs.io/en/latest/logical_types.html#custom-logical-types.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, Final

from fastavro.read import LOGICAL_READERS

DECIMAL: Final = "heap-courier-decimal"
"""The logical type of decimals, with `precision` and `scale`: fastavro's own rounds one of too many digits."""

NOTHING: Final = "heap-courier-nothing"
"""The logical type of what takes no bytes, with a `budget`: a file of 20 bytes can announce a list of 2^60 of them."""

_MOST_OF_NOTHING: Final = 1_000_000


class UnfitValueError(Exception):
    """A value that its schema does not allow; the text ends a sentence that begins with the file's name."""


class Budget:
    """How many values that take no bytes a file may still have."""

    def __init__(self) -> None:
        self._left = _MOST_OF_NOTHING

    def spend(self) -> None:
        """Counts one more; threads may be off by a few.

        Raises:
            UnfitValueError: there were too many.
        """
        self._left -= 1
        if self._left < 0:
            raise UnfitValueError(f"has lists of more than {_MOST_OF_NOTHING:,} values that take no space")


def _decimal(data: Any, schema: Any, _: object) -> Decimal:
    precision, scale = schema["precision"], schema["scale"]
    size = len(data.lstrip(b"\xff" if data[:1] >= b"\x80" else b"\0"))
    if size <= precision:  # (a byte is more than two digits: others need no check)
        unscaled = int.from_bytes(data, "big", signed=True)
        if abs(unscaled) < 10**precision:
            return Decimal(unscaled).scaleb(-scale, Context(prec=precision))
    raise UnfitValueError("has a decimal with more digits than its schema says")


def _nothing(value: Any, schema: Any, _: object) -> Any:
    schema["budget"].spend()
    return value


LOGICAL_READERS.update({f"{kind}-{DECIMAL}": _decimal for kind in ("bytes", "fixed")})
LOGICAL_READERS.update({f"{kind}-{NOTHING}": _nothing for kind in ("null", "record", "error", "fixed")})
