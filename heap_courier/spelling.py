"""What a misspelt word most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known word, for the end of a clause: " (did you mean `users`?)"; empty where none is near."""
    spelt = {other.lower(): other for other in known}
    nearest = get_close_matches(word.lower(), spelt, n=1, cutoff=0.5)
    return f" (did you mean `{spelt[nearest[0]]}`?)" if nearest else ""
