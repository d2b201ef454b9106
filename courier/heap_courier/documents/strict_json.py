"""Strict JSON for files that people write: errors have line and column; anything ambiguous is an error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

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

    A duplicate key in an object is an error; most parsers would silently keep the last value.

    Raises:
        SetupError: the file is missing or not strict JSON; the message has line, column and reason.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise SetupError(f"`{path}` cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise SetupError(f"`{path}` is not valid UTF-8: save it as UTF-8.") from None
    return parse_json(text, path)


def parse_json(text: str, path: Path) -> Any:
    """Parses the text of a JSON file, which need not exist yet. Raises what `read_json` raises."""
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
    """The position and reason of a syntax error, in our own words, because Python's differ between versions."""
    comma = len(text[: fault.pos].rstrip()) - 1
    for start in (comma, fault.pos):
        if start >= 0 and (trailing := _TRAILING_COMMA.match(text, start)):
            return start, f"there is a comma before the closing `{trailing[1]}`: remove it"
    return fault.pos, next((reason for begin, reason in _REASONS if fault.msg.startswith(begin)), fault.msg)


def _refuse_duplicates(path: Path, text: str) -> None:
    """Scans the tokens of a text that is valid JSON."""
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
