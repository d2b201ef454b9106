"""The content types a courier can read, and how a file of each is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file is read; a gzipped file (`.gz`) has the format of its content.

    Attributes:
        content_type: one of CONTENT_TYPES.
        header_rows: 1, or 0 if the first line is data.
        separator, quote, escape: one character each; None: the default of the content type. An empty quote: the file
            has no quotes.
        encoding: the encoding of delimited text; None: UTF-8.
    """

    content_type: str
    header_rows: int = 1
    separator: str | None = None
    quote: str | None = None
    escape: str | None = None
    encoding: str | None = None


AVRO: Final = "application/avro"
PARQUET: Final = "application/x-parquet"
CONTENT_TYPES: Final = (
    "text/csv",
    "text/tab-separated-values",
    "text/pipe-separated-values",
    AVRO,
    PARQUET,
    "application/json",
    "application/x-ndjson",
    "application/x-json-stream",
)

SEPARATORS: Final[Mapping[str, str]] = {
    "text/csv": ",",
    "text/tab-separated-values": "\t",
    "text/pipe-separated-values": "|",
}
"""The default separators of delimited text, by content type."""

ENCODINGS: Final = ", such as utf-16, windows-1252 or iso-8859-1"
"""Examples for error messages."""


def is_character(text: object) -> bool:
    """Whether a value can be a separator, a quote or an escape character: one ASCII character."""
    return isinstance(text, str) and len(text) == 1 and text.isascii()


def is_encoding(name: object) -> bool:
    """Whether a value is the name of a text encoding."""
    try:
        return isinstance(name, str) and "a".encode(name).decode(name) == "a"
    except (LookupError, ValueError):
        return False
