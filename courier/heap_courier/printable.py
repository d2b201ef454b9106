"""Makes text from outside (names of columns, files, keys, tables) safe for terminals and logs."""

from __future__ import annotations

import re
from typing import Final

# C0, DEL and C1 control the terminal; line and paragraph separators and bidirectional controls make text look like
# something else; lone surrogates cannot be encoded.
_ACTIVE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""A text on one line, with `\n`, `\x1b` or `\u202e` in place of each control or invisible character."""
    return _ACTIVE.sub(_escaped, text)


def printable_json(text: str) -> str:
    """The same for a line of JSON, which stays equivalent."""
    return _ACTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\n":
        return "\\n"
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  (two hexadecimal digits)
