"""A part of a file, framed but not decoded yet: what readers hand out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

from heap_courier.errors import RejectedRow

CHUNK_BYTES: Final = 4_000_000
"""Approximate bytes of a chunk: large enough for fast decoding, small enough for several to fit in memory."""

IS_TEXT: Final = b"heap-courier.text"
"""The metadata of a column whose values are text even if they look like numbers."""


class Decoded(NamedTuple):
    """The rows of a chunk, and those that the format itself rejects: they are counted, and not in the batch."""

    batch: pa.RecordBatch
    rejected: tuple[RejectedRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of rows.

    Attributes:
        first_row: the number of its first row in the file, from 1.
        decode: does the work; may be called in another thread, once. Raises UnreadableFileError.
    """

    first_row: int
    decode: Callable[[], Decoded]
