"""Decompresses blocks, up to a limit that no writer exceeds."""

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
LARGEST_BLOCK: Final = 256_000_000  # bytes, decompressed; writers use blocks of 16 kB to a few MB
_TYPICAL_RATIO: Final = 4  # of compression, for text


class TooLargeError(Exception):
    """A block decompresses to more than the limit."""

    def __str__(self) -> str:
        return f"unpacks to more than {LARGEST_BLOCK:,} bytes"


def _from_snappy(packed: bytes) -> Any:
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


def _from_zstandard(packed: bytes) -> Any:
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        plain = stream.read(LARGEST_BLOCK + 1)
    if len(plain) > LARGEST_BLOCK:
        raise TooLargeError
    return plain


def _uncompressed(packed: bytes) -> Any:
    return packed


CODECS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "null": _uncompressed,
    "deflate": partial(_unpacked_by, partial(zlib.decompressobj, -zlib.MAX_WBITS)),
    "snappy": _from_snappy,
    "zstandard": _from_zstandard,
    "bzip2": partial(_unpacked_by, bz2.BZ2Decompressor),
    "xz": partial(_unpacked_by, lzma.LZMADecompressor),
}


def plain_size(codec: str, packed: bytes) -> int:
    """The approximate decompressed size in bytes. Snappy declares it; for other codecs it is estimated."""
    if codec == "snappy":
        try:
            return int(cramjam.snappy.decompress_raw_len(packed))
        except cramjam.DecompressionError:
            return len(packed)
    return len(packed) if codec == "null" else _TYPICAL_RATIO * len(packed)
