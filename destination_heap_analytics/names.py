"""Matching and quoting names as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from unicodedata import category, normalize

_CUTOFF = 0.6
"""How similar a name must be to be suggested, from 0 to 1; the default of difflib."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
"""Unicode categories of invisible characters: controls, byte-order marks, zero-width characters, surrogates."""


@lru_cache(maxsize=10_000)
def normal(name: str) -> str:
    """A name without invisible differences: outer white space, kinds of spaces, invisible characters, NFC."""
    if name.isascii() and name.isprintable():
        return name.strip()
    visible = (
        " " if char.isspace() else char
        for char in normalize("NFC", name)
        if char.isspace() or category(char) not in _INVISIBLE
    )
    return "".join(visible).strip()


_LONGEST = 200
"""Longer names are not compared by similarity, whose cost is quadratic in the length."""


def bare(name: str) -> str:
    """A name in lower case, reduced to ASCII letters and digits."""
    return re.sub("[^a-z0-9]", "", name.lower())


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to a word; None if none is similar.

    A name that differs only in letter case is preferred, then one that differs only in punctuation.
    """
    others = [name for name in known if name != word]
    folded, plain = normal(word).casefold(), bare(word)
    for name in others:
        if normal(name).casefold() == folded:
            return name
    for name in others:
        if plain and bare(name) == plain:
            return name
    by_folded: dict[str, str] = {}
    for name in others:
        by_folded.setdefault(normal(name).casefold(), name)
    if len(folded) > _LONGEST:
        return None
    short = [name for name in by_folded if len(name) <= _LONGEST]
    similar = get_close_matches(folded, short, n=1, cutoff=_CUTOFF)
    return by_folded[similar[0]] if similar else None


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A suffix for a message: " (did you mean `users`?)"; empty if no known name is similar."""
    name = nearest(word, known)
    return f" (did you mean `{prefix}{name}`?)" if name is not None else ""


_NEEDS_QUOTES = re.compile(r"""^$|^["'*]|^\s|\s$|,|::|(?:^|\s)as(?:\s|$)|^except\s*\(""", re.IGNORECASE)
"""Matches names that a setting would misread without quotes."""


def quoted(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def quoted_if_needed(name: str) -> str:
    """A name as written in a setting: in double quotes if it would be misread without them."""
    return quoted(name) if _NEEDS_QUOTES.search(name) else name


def as_setting(name: str) -> str:
    """A column's name as written in a setting."""
    return quoted_if_needed(normal(name))
