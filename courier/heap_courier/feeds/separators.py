"""Detects the separator of a delimited sample from its first rows."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from heap_courier.formats.file_format import SEPARATORS, FileFormat

_EXAMINED: Final = 65_536  # bytes
_CANDIDATES: Final = (";", "|", "\t", ",")


def with_separator(path: Path, file_format: FileFormat) -> FileFormat:
    """The format, with another separator if only that one fits the first rows.

    A separator fits if all rows have the same number of columns, and more than one.
    """
    own = SEPARATORS.get(file_format.content_type)
    if own is None or file_format.separator is not None:
        return file_format
    lines = _first_lines(path, file_format.encoding or "utf-8-sig")
    fitting = [each for each in (own, *_CANDIDATES) if _fits(lines, each, file_format)]
    return replace(file_format, separator=fitting[0]) if fitting and fitting[0] != own else file_format


def _first_lines(path: Path, encoding: str) -> Sequence[str]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as stream:
            head = stream.read(_EXAMINED)
    except (OSError, EOFError, zlib.error):
        return ()  # reading the sample reports the error
    # Only line feeds and carriage returns end a line of a file; str.splitlines() also breaks at a form feed or U+2028.
    lines = list(io.StringIO(head.decode(encoding, errors="replace"), newline=""))
    return lines[:-1] if len(head) == _EXAMINED else lines


def _fits(lines: Sequence[str], separator: str, file_format: FileFormat) -> bool:
    quote = '"' if file_format.quote is None else file_format.quote
    reader = csv.reader(
        lines,
        delimiter=separator,
        quotechar=quote or None,
        escapechar=file_format.escape,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    try:
        widths = [len(row) for row in reader if row]
    except csv.Error:
        return False
    return bool(widths) and widths[0] > 1 and len(set(widths)) == 1
