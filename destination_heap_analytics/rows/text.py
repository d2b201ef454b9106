"""Decodes blocks of bytes as UTF-8, and splits the text into lines."""

from __future__ import annotations

import io
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from typing import Final

from destination_heap_analytics.errors import ConfigError

LONGEST_LINE: Final = 64 * 1024 * 1024
"""The most characters in a line."""


def decoded(blocks: Iterable[bytes], name: str) -> Iterator[str]:
    """The text of blocks, without a byte-order mark.

    Raises:
        ConfigError: the text is not UTF-8; the message has the line number.
    """
    decoder = getincrementaldecoder("utf-8-sig")()
    line = 1
    try:
        for block in blocks:
            text = decoder.decode(block)
            line += text.count("\n")
            yield text
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as wrong:
        line += bytes(wrong.object[: wrong.start]).count(b"\n")
        raise ConfigError(
            f"{name} is not valid UTF-8 in line {line:,}. Re-export it as UTF-8, or convert it, as in "
            "`iconv -f WINDOWS-1252 -t UTF-8 FILE | ... --rows -`."
        ) from None


def lines_of(texts: Iterable[str], name: str) -> Iterator[str]:
    """The lines of a text, each with its line end: a line feed, a carriage return, or both.

    Raises:
        ConfigError: a line is too long.
    """
    parts: list[str] = []
    length = count = 0
    for text in texts:
        parts.append(text)
        length += len(text)
        if "\n" not in text and "\r" not in text:
            if length > LONGEST_LINE:
                raise ConfigError(f"{name}, line {count + 1:,}: the line is longer than 64 million characters.")
            continue
        lines = io.StringIO("".join(parts), newline="").readlines()
        # The text after the last line end may be incomplete, and a carriage return may be followed by a line feed.
        rest = "" if lines[-1].endswith("\n") else lines.pop()
        parts, length = [rest], len(rest)
        count += len(lines)
        yield from lines
    yield from io.StringIO("".join(parts), newline="").readlines()
