"""Files to Arrow batches, whatever their format."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow as pa

from heap_courier import avro
from heap_courier.chunk import Chunk, Decoded
from heap_courier.entities import FileFormat
from heap_courier.errors import SetupError, UnreadableFileError

__all__ = ["Chunk", "Decoded", "chunks", "schema"]

_AVRO: Final = "application/avro"
_READ_AT_ONCE: Final = 1 << 20


def schema(path: Path, file_format: FileFormat, name: str) -> pa.Schema:
    """The columns of a file: its own, or those of its first rows.

    Args:
        path: of the file; one that ends in `.gz` is unpacked on the way.
        file_format: what the entities list says of it.
        name: what errors call it.

    Raises:
        SetupError: files of this content type cannot be read.
        UnreadableFileError: the file is not what its content type says, or is cut short.
    """
    with _opened(path, name) as stream:
        if file_format.content_type == _AVRO:
            return avro.schema(stream, name)
        raise _not_supported(file_format)


def chunks(path: Path, file_format: FileFormat, name: str) -> Iterator[Chunk]:
    """The rows of a file, in order and in parts of a few MB; arguments and errors as of `schema`."""
    with _opened(path, name) as stream:
        if file_format.content_type == _AVRO:
            yield from avro.chunks(stream, name)
        else:
            raise _not_supported(file_format)


def _not_supported(file_format: FileFormat) -> SetupError:
    return SetupError(f"Files of content type `{file_format.content_type}` cannot be read.")


@contextmanager
def _opened(path: Path, name: str) -> Iterator[BinaryIO]:
    with path.open("rb", _READ_AT_ONCE) as stream:
        if path.suffix.lower() != ".gz":
            yield stream
            return
        try:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast("BinaryIO", io.BufferedReader(unpacked, _READ_AT_ONCE))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise UnreadableFileError(
                f"`{name}` is no gzip file, or is damaged or cut short; bring it anew from its source."
            ) from None
