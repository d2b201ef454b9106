"""Wording shared by messages: the nearest known name, lists of names, durations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from heap_courier.errors import SetupError

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


_SIMILAR: Final = 0.6  # of difflib's ratio, 1 for equal words
_VERY_SIMILAR: Final = 0.75


def nearest(word: str, known: Iterable[str], *, sure: bool = False) -> str | None:
    """The known word that was probably meant, preferring one that differs only in case; None if none is similar.

    Args:
        word: the word as written.
        known: the known words, in order of preference.
        sure: whether the result must be very similar: for words that may be correct, or many similar known words.
    """
    spelt: dict[str, str] = {}
    for other in known:
        spelt.setdefault(other.lower(), other)
    near = get_close_matches(word.lower(), spelt, n=1, cutoff=_VERY_SIMILAR if sure else _SIMILAR)
    return spelt[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known word as a suffix: " (did you mean `users`?)"; empty if none is similar."""
    near = nearest(word, known)
    return f" (did you mean `{near}`?)" if near else ""


def duration(seconds: float) -> str:
    """A duration as `5 minutes 12 seconds`: whole seconds, at least one, without zero units."""
    left = max(round(seconds), 1)
    parts = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts)


def size(count: int) -> str:
    """A number of bytes in a readable unit: `1.5 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if round(value, 1) < 1000:  # noqa: PLR2004  (the units are of thousands)
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def named(things: Mapping[str, Any], name: str, where: str, noun: str) -> Any:
    """Looks up a name.

    Raises:
        SetupError: the name is unknown; the message suggests the nearest one, or lists the known ones.
    """
    if name in things:
        return things[name]
    if near := nearest(name, things):
        remedy = f"Did you mean `{near}`?"
    elif things:
        remedy = f"Known names: {listed(things)}."
    else:
        remedy = f"No {noun} is defined."
    raise SetupError(f"{where}: there is no {noun} `{name}`. {remedy}")


def listed(names: Iterable[str]) -> str:
    """Names in backticks, separated by commas: `a`, `b`."""
    return ", ".join(f"`{name}`" for name in names)
