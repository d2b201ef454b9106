"""Reads Avro object container files: https://avro.apache.org/docs/1.12.0/specification/#object-container-files.

The courier frames the blocks itself (container.py), so that a file is never in memory as a whole and blocks can be
decoded in parallel. polars decodes flat records (flat_records.py), such as Heap's. fastavro decodes all others, and
those that polars cannot decode. Both return the same columns.
"""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, Final

import cramjam
import fastavro
import fastavro._read_py
import pyarrow as pa

from heap_courier.errors import UnreadableFileError
from heap_courier.formats.avro.codecs import CODECS, TooLargeError, plain_size
from heap_courier.formats.avro.container import Block, File, read_blocks, read_header
from heap_courier.formats.avro.flat_records import Fast, decode_fast, fast_reading, keep_ctrl_c
from heap_courier.formats.avro.values import UnfitValueError
from heap_courier.formats.chunk import CHUNK_BYTES, Chunk, Decoded
from heap_courier.formats.nesting import TOO_DEEP

_MOST_EMPTY_ROWS: Final = 1_000_000  # in a block, regardless of its size: rows with only nulls have no bytes
_MOST_ROWS: Final = 100_000  # in a chunk: nulls are small in the file, but not in memory
_read_recursive: Final = fastavro._read_py.schemaless_reader  # noqa: SLF001
"""fastavro's reader in Python, where recursion is limited: in C, data nested 20,000 deep is a segmentation fault."""


def schema(stream: BinaryIO, name: str) -> pa.Schema:
    """The columns of a file.

    Raises:
        UnreadableFileError: this is not an Avro file of records.
    """
    return pa.schema([column.type.field(column.name) for column in read_header(stream, name).records.columns])


def chunks(stream: BinaryIO, name: str) -> Iterator[Chunk]:
    """The rows of a file, in order; `name` is the name of the file in errors.

    Raises:
        UnreadableFileError: this is not an Avro file of records, or it is damaged or truncated. `decode` raises it too.
    """
    keep_ctrl_c()
    file = read_header(stream, name)
    fast = fast_reading(file.records)
    blocks: list[Block] = []
    size = rows = 0
    for block in read_blocks(stream, file):
        blocks.append(block)
        size += plain_size(file.codec, block.packed)
        rows += block.rows
        if size >= CHUNK_BYTES or rows >= _MOST_ROWS:
            yield Chunk(blocks[0].first_row, partial(_decode, file, fast, blocks))
            blocks, size, rows = [], 0, 0
    if blocks:
        yield Chunk(blocks[0].first_row, partial(_decode, file, fast, blocks))


def _decode(file: File, fast: Fast | None, blocks: list[Block]) -> Decoded:
    plain = [_unpacked(file, block) for block in blocks]
    try:
        batch = decode_fast(fast, file.records, blocks, plain) if fast else None
        return Decoded(_decoded(file, blocks, plain) if batch is None else batch)
    except UnfitValueError as error:
        reason = str(error)
    except RecursionError:
        reason = TOO_DEEP
    except (pa.ArrowException, ArithmeticError, TypeError, ValueError):
        reason = "contains a value that its schema does not allow (such as an int of more than 32 bits)"
    last = blocks[-1].first_row + blocks[-1].rows - 1
    raise UnreadableFileError(
        f"`{file.name}` {reason} in rows {blocks[0].first_row:,} to {last:,}; export the file again."
    )


def _unpacked(file: File, block: Block) -> Any:
    try:
        plain = CODECS[file.codec](block.packed)
    except TooLargeError as error:
        raise file.damaged(str(error), block.number, block.first_row - 1) from None
    except (cramjam.DecompressionError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error):
        raise file.damaged("is damaged", block.number, block.first_row - 1) from None
    if block.rows > max(len(plain), _MOST_EMPTY_ROWS):
        raise file.damaged("declares more rows than it contains", block.number, block.first_row - 1)
    return plain


def _decoded(file: File, blocks: list[Block], plain: list[Any]) -> pa.RecordBatch:
    """The rows, decoded by fastavro, with any schema."""
    records: list[Any] = []
    read = _read_recursive if file.records.is_recursive else fastavro.schemaless_reader
    for block, data in zip(blocks, plain, strict=True):
        stream = io.BytesIO(data)
        before = len(records)
        try:
            for _ in range(block.rows):
                records.append(read(stream, file.records.schema, None))  # noqa: PERF401
        except (RecursionError, UnfitValueError):
            raise
        except Exception:  # noqa: BLE001  (invalid bytes may make fastavro raise anything)
            raise file.damaged("is damaged", block.number, block.first_row - 1 + len(records) - before) from None
        if stream.tell() != len(data):
            raise file.damaged("is damaged", block.number, block.first_row - 1)
    arrays = []
    for column in file.records.columns:
        values = [record[column.name] for record in records]
        if make := column.type.value:
            values = [None if value is None else make(value) for value in values]
        arrays.append(pa.array(values, column.type.raw).cast(column.type.arrow))
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in file.records.columns])
