"""The limit on nested values: deeper ones are refused before they exhaust memory, or the stack of a library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

MOST_LEVELS: Final = 250
"""The most lists and objects inside each other; orjson, which writes them as text, fails beyond 254."""

TOO_DEEP: Final = f"has a value nested more than {MOST_LEVELS} levels deep"
"""The reason why a file or a row is refused."""


def is_too_deep(value: Any) -> bool:
    """Whether a value is nested more than MOST_LEVELS deep."""
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [inner for outer in level for inner in _parts(outer) if isinstance(inner, (dict, list))]
    return bool(level)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
