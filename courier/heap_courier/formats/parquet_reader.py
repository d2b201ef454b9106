"""Parquet files, a part of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet

from heap_courier.errors import UnreadableFileError
from heap_courier.formats.chunk import CHUNK_BYTES, Chunk, Decoded

_MOST_ROWS: Final = 100_000


def schema(stream: BinaryIO, name: str) -> pa.Schema:
    """The columns of a file; errors as of `chunks`."""
    with _told(name), pa.parquet.ParquetFile(stream) as file:
        return file.schema_arrow.remove_metadata()


def chunks(stream: BinaryIO, name: str) -> Iterator[Chunk]:
    """The rows of a file, in order; Arrow decodes their columns side by side.

    Raises:
        UnreadableFileError: it is no Parquet file, or it is damaged, cut short, or holds text that is not UTF-8.
    """
    first_row = 1
    with _told(name), pa.parquet.ParquetFile(stream) as file:
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            rows = max(1, min(_MOST_ROWS, CHUNK_BYTES * about.num_rows // max(1, about.total_byte_size)))
            for batch in file.iter_batches(rows, row_groups=[group]):
                batch.validate(full=True)  # nothing that comes later looks whether texts are UTF-8
                yield _chunk(first_row, batch)
                first_row += batch.num_rows


def _chunk(first_row: int, batch: pa.RecordBatch) -> Chunk:
    decoded = Decoded(batch.replace_schema_metadata())
    return Chunk(first_row, lambda: decoded)


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError):
        raise UnreadableFileError(
            f"`{name}` is no Parquet file, or is damaged, cut short, or holds text that is not UTF-8; "
            "bring it anew from its source."
        ) from None
