"""Limits Avro values that fastavro would accept without limit: decimals, and values that have no bytes in a file.

fastavro allows custom logical types, registered under the type and the name of the logical type together:
https://fastavro.readthedocs.io/en/latest/logical_types.html#custom-logical-types.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, Final

from fastavro.read import LOGICAL_READERS

DECIMAL: Final = "heap-courier-decimal"
"""The logical type of decimals, with `precision` and `scale`: fastavro's own would round one with too many digits."""

EMPTY: Final = "heap-courier-empty"
"""The logical type of values without bytes, with a `budget`: a file of 20 bytes can declare a list of 2^60 of them."""

_MOST_EMPTY: Final = 1_000_000


class UnfitValueError(Exception):
    """A value that is not allowed; the text completes a sentence that starts with the file's name."""


class Budget:
    """How many more values without bytes a file may have."""

    def __init__(self) -> None:
        self._left = _MOST_EMPTY

    def spend(self) -> None:
        """Counts one value; with several threads, the count may be off by a few.

        Raises:
            UnfitValueError: the file has too many.
        """
        self._left -= 1
        if self._left < 0:
            raise UnfitValueError(f"has lists of more than {_MOST_EMPTY:,} values that take no space")


def _decimal(data: Any, schema: Any, _: object) -> Decimal:
    precision, scale = schema["precision"], schema["scale"]
    size = len(data.lstrip(b"\xff" if data[:1] >= b"\x80" else b"\0"))
    if size <= precision:  # a byte is more than two digits, so a value with more bytes has too many
        unscaled = int.from_bytes(data, "big", signed=True)
        if abs(unscaled) < 10**precision:
            return Decimal(unscaled).scaleb(-scale, Context(prec=precision))
    raise UnfitValueError("has a decimal with more digits than its schema allows")


def _empty(value: Any, schema: Any, _: object) -> Any:
    schema["budget"].spend()
    return value


LOGICAL_READERS.update({f"{kind}-{DECIMAL}": _decimal for kind in ("bytes", "fixed")})
LOGICAL_READERS.update({f"{kind}-{EMPTY}": _empty for kind in ("null", "record", "error", "fixed")})
