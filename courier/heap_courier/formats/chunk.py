"""The chunks that readers return: consecutive rows of a file, not decoded yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

from heap_courier.errors import RejectedRow

CHUNK_BYTES: Final = 4_000_000
"""The approximate size of a chunk: large enough for fast decoding, small enough for several to fit in memory."""

IS_TEXT: Final = b"heap-courier.text"
"""The metadata key of a column whose values are text even if they look like numbers."""


class Decoded(NamedTuple):
    """The rows of a chunk; rows that are invalid in their format are rejected, and not in the batch."""

    batch: pa.RecordBatch
    rejected: tuple[RejectedRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a file.

    Attributes:
        first_row: the number of its first row in the file, from 1.
        decode: decodes the rows; call it only once, in any thread. Raises UnreadableFileError.
    """

    first_row: int
    decode: Callable[[], Decoded]
