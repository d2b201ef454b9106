"""Heap's documented rules for values: text, times and properties. Pure functions.

https://developers.heap.io/reference/track-1 and https://developers.heap.io/reference/add-user-properties; what they
leave open, the sandbox refuses.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

import orjson
from dateutil.parser import isoparser

TEXT_MAXIMUM = 1023
"""Characters of a property's name and of its text: "fewer than 1024" (track-1, add-user-properties)."""
ARRAY_MAXIMUM = 1024
"""Characters of an array after joining (track-1); the rest is cut."""
NUMBER_MAXIMUM = 2**53 - 1
"""The largest user_id (track-1), and the largest integer that every JSON reader reads exactly."""

_USER_ID = re.compile(r"0|[1-9][0-9]{0,15}")
_TIME_SHAPE = re.compile(r"[0-9]{4}[0-9TWZ:.,+-]*")  # dateutil alone would accept blanks, signs and "_" in a year
_TIME = isoparser(sep="T")


class Refused(ValueError):  # noqa: N818  # a verdict, not a defect of the sandbox
    """A body breaks a rule: where, and which."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


def units(text: str) -> int:
    """The length in UTF-16 units, as JavaScript counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def instant(moment: datetime) -> str:
    """A moment as text in UTC, always of the same length, so that it sorts by time."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def required_text(element: dict[str, Any], where: str, field: str, maximum: int) -> str:
    """A required text as it was sent, neither blank nor too long."""
    text = element.get(field)
    if not isinstance(text, str):
        raise Refused(where + field, "must be a string" if field in element else "is required")
    if not text.strip():
        raise Refused(where + field, "is blank" if text else "is empty")
    if (length := units(text)) > maximum:
        raise Refused(where + field, f"has {length} characters; at most {maximum} are allowed")
    return text


def optional_text(element: dict[str, Any], where: str, field: str) -> str | None:
    """An optional text; null is not allowed."""
    text = element.get(field)
    if field in element and not isinstance(text, str):
        raise Refused(where + field, "must be a string")
    return text


def user_id(element: dict[str, Any], where: str) -> str | None:
    """Heap's own number of a user as a canonical decimal string, or None if it is missing (track-1)."""
    text = optional_text(element, where, "user_id")
    if text is not None and not (_USER_ID.fullmatch(text) and int(text) <= NUMBER_MAXIMUM):
        raise Refused(where + "user_id", f"must be a decimal string from 0 to {NUMBER_MAXIMUM}")
    return text


def time(element: dict[str, Any], where: str) -> str | None:
    """The timestamp in UTC, or None if it is missing; without an offset it is UTC."""
    text = optional_text(element, where, "timestamp")
    if text is None:
        return None
    try:
        moment = _TIME.isoparse(text if _TIME_SHAPE.fullmatch(text) else "")
        return instant(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    except (ValueError, OverflowError) as error:  # overflow: the offset makes it leave the years 1 to 9999
        raise Refused(where + "timestamp", "must be ISO 8601") from error


def properties(element: dict[str, Any], where: str, *, arrays: bool) -> dict[str, Any]:
    """The properties as Heap stores them; arrays, if allowed, become text."""
    sent = element.get("properties", {})
    if not isinstance(sent, dict):
        raise Refused(where + "properties", "must be an object")
    stored = {}
    for key, value in sent.items():
        joined = arrays and isinstance(value, list)
        flaw = _key_flaw(key) or (_items_flaw(value) if joined else _flaw(value))
        if flaw:
            raise Refused(f"{where}properties.{key[:100]}", flaw)
        stored[key] = _joined(value) if joined else value
    return stored


def _key_flaw(key: str) -> str | None:
    return None if 0 < units(key) <= TEXT_MAXIMUM else f"a name must have 1 to {TEXT_MAXIMUM} characters"


def _flaw(value: Any) -> str | None:
    if isinstance(value, str):
        length = units(value)
        return f"has {length} characters; at most {TEXT_MAXIMUM} are allowed" if length > TEXT_MAXIMUM else None
    return _scalar_flaw(value)


def _items_flaw(items: list[Any]) -> str | None:
    flaws = ((position, _scalar_flaw(item)) for position, item in enumerate(items))  # only the joined text is cut
    return next((f"item {position}: {flaw}" for position, flaw in flaws if flaw), None)


def _scalar_flaw(value: Any) -> str | None:
    if value is None:
        return "must not be null"
    if isinstance(value, (dict, list)):
        return f"must not be an {'object' if isinstance(value, dict) else 'array'}"
    if isinstance(value, int) and abs(value) > NUMBER_MAXIMUM:
        return f"is an integer beyond {NUMBER_MAXIMUM}, which some JSON readers round"
    return None


def _joined(items: list[Any]) -> str:
    """An array as one text, joined by two pipes and truncated (track-1), without half a surrogate pair."""
    text = "||".join(item if isinstance(item, str) else orjson.dumps(item).decode() for item in items)
    if units(text) <= ARRAY_MAXIMUM:
        return text
    return text.encode("utf-16-le")[: 2 * ARRAY_MAXIMUM].decode("utf-16-le", errors="ignore")
