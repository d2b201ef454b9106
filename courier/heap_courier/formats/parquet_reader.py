"""Reads Parquet files, part of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from heap_courier.errors import UnreadableFileError
from heap_courier.formats.chunk import CHUNK_BYTES, Chunk, Decoded

_MOST_ROWS: Final = 100_000
_MOST_MILLISECONDS: Final = 2**63 // 1000  # the most that 64-bit microseconds can represent


def schema(stream: BinaryIO, name: str) -> pa.Schema:
    """The columns of a file. Raises what `chunks` raises."""
    with _reported(name), _opened(stream, "us") as file:
        return file.schema_arrow.remove_metadata()


def chunks(stream: BinaryIO, name: str) -> Iterator[Chunk]:
    """The rows of a file, in order; Arrow decodes their columns in parallel.

    Raises:
        UnreadableFileError: it is not a Parquet file, or it is damaged, truncated, or contains text that is not UTF-8.
    """
    first_row = 1
    with _reported(name), _opened(stream, "us") as file:
        int96 = _int96_columns(file)
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            rows = max(1, min(_MOST_ROWS, CHUNK_BYTES * about.num_rows // max(1, about.total_byte_size)))
            for batch in _batches(stream, file, group, rows, int96):
                for column in batch.columns:  # no later step checks that text is UTF-8
                    column.validate(full=not pa.types.is_time(column.type))  # (casts.py rejects times such as 24:00)
                yield _chunk(first_row, batch)
                first_row += batch.num_rows


def _opened(stream: BinaryIO, int96_unit: str) -> pa.parquet.ParquetFile:
    return pa.parquet.ParquetFile(stream, page_checksum_verification=True, coerce_int96_timestamp_unit=int96_unit)


def _int96_columns(file: pa.parquet.ParquetFile) -> list[str]:
    """The INT96 columns, the old timestamp of Spark and Impala: a day, of millions of years, and its nanoseconds."""
    columns = (file.schema.column(position) for position in range(len(file.schema)))
    return [column.path for column in columns if column.physical_type == "INT96" and "." not in column.path]


def _batches(
    stream: BinaryIO, file: pa.parquet.ParquetFile, group: int, rows: int, int96: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(rows, row_groups=[group])
    if not int96:
        yield from batches
        return
    # The microseconds of an INT96 wrap around beyond the year 294247; its milliseconds never do.
    coarse = _opened(stream, "ms").iter_batches(rows, row_groups=[group], columns=list(int96))
    for batch, check in zip(batches, coarse, strict=True):
        yield _without_wrapped(batch, check)


def _without_wrapped(batch: pa.RecordBatch, coarse: pa.RecordBatch) -> pa.RecordBatch:
    """Replaces instants that wrapped around by one beyond the year 9999, which later rejects the row."""
    for name in coarse.schema.names:
        milliseconds = coarse.column(name).view(pa.int64())
        wrapped = pc.or_(pc.greater(milliseconds, _MOST_MILLISECONDS), pc.less(milliseconds, -_MOST_MILLISECONDS))
        if pc.any(wrapped).as_py():
            position = batch.schema.get_field_index(name)
            exact = batch.column(position)
            beyond = pa.scalar(_MOST_MILLISECONDS * 1000, pa.int64()).cast(exact.type)
            batch = batch.set_column(position, batch.schema.field(position), pc.if_else(wrapped, beyond, exact))
    return batch


def _chunk(first_row: int, batch: pa.RecordBatch) -> Chunk:
    decoded = Decoded(batch.replace_schema_metadata())
    return Chunk(first_row, lambda: decoded)


@contextmanager
def _reported(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last for a column's name
        if "too deeply nested" in str(error):
            raise UnreadableFileError(f"`{name}` is nested too deeply; export it with flatter columns.") from None
        raise UnreadableFileError(
            f"`{name}` is not a Parquet file, or is damaged, truncated, or contains text that is not UTF-8; export it "
            "again."
        ) from None
