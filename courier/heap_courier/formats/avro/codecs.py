"""How blocks are compressed. None is unpacked to more than a writer makes of one."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import cramjam
import pyarrow as pa

_CHECKSUM_BYTES: Final = 4
LARGEST_BLOCK: Final = 256_000_000  # bytes of a block, unpacked; writers make them of 16 kB to some MB
_PACKED: Final = 4  # how much smaller codecs make text, about


class TooLargeError(Exception):
    """A block decompresses to more than any writer puts into one."""

    def __str__(self) -> str:
        return f"unpacks to more than {LARGEST_BLOCK:,} bytes"


def _unsnapped(packed: bytes) -> Any:
    content = memoryview(packed)[:-_CHECKSUM_BYTES]
    if cramjam.snappy.decompress_raw_len(content) > LARGEST_BLOCK:
        raise TooLargeError
    plain = cramjam.snappy.decompress_raw(content)
    if zlib.crc32(plain).to_bytes(_CHECKSUM_BYTES, "big") != packed[-_CHECKSUM_BYTES:]:
        raise cramjam.DecompressionError("checksum mismatch")
    return plain


def _unpacked_by(make: Callable[[], Any], packed: bytes) -> Any:
    unpacker = make()
    plain = unpacker.decompress(packed, LARGEST_BLOCK + 1)
    if len(plain) > LARGEST_BLOCK:
        raise TooLargeError
    if not unpacker.eof:
        raise EOFError
    return plain


def _unpacked_by_arrow(packed: bytes) -> Any:
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        plain = stream.read(LARGEST_BLOCK + 1)
    if len(plain) > LARGEST_BLOCK:
        raise TooLargeError
    return plain


def _as_it_is(packed: bytes) -> Any:
    return packed


CODECS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "null": _as_it_is,
    "deflate": partial(_unpacked_by, partial(zlib.decompressobj, -zlib.MAX_WBITS)),
    "snappy": _unsnapped,
    "zstandard": _unpacked_by_arrow,
    "bzip2": partial(_unpacked_by, bz2.BZ2Decompressor),
    "xz": partial(_unpacked_by, lzma.LZMADecompressor),
}


def plain_size(codec: str, packed: bytes) -> int:
    """The approximate size in bytes; Snappy writes it at the beginning."""
    if codec == "snappy":
        try:
            return int(cramjam.snappy.decompress_raw_len(packed))
        except cramjam.DecompressionError:
            return len(packed)
    return len(packed) if codec == "null" else _PACKED * len(packed)
