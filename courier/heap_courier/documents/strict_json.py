"""Strict JSON for files that people write: errors name line and column; anything ambiguous is an error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from heap_courier.documents.wording import did_you_mean, nearest
from heap_courier.errors import SetupError

_TOKEN: Final = re.compile(r'("(?:[^"\\]|\\.)*"?)(\s*:)?|[{}]')
_TRAILING_COMMA: Final = re.compile(r",\s*([}\]])")
_REASONS: Final = (
    ("Invalid \\", "unknown escape sequence: write a backslash as `\\\\`"),
    ("Unterminated string", "the string that starts here has no closing quote"),
    ("Invalid control character", "a string cannot contain a line break or a tab: write `\\n` or `\\t`"),
    ("Expecting ',' delimiter", "a comma is missing before this"),
    ("Expecting ':' delimiter", "a colon is missing between a key and its value"),
    ("Expecting property name", "a key in double quotes is expected here"),
    ("Expecting value", "a value is expected here; text needs double quotes"),
    ("Extra data", "the document ends before this: remove what follows"),
)


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    A key that an object has twice is an error: a common reader would silently keep the last one.

    Raises:
        SetupError: the file is missing or not strict JSON, with line, column and reason.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise SetupError(f"`{path}` cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise SetupError(f"`{path}` is not valid UTF-8: save it as UTF-8.") from None
    return parse_json(text, path)


def parse_json(text: str, path: Path) -> Any:
    """The document of a JSON file, or of one that is about to be written. Raises what `read_json` raises."""
    if not text.strip():
        raise SetupError(f"`{path}` is empty: write at least `[]` or `{{}}`.")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as fault:
        raise _wrong(path, text, *_explained(text, fault)) from None
    except (ValueError, RecursionError) as fault:
        raise SetupError(f"`{path}` is not valid JSON: {fault}.") from None
    _refuse_duplicates(path, text)
    return document


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"`{name}` is not valid JSON")


def _explained(text: str, fault: json.JSONDecodeError) -> tuple[int, str]:
    """Position and reason of a syntax error, in our words: Python's differ between versions."""
    comma = len(text[: fault.pos].rstrip()) - 1
    for start in (comma, fault.pos):
        if start >= 0 and (trailing := _TRAILING_COMMA.match(text, start)):
            return start, f"there is a comma before the closing `{trailing[1]}`: remove it"
    return fault.pos, next((reason for begin, reason in _REASONS if fault.msg.startswith(begin)), fault.msg)


def _refuse_duplicates(path: Path, text: str) -> None:
    """Scans the tokens of valid JSON."""
    objects: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token[0] == "{":
            objects.append(set())
        elif token[0] == "}":
            objects.pop()
        elif token[2]:
            key = json.loads(token[1])
            if key in objects[-1]:
                raise _wrong(path, text, token.start(), f"the key `{key}` occurs twice in one object: remove one")
            objects[-1].add(key)


def _wrong(path: Path, text: str, position: int, reason: str) -> SetupError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return SetupError(f"`{path}`, line {line}, column {column}: {reason}.")


class JsonObject:
    """An object of a document. Its keys are read one by one; `end` refuses the ones that were not read.

    Every method raises SetupError, in a sentence that begins with `where`.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise SetupError(f"{where}: expected an object in braces.")
        self.where = where
        self._left: dict[str, Any] = dict(value)
        self._known: list[str] = []

    def text(self, key: str, default: str | None = None) -> str:
        """A non-empty string; required unless there is a default."""
        value = self.take(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(f"`{key}` must be a non-empty string")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """`true` or `false`."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(f"`{key}` must be true or false, without quotes")
        return value

    def take(self, key: str, default: Any = None) -> Any:
        """A value of any type; required if the default is None."""
        self._known.append(key)
        if key not in self._left and default is None:
            stray = nearest(key, self._left, sure=True)
            raise self.wrong(f"`{key}` is missing" + (f": rename `{stray}`" if stray else ""))
        return self._left.pop(key, default)

    def has(self, key: str) -> bool:
        """Whether the key exists and has not been read yet."""
        self._known.append(key)
        return key in self._left

    def end(self) -> None:
        """Refuses keys that were not read."""
        for key in self._left:
            raise self.wrong(f"there is no key `{key}` here{did_you_mean(key, self._known) or ': remove it'}")

    def wrong(self, reason: str) -> SetupError:
        """An error about this object."""
        return SetupError(f"{self.where}: {reason}.")
