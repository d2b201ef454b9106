"""The framing of a file: header, blocks, sync markers. The content of blocks is not decoded here.

https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from heap_courier.errors import UnreadableFileError
from heap_courier.formats.avro.codecs import CODECS, LARGEST_BLOCK
from heap_courier.formats.avro.schema import Records, read_schema

MAGIC: Final = b"Obj\x01"
SYNC_BYTES: Final = 16
_MORE: Final = 0x80  # set if the number continues in the next byte
_LONGEST_NUMBER: Final = 10  # bytes
_PIECE: Final = 1 << 24  # the most that is allocated in one step, because a declared length may be wrong


class Block(NamedTuple):
    """A block of rows, still compressed."""

    number: int  # in the file, from 1
    first_row: int
    rows: int
    packed: bytes


@dataclass(frozen=True, slots=True)
class File:
    """A file's header; `name` is the name of the file in errors."""

    name: str
    records: Records
    codec: str
    sync: bytes

    def damaged(self, reason: str, block: int, rows_before: int) -> UnreadableFileError:
        """The error for a damaged block, with its position."""
        return UnreadableFileError(
            f"`{self.name}` {reason} in block {block}, after {rows_before:,} rows; export it again."
        )


def read_header(stream: BinaryIO, name: str) -> File:
    """Reads the header; `name` is the name of the file in errors.

    Raises:
        UnreadableFileError: this is not an Avro file of records.
    """

    def unreadable(reason: str) -> UnreadableFileError:
        return UnreadableFileError(f"`{name}` {reason}; check that it is the right file, or export it again.")

    magic = stream.read(len(MAGIC))
    if magic != MAGIC:
        raise unreadable(
            "is not an Avro file: it does not start with `Obj`" if magic else "is empty, so it is not an Avro file"
        )
    try:
        metadata = _metadata(stream)
        sync = _exactly(stream, SYNC_BYTES)
    except (EOFError, OverflowError):
        raise unreadable("is truncated or damaged in its header") from None
    codec = metadata.get(b"avro.codec", b"null").decode(errors="replace")
    if codec not in CODECS:
        raise unreadable(f"is compressed with `{codec}`; supported codecs are {', '.join(CODECS)}")
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
    return File(name, records, codec, sync)


def read_blocks(stream: BinaryIO, file: File) -> Iterator[Block]:
    """Reads the blocks that have rows, without decompressing them.

    Raises:
        UnreadableFileError: the file is damaged or truncated.
    """
    rows_before = 0
    number = 1
    while first := stream.read(1):
        try:
            rows = _number(stream, first)
            packed = _exactly(stream, _number(stream))
            sync = _exactly(stream, SYNC_BYTES)
        except EOFError:
            raise file.damaged("is truncated", number, rows_before) from None
        except OverflowError:
            raise file.damaged("is damaged", number, rows_before) from None
        if sync != file.sync or rows < 0:
            raise file.damaged("is damaged", number, rows_before)
        if rows > LARGEST_BLOCK:
            raise file.damaged("declares more rows than a block can hold", number, rows_before)
        if rows:
            yield Block(number, rows_before + 1, rows, packed)
        rows_before += rows
        number += 1


def written_number(number: int) -> bytes:
    """A long that is not negative, in Avro's encoding."""
    written = bytearray()
    number <<= 1
    while number >= _MORE:
        written.append(number & ~_MORE & 0xFF | _MORE)
        number >>= 7
    return bytes([*written, number])


def _metadata(stream: BinaryIO) -> Mapping[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while count := _number(stream):
        if count < 0:
            _number(stream)  # the size of what follows, for readers that skip it
        for _ in range(abs(count)):
            key = _exactly(stream, _number(stream))
            found[key] = _exactly(stream, _number(stream))
    return found


def _number(stream: BinaryIO, byte: bytes = b"") -> int:
    """An int or long: 7 bits a byte, lowest first, the sign in the lowest bit. `byte` is the first, if already read."""
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


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """Reads exactly this many bytes. Memory is allocated only for bytes that the file has."""
    pieces: list[bytes] = []
    left = size
    while left > 0 and (piece := stream.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise EOFError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
