"""Reads files of all supported formats into Arrow batches."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow as pa

from heap_courier.errors import SetupError, UnreadableFileError, failure_of_file
from heap_courier.formats import csv_reader as delimited
from heap_courier.formats import json_reader as json_files
from heap_courier.formats import parquet_reader as parquet
from heap_courier.formats.avro import reader as avro
from heap_courier.formats.chunk import Chunk, Decoded
from heap_courier.formats.file_format import AVRO, CONTENT_TYPES, PARQUET, SEPARATORS, FileFormat
from heap_courier.formats.gzipped import MOST_UNPACKED, Gzipped, TooLargeError, too_large

__all__ = ["Chunk", "Decoded", "chunks", "schema"]

_BUFFER_BYTES: Final = 1 << 20
_JSON: Final = ("application/json", "application/x-json-stream")
_LINES: Final = "application/x-ndjson"


def schema(path: Path, file_format: FileFormat, name: str, most: int = MOST_UNPACKED) -> pa.Schema:
    """The columns of a file: those that it declares (Avro, Parquet, the header of a CSV), or of its first rows (JSON).

    Args:
        path: the file; if its name ends in `.gz`, it is decompressed while it is read.
        file_format: its format.
        name: its name in errors.
        most: how many bytes a gzipped file may decompress to.

    Raises:
        SetupError: the content type is not supported.
        UnreadableFileError: the file does not match its content type, or is damaged or truncated.
    """
    content_type = file_format.content_type
    with failure_of_file(name), _opened(path, name, most) as stream:
        if content_type == AVRO:
            return avro.schema(stream, name)
        if content_type == PARQUET:
            return parquet.schema(stream, name)
        first = next(_chunks(stream, file_format, name), None)
        return first.decode().batch.schema if first else pa.schema([])


def chunks(path: Path, file_format: FileFormat, name: str, most: int = MOST_UNPACKED) -> Iterator[Chunk]:
    """The rows of a file, in order, in chunks of a few MB. Has the arguments of `schema`, and raises what it raises.

    Any other error, here or in `decode`, also becomes an UnreadableFileError.
    """
    with failure_of_file(name), _opened(path, name, most) as stream:
        for chunk in _chunks(stream, file_format, name):
            yield Chunk(chunk.first_row, partial(_decoded, chunk, name))


def _decoded(chunk: Chunk, name: str) -> Decoded:
    with failure_of_file(name):
        return chunk.decode()


def _chunks(stream: BinaryIO, file_format: FileFormat, name: str) -> Iterator[Chunk]:
    content_type = file_format.content_type
    if content_type == AVRO:
        return avro.chunks(stream, name)
    if content_type == PARQUET:
        return parquet.chunks(stream, name)
    if content_type in _JSON:
        return json_files.documents(stream, name)
    if content_type == _LINES:
        return json_files.lines(stream, name)
    if content_type in SEPARATORS:
        return delimited.chunks(stream, file_format, SEPARATORS[content_type], name)
    raise SetupError(
        f"`{name}`: files of content type `{content_type}` are not supported; "
        f"export the file as one of {', '.join(CONTENT_TYPES)}."
    )


@contextmanager
def _opened(path: Path, name: str, most: int) -> Iterator[BinaryIO]:
    if path.suffix.lower() != ".gz":
        with path.open("rb", _BUFFER_BYTES) as stream:
            yield stream
        return
    try:
        with Gzipped(path, most) as unpacked:
            yield cast("BinaryIO", io.BufferedReader(unpacked, _BUFFER_BYTES))
    except TooLargeError:
        raise too_large(name, most) from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UnreadableFileError(
            f"`{name}` is not a gzip file, or is damaged or truncated; export it again."
        ) from None
