"""Texts of a row a line and a sign between the columns: CSV, TSV, PSV and the like, in UTF-8.

Every column is text; what is empty without quotes is null. A line with another number of columns than the first one has
is a rejected row. Empty lines are none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.csv

from heap_courier.errors import RejectedRow, UnreadableFileError
from heap_courier.formats.chunk import Chunk, Decoded
from heap_courier.formats.file_format import FileFormat

_AT_ONCE: Final = 1_000_000  # Arrow reads up to 32 times as much ahead
_MOST_COLUMNS: Final = 5_000  # that are named to Arrow as texts before it has seen the file


def chunks(stream: BinaryIO, file_format: FileFormat, separator: str, name: str) -> Iterator[Chunk]:
    """The rows of a file, in order, one part at least; `separator` is that of its content type.

    Raises:
        UnreadableFileError: the file is no UTF-8, lacks its header, or has a row of more than a megabyte.
    """
    skipped: deque[RejectedRow] = deque()  # Arrow is a batch ahead with these
    first_row = 1
    for batch in _batches(stream, file_format, separator, name, skipped):
        last_row = first_row + batch.num_rows - 1
        rejected: list[RejectedRow] = []
        while skipped and skipped[0].row <= last_row:
            rejected.append(skipped.popleft())
            last_row += 1
        yield _chunk(first_row, batch, rejected)
        first_row = last_row + 1
    if skipped:
        yield _chunk(first_row, batch.slice(0, 0), tuple(skipped))


def _chunk(first_row: int, batch: pa.RecordBatch, rejected: Sequence[RejectedRow]) -> Chunk:
    decoded = Decoded(batch, tuple(rejected))
    return Chunk(first_row, lambda: decoded)


def _batches(
    stream: BinaryIO, file_format: FileFormat, separator: str, name: str, skipped: deque[RejectedRow]
) -> Iterator[pa.RecordBatch]:
    """Batches under the names of the header, the first one perhaps without rows; at least one."""
    header_rows = file_format.header_rows

    def skip(row: pa.csv.InvalidRow) -> str:
        columns = "1 column" if row.actual_columns == 1 else f"{row.actual_columns} columns"
        reason = f"has {columns}, and the first line {row.expected_columns}"
        skipped.append(RejectedRow(row.number - header_rows, None, reason))
        return "skip"

    with _told(name):
        reader = pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=_AT_ONCE, autogenerate_column_names=True),
            parse_options=pa.csv.ParseOptions(
                delimiter=file_format.separator or separator,
                quote_char=file_format.quote or '"',
                escape_char=file_format.escape or False,
                newlines_in_values=True,
                invalid_row_handler=skip,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={f"f{position}": pa.string() for position in range(_MOST_COLUMNS)},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        first = reader.read_next_batch()
        names = [f"column_{position}" for position, _ in enumerate(first.schema, 1)]
        if header_rows:
            header = first.slice(0, 1).to_pylist()[0].values()
            names = [text or generated for text, generated in zip(header, names, strict=True)]
            first = first.slice(1)
        yield first.rename_columns(names)
        for batch in reader:
            yield batch.rename_columns(names)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Arrow's errors as sentences of ours; its own may hold what a row contains."""
    try:
        yield
    except pa.ArrowInvalid as error:
        text = str(error)
        reason = "has another form than the entities list says; look at its content type, separator and quotes"
        if "Empty CSV" in text:
            reason = "is empty; a file without rows has its header at least"
        elif "UTF8" in text:
            reason = "is not in UTF-8; have it written so"
        elif "straddl" in text:
            reason = f"has a row of more than {_AT_ONCE:,} bytes, or a quote that is not closed; mend it there"
        raise UnreadableFileError(f"`{name}` {reason}.") from None
