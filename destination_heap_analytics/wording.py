"""Text for people. Names come from sources and files, and may hold anything; a terminal and a log see only this.

Everything that is printed or logged passes through `printable`, once, at the end: the sentences of errors (errors.py),
messages and log lines (process/stdout.py), the preview's text. A sentence itself needs no escaping.
"""

from __future__ import annotations

import json
import re
from typing import Final

_NOT_PLAIN: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """The text on one line, with escapes as in JSON for each character that a terminal would obey, hide or garble.

    These are line ends and all other control characters (C0, DEL, C1), characters that reverse the direction of text or
    take no space, half surrogate pairs, and spaces that only look like one. Letters of all scripts stay as they are.
    """
    return _NOT_PLAIN.sub(_escaped, text)


def _escaped(character: re.Match[str]) -> str:
    return character[0] if character[0].isprintable() else json.dumps(character[0])[1:-1]
