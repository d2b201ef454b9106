"""Makes text safe to print. Names come from sources and files, and may contain any characters.

Everything that is printed or logged passes through `printable` once, at the end: the messages of errors (errors.py),
messages and log lines (process/stdout.py), and the text of a preview. So messages are composed without escaping.
"""

from __future__ import annotations

import json
import re
from typing import Final

_NOT_PLAIN: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """The text on one line, with JSON escapes for characters that a terminal would interpret, hide or garble.

    These are line ends and all other control characters (C0, DEL, C1), characters that change the direction of text or
    have no width, half surrogate pairs, and spaces other than U+0020. Letters of all scripts are unchanged.
    """
    return _NOT_PLAIN.sub(_escaped, text)


def _escaped(character: re.Match[str]) -> str:
    return character[0] if character[0].isprintable() else json.dumps(character[0])[1:-1]
