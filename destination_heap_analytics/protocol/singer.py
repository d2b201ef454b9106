"""Recognises Singer messages. Their types have the same names as Airbyte's, so otherwise each row would be rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RECORD: Final = '{"type": "RECORD", "record": {"stream": "NAME", "data": {...}, "emitted_at": 0}}'
"""A row as an Airbyte message."""

SINGER: Final = (
    "is a Singer message, not an Airbyte message. Use an Airbyte source in place of the Singer tap, or make each row a "
    f"message: `{RECORD}`."
)
TYPES: Final = frozenset({"RECORD", "SCHEMA", "STATE"})


def is_singer(message: Mapping[str, Any]) -> bool:
    """Whether a message of one of these types has Singer's structure."""
    kind = message.get("type")
    if kind == "RECORD":
        return "stream" in message and isinstance(message.get("record"), dict)
    if kind == "SCHEMA":
        return "stream" in message and "schema" in message
    return kind == "STATE" and "state" not in message and "value" in message
