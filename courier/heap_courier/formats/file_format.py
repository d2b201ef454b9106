"""The content types a courier can read, and how a file of each is parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file is read; `.gz` at the end of its name is no part of it.

    Attributes:
        content_type: one of CONTENT_TYPES.
        header_rows: 1, or 0 where the first line is data already.
        separator, quote, escape: one sign each, None: as the content type has it.
    """

    content_type: str
    header_rows: int = 1
    separator: str | None = None
    quote: str | None = None
    escape: str | None = None


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
