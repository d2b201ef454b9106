"""Reads a file or standard input in blocks, decompresses it, and refuses it if it is not text."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.process.stdin import read_block

BLOCK: Final = 256 * 1024
STANDARD_INPUT: Final = "-"

_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = (
    (_GZIP, "compressed twice", "Decompress it once, as in `gunzip`."),
    (b"(\xb5/\xfd", "compressed with zstd", "Decompress it, as in `zstd -dc FILE | ... --rows -`."),
    (b"BZh", "compressed with bzip2", "Decompress it, as in `bunzip2 -c FILE | ... --rows -`."),
    (b"\xfd7zXZ", "compressed with xz", "Decompress it, as in `xz -dc FILE | ... --rows -`."),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Extract it, or save it as CSV UTF-8."),
    (b"PAR1", "a Parquet file", "Export it as CSV or NDJSON."),
    (b"Obj\x01", "an Avro file", "Export it as CSV or NDJSON."),
    (b"SQLite format 3", "a SQLite database", "Export a table of it as CSV."),
    (b"\xff\xfe", "UTF-16 text", "Re-export it as UTF-8, as in `iconv -f UTF-16 -t UTF-8 FILE | ... --rows -`."),
    (b"\xfe\xff", "UTF-16 text", "Re-export it as UTF-8, as in `iconv -f UTF-16 -t UTF-8 FILE | ... --rows -`."),
)
"""Unsupported files: their first bytes, the kind of file, and what to do."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def named(path: str) -> str:
    """The file's name in messages."""
    return "Standard input" if path == STANDARD_INPUT else f"`{path}`"


def read_blocks(path: str) -> Iterator[bytes]:
    """The content of a file, or of standard input for `-`, in blocks; gzip is decompressed.

    Raises:
        ConfigError: the file cannot be read, is damaged, or is of another kind.
    """
    try:
        if path == STANDARD_INPUT:
            if sys.stdin is None:
                raise ConfigError("Standard input is closed: pipe rows into the command.")
            yield from _decompressed(_StandardInput(sys.stdin.fileno()), path)
        else:
            with Path(path).open("rb") as file:
                yield from _decompressed(file, path)
    except OSError as failure:
        raise ConfigError(f"{named(path)} cannot be read: {failure.strerror or 'it is damaged'}.") from None


def _decompressed(file: _Readable, path: str) -> Iterator[bytes]:
    first = file.read(BLOCK)
    if not first.startswith(_GZIP):
        if path.endswith(".gz") and first:
            raise ConfigError(f"{named(path)} is not compressed with gzip, although its name ends with .gz. Rename it.")
        yield from _checked(_blocks(first, file), path)
        return
    try:
        with gzip.open(_Rejoined(first, file)) as content:  # type: ignore[call-overload]  # it only needs `read`
            yield from _checked(_blocks(b"", content), path)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ConfigError(
            f"{named(path)} is damaged: its gzip data is incomplete or wrong. Copy or export it again."
        ) from None


class _StandardInput:
    """A file descriptor as an object with `read`, which returns blocks as they arrive."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, _: int, /) -> bytes:
        return read_block(self._descriptor)


class _Rejoined:
    """A file whose first block has already been read, from its beginning."""

    def __init__(self, first: bytes, rest: _Readable) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        self._first = self._first or self._rest.read(BLOCK)  # from standard input, a block may be larger than requested
        block, self._first = self._first[:size], self._first[size:]
        return block


def _blocks(first: bytes, file: _Readable) -> Iterator[bytes]:
    if first:
        yield first
    while block := file.read(BLOCK):
        yield block


def _checked(blocks: Iterator[bytes], path: str) -> Iterator[bytes]:
    """The same blocks, after checking that the first one is text."""
    for number, block in enumerate(blocks):
        if number == 0:
            for beginning, kind, remedy in _OTHERS:
                if block.startswith(beginning):
                    raise ConfigError(f"{named(path)} is {kind}, not CSV, TSV, NDJSON or a JSON list. {remedy}")
            if b"\x00" in block:
                raise ConfigError(f"{named(path)} is not text: it contains null bytes. Export it as CSV in UTF-8.")
        yield block
