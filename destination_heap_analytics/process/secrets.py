"""Masks the secrets of a configuration in all output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

MASK: Final = "****"


class Secrets:
    """Texts that must not appear in a log line, a status or an error."""

    __slots__ = ("texts",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        # Longest first, so that a secret that contains another one is masked as a whole.
        self.texts = sorted({text for text in texts if text}, key=len, reverse=True)

    def masked(self, text: str) -> str:
        """The text with each secret in it replaced by `****`."""
        for secret in self.texts:
            text = text.replace(secret, MASK)
        return text


NO_SECRETS: Final = Secrets()


def find_secrets(config: Any, names: Iterable[str]) -> Secrets:
    """The values of all keys with one of these names, at any depth: a misplaced setting is secret too."""
    wanted = set(names)
    found: list[str] = []
    left = [config]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            members = (member for name, member in value.items() if name in wanted and isinstance(member, str | int))
            found += [str(member).strip() for member in members]
    return Secrets(found)
