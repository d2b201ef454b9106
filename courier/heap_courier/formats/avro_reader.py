"""Avro object container files: https://avro.apache.org/docs/1.12.0/specification/#object-container-files.

The framing (header, blocks, sync markers, checksums) is read here, so that a file is never in memory as a whole and its
blocks can be decoded side by side. What is in the blocks is decoded by polars where the records are flat, which is how
Heap writes them, and by fastavro otherwise, or if polars reports an error; the columns are the same.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, BinaryIO, Final, NamedTuple

import cramjam
import fastavro
import fastavro._read_py
import polars as pl
import pyarrow as pa

from heap_courier.errors import UnreadableFileError
from heap_courier.formats.avro_schema import Records, read_schema
from heap_courier.formats.avro_values import UnfitValueError
from heap_courier.formats.chunk import CHUNK_BYTES, Chunk, Decoded
from heap_courier.formats.nesting import TOO_DEEP

_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16
_CHECKSUM_BYTES: Final = 4
_MORE: Final = 0x80  # set if the number continues in the next byte
_LONGEST_NUMBER: Final = 10
_PIECE: Final = 1 << 24  # read at once: a declared length may be false
_LARGEST_BLOCK: Final = 256_000_000  # bytes of a block, unpacked; writers make them of 16 kB to some MB
_MOST_ROWS_OF_NOTHING: Final = 1_000_000  # of a block, more than it has bytes: records of only nulls take none
_MOST_ROWS: Final = 100_000  # of a chunk: nulls take little room in the file, and more in memory
_PACKED: Final = 4  # how much smaller codecs make text, about

_PROBE: Final[Mapping[str, Any]] = {
    "boolean": True,
    "long": 0x5D3A_71E4_2B5A_17C3,
    "float": 13125000.0,
    "double": 130517578125.5,
    "bytes": bytes(range(200, 213)),
    "string": "no row's value",
}
"""What no row has: a row of this, put after the last one, is read back right only if all before it was."""


@cache
def _keep_ctrl_c() -> None:
    """Restore Python's SIGINT handler: polars installs one at its first use, which wakes no waiting thread.

    To be called before a file is read, in the thread that does so; later calls cost nothing.
    """
    handler = signal.getsignal(signal.SIGINT)
    pl.DataFrame({"": [0]}).write_avro(io.BytesIO())
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


class _Block(NamedTuple):
    """Rows as encoded in the file."""

    number: int  # in the file, from 1
    first_row: int
    rows: int
    packed: bytes


class _Fast(NamedTuple):
    """What polars is given beside the rows: a header with its schema, and one row more."""

    header: bytes
    probe: bytes
    probed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _File:
    """The contents of the header; errors call the file `name`; `fast` is None if polars cannot decode it."""

    name: str
    records: Records
    codec: str
    sync: bytes
    fast: _Fast | None

    def damaged(self, reason: str, block: int, rows_before: int) -> UnreadableFileError:
        """The error that says where the file goes wrong."""
        return UnreadableFileError(
            f"`{self.name}` {reason} in block {block}, after {rows_before:,} rows; fetch it again from its source."
        )


def schema(stream: BinaryIO, name: str) -> pa.Schema:
    """The columns of a file.

    Raises:
        UnreadableFileError: this is not an Avro file of records.
    """
    return pa.schema([column.type.field(column.name) for column in _header(stream, name).records.columns])


def chunks(stream: BinaryIO, name: str) -> Iterator[Chunk]:
    """The rows of a file, in order; `name` is what errors call it.

    Raises:
        UnreadableFileError: this is not an Avro file of records, or it is damaged or cut short; `decode` raises it too.
    """
    _keep_ctrl_c()
    file = _header(stream, name)
    blocks: list[_Block] = []
    size = rows = 0
    for block in _blocks(stream, file):
        blocks.append(block)
        size += _plain_size(file.codec, block.packed)
        rows += block.rows
        if size >= CHUNK_BYTES or rows >= _MOST_ROWS:
            yield Chunk(blocks[0].first_row, partial(_decode, file, blocks))
            blocks, size, rows = [], 0, 0
    if blocks:
        yield Chunk(blocks[0].first_row, partial(_decode, file, blocks))


# The framing


def _header(stream: BinaryIO, name: str) -> _File:
    def unreadable(reason: str) -> UnreadableFileError:
        return UnreadableFileError(f"`{name}` {reason}; check that it is the right file, or fetch it again.")

    magic = stream.read(len(_MAGIC))
    if magic != _MAGIC:
        raise unreadable(
            "is not an Avro file: it does not start with `Obj`" if magic else "is empty, so it is not an Avro file"
        )
    try:
        metadata = _metadata(stream)
        sync = _exactly(stream, _SYNC_BYTES)
    except (EOFError, OverflowError):
        raise unreadable("is cut short or damaged in its header") from None
    codec = metadata.get(b"avro.codec", b"null").decode(errors="replace")
    if codec not in _CODECS:
        raise unreadable(f"is compressed with `{codec}`; supported codecs are {', '.join(_CODECS)}")
    try:
        parsed = json.loads(metadata.get(b"avro.schema", b""))
    except ValueError:
        raise unreadable("has a schema that is not JSON") from None
    except RecursionError:
        raise unreadable("has a schema that is nested too deeply") from None
    try:
        records = read_schema(parsed)
    except ValueError as error:
        raise unreadable(str(error)) from None
    return _File(name, records, codec, sync, _fast(records))


def _metadata(stream: BinaryIO) -> Mapping[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while count := _number(stream):
        if count < 0:
            _number(stream)  # the size of what follows, for readers that skip it
        for _ in range(abs(count)):
            key = _exactly(stream, _number(stream))
            found[key] = _exactly(stream, _number(stream))
    return found


def _blocks(stream: BinaryIO, file: _File) -> Iterator[_Block]:
    rows_before = 0
    number = 1
    while first := stream.read(1):
        try:
            rows = _number(stream, first)
            packed = _exactly(stream, _number(stream))
            sync = _exactly(stream, _SYNC_BYTES)
        except EOFError:
            raise file.damaged("ends too early,", number, rows_before) from None
        except OverflowError:
            raise file.damaged("is damaged", number, rows_before) from None
        if sync != file.sync or rows < 0:
            raise file.damaged("is damaged", number, rows_before)
        if rows > _LARGEST_BLOCK:
            raise file.damaged("declares more rows than a block can hold", number, rows_before)
        if rows:
            yield _Block(number, rows_before + 1, rows, packed)
        rows_before += rows
        number += 1


def _number(stream: BinaryIO, byte: bytes = b"") -> int:
    """An int or long: seven bits a byte, the lowest first, the sign in the lowest bit; its first byte may be given."""
    number = 0
    for position in range(_LONGEST_NUMBER):
        byte = byte or stream.read(1)
        if not byte:
            raise EOFError
        number |= (byte[0] & ~_MORE) << 7 * position
        if byte[0] < _MORE:
            return (number >> 1) ^ -(number & 1)
        byte = b""
    raise OverflowError


def _as_number(number: int) -> bytes:
    """A long that is not negative, as Avro writes it."""
    written = bytearray()
    number <<= 1
    while number >= _MORE:
        written.append(number & ~_MORE & 0xFF | _MORE)
        number >>= 7
    return bytes([*written, number])


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes; a size that the file does not have is not allocated."""
    pieces: list[bytes] = []
    left = size
    while left > 0 and (piece := stream.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise EOFError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


# The codecs


class _TooLargeError(Exception):
    """A block decompresses to more than any writer puts into one."""


def _unsnapped(packed: bytes) -> Any:
    if cramjam.snappy.decompress_raw_len(packed[:-_CHECKSUM_BYTES]) > _LARGEST_BLOCK:
        raise _TooLargeError
    plain = cramjam.snappy.decompress_raw(packed[:-_CHECKSUM_BYTES])
    if zlib.crc32(plain).to_bytes(_CHECKSUM_BYTES, "big") != packed[-_CHECKSUM_BYTES:]:
        raise cramjam.DecompressionError("checksum mismatch")
    return plain


def _inflated(packed: bytes) -> Any:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = unpacker.decompress(packed, _LARGEST_BLOCK + 1)
    if len(plain) > _LARGEST_BLOCK:
        raise _TooLargeError
    if not unpacker.eof:
        raise EOFError
    return plain


def _unpacked_by(make: Callable[[], Any], packed: bytes) -> Any:
    unpacker = make()
    plain = unpacker.decompress(packed, _LARGEST_BLOCK + 1)
    if len(plain) > _LARGEST_BLOCK:
        raise _TooLargeError
    if not unpacker.eof:
        raise EOFError
    return plain


def _unpacked_by_arrow(packed: bytes) -> Any:
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        plain = stream.read(_LARGEST_BLOCK + 1)
    if len(plain) > _LARGEST_BLOCK:
        raise _TooLargeError
    return plain


def _as_it_is(packed: bytes) -> Any:
    return packed


_CODECS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "null": _as_it_is,
    "deflate": _inflated,
    "snappy": _unsnapped,
    "zstandard": _unpacked_by_arrow,
    "bzip2": partial(_unpacked_by, bz2.BZ2Decompressor),
    "xz": partial(_unpacked_by, lzma.LZMADecompressor),
}


def _plain_size(codec: str, packed: bytes) -> int:
    """The approximate size in bytes; Snappy writes it at the beginning."""
    if codec == "snappy":
        try:
            return int(cramjam.snappy.decompress_raw_len(packed))
        except cramjam.DecompressionError:
            return len(packed)
    return len(packed) if codec == "null" else _PACKED * len(packed)


# What is in the blocks


_read_recursive: Final = fastavro._read_py.schemaless_reader  # noqa: SLF001
"""The same in Python, whose recursion has a limit: data nested 20,000 deep is a segmentation fault in C."""


def _decode(file: _File, blocks: list[_Block]) -> Decoded:
    plain = [_unpacked(file, block) for block in blocks]
    try:
        batch = _decoded_fast(file.fast, file.records, blocks, plain) if file.fast else None
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


def _unpacked(file: _File, block: _Block) -> Any:
    try:
        plain = _CODECS[file.codec](block.packed)
    except _TooLargeError:
        reason = f"unpacks to more than {_LARGEST_BLOCK:,} bytes"
        raise file.damaged(reason, block.number, block.first_row - 1) from None
    except (cramjam.DecompressionError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error):
        raise file.damaged("is damaged", block.number, block.first_row - 1) from None
    if block.rows > max(len(plain), _MOST_ROWS_OF_NOTHING):
        raise file.damaged("declares more rows than it holds", block.number, block.first_row - 1)
    return plain


def _fast(records: Records) -> _Fast | None:
    """How polars decodes these records: columns by position, so that no name of the file can interfere."""
    plain = {f"{position}": column.type.plain for position, column in enumerate(records.columns)}
    fields = [{"name": name, "type": kind} for name, kind in plain.items() if kind != "null"]  # nulls take no bytes
    if not fields or None in plain.values():
        return None
    row = {"type": "record", "name": "row", "fields": fields}
    probed = {
        field["name"]: _PROBE[next(kind for kind in _branches(field["type"]) if kind != "null")] for field in fields
    }
    probe = io.BytesIO()
    fastavro.schemaless_writer(probe, row, probed)
    text = json.dumps(row).encode()
    entry = _as_number(len(b"avro.schema")) + b"avro.schema" + _as_number(len(text)) + text
    return _Fast(_MAGIC + _as_number(1) + entry + _as_number(0) + bytes(_SYNC_BYTES), probe.getvalue(), probed)


def _branches(kind: str | list[str]) -> list[str]:
    return kind if isinstance(kind, list) else [kind]


def _decoded_fast(fast: _Fast, records: Records, blocks: list[_Block], plain: list[Any]) -> pa.RecordBatch | None:
    """The rows by polars; None if it reports an error, or reads the probe as something else."""
    rows = sum(block.rows for block in blocks)
    size = sum(map(len, plain))
    if rows > size:  # each row takes at least a byte, and polars allocates as many as declared
        return None
    data = b"".join(
        [fast.header, _as_number(rows + 1), _as_number(size + len(fast.probe)), *plain, fast.probe, bytes(_SYNC_BYTES)]
    )
    try:
        table = pl.read_avro(io.BytesIO(data)).to_arrow(compat_level=pl.CompatLevel.oldest())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if len(table) != rows + 1 or table.slice(rows).to_pylist() != [fast.probed]:
        return None
    columns = {name: table.column(name).slice(0, rows).combine_chunks() for name in fast.probed}
    return pa.RecordBatch.from_arrays(
        [
            columns[f"{position}"].cast(column.type.raw).cast(column.type.arrow)
            if f"{position}" in columns
            else pa.nulls(rows)
            for position, column in enumerate(records.columns)
        ],
        names=[column.name for column in records.columns],
    )


def _decoded(file: _File, blocks: list[_Block], plain: list[Any]) -> pa.RecordBatch:
    """The rows by fastavro: any schema, up to the first invalid row."""
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
        except Exception:  # noqa: BLE001  (invalid bytes make it raise anything)
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
