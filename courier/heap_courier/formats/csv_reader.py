"""Delimited text: one row per line, one separator between columns (CSV, TSV, PSV and similar).

It is UTF-8 unless its format specifies another encoding. Every column is text; an empty value without quotes is null.
A line whose number of columns differs from that of the first line is a rejected row. Empty lines are skipped.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.csv

from heap_courier.errors import RejectedRow, UnreadableFileError
from heap_courier.formats.chunk import Chunk, Decoded
from heap_courier.formats.csv_records import PIECE_BYTES, Dialect, LongRecordError, Readable, UnclosedQuoteError, pieces
from heap_courier.formats.file_format import FileFormat

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"  # some programs write it at the beginning of UTF-8
_LARGEST_CHARACTER: Final = 4  # bytes in UTF-8
_MOST_COLUMNS: Final = 5_000  # declared to Arrow as text before the names of the columns are known


def chunks(stream: BinaryIO, file_format: FileFormat, separator: str, name: str) -> Iterator[Chunk]:
    """The rows of a file, in order, in at least one chunk; `separator` is the default of its content type.

    Raises:
        UnreadableFileError: the file is not in its encoding, has no header, has a row of more than a megabyte, or ends
            inside quotes.
    """
    dialect = _dialect(file_format, separator)
    text: Readable = _InUTF8(stream, file_format.encoding) if file_format.encoding else stream
    names: list[str] | None = None
    first_row = 1
    with _explained(name, file_format.encoding):
        for piece in pieces(text, dialect):
            piece = piece.removeprefix(_BYTE_ORDER_MARK) if names is None else piece  # noqa: PLW2901
            if not piece.strip(b"\r\n"):
                continue
            piece.decode()  # fails now, because Arrow cannot report invalid UTF-8 in a row of another length
            is_first = names is None
            batch, rejected = _parsed(piece, dialect, first_row - (is_first and file_format.header_rows), names)
            if names is None:
                names, batch = _named(batch, file_format.header_rows)
            batch = batch.rename_columns(names)
            yield _chunk(first_row, batch, rejected)
            first_row += batch.num_rows + len(rejected)
    if names is None:
        raise UnreadableFileError(f"`{name}` is empty; a file without rows still needs a header.")


class _InUTF8:
    """A stream in another encoding, read as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int, /) -> bytes:
        """Approximately this many bytes; empty at the end."""
        while True:
            block = self._stream.read(max(1, size // _LARGEST_CHARACTER))
            text = self._decoder.decode(block, final=not block)
            if text or not block:
                return text.encode()


def _dialect(file_format: FileFormat, separator: str) -> Dialect:
    quote = '"' if file_format.quote is None else file_format.quote
    return Dialect((file_format.separator or separator).encode(), quote.encode(), (file_format.escape or "").encode())


def _named(batch: pa.RecordBatch, header_rows: int) -> tuple[list[str], pa.RecordBatch]:
    """The names of the columns, and the rows without the header."""
    names = [f"column_{position}" for position, _ in enumerate(batch.schema, 1)]
    if header_rows:
        header = batch.slice(0, 1).to_pylist()[0].values()
        names = [text or generated for text, generated in zip(header, names, strict=True)]
        batch = batch.slice(1)
    return names, batch


def _chunk(first_row: int, batch: pa.RecordBatch, rejected: Sequence[RejectedRow]) -> Chunk:
    decoded = Decoded(batch, tuple(rejected))
    return Chunk(first_row, lambda: decoded)


def _parsed(
    piece: bytes, dialect: Dialect, first_row: int, names: Sequence[str] | None
) -> tuple[pa.RecordBatch, list[RejectedRow]]:
    """The rows of a piece, and the rejected rows: those with another number of columns."""
    rejected: list[RejectedRow] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        columns = "1 column" if row.actual_columns == 1 else f"{row.actual_columns} columns"
        reason = f"has {columns}, but the first line has {row.expected_columns}"
        rejected.append(RejectedRow(first_row + row.number - 1, None, reason))
        return "skip"

    generated = None if names is None else [f"f{position}" for position, _ in enumerate(names)]
    table = pa.csv.read_csv(
        io.BytesIO(piece),
        read_options=pa.csv.ReadOptions(
            use_threads=False,
            block_size=len(piece) + 1,  # one block, so that Arrow never splits a record
            autogenerate_column_names=generated is None,
            column_names=generated,
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter=dialect.separator.decode(),
            quote_char=dialect.quote.decode() or False,
            escape_char=dialect.escape.decode() or False,
            newlines_in_values=True,
            invalid_row_handler=skip,
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types={f"f{position}": pa.string() for position in range(len(names) if names else _MOST_COLUMNS)},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    columns: list[Any] = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, names=table.column_names), rejected


@contextmanager
def _explained(name: str, encoding: str | None) -> Iterator[None]:
    """Raises UnreadableFileError in place of other errors; the text of Arrow's may contain the content of a row."""
    try:
        yield
    except UnclosedQuoteError:
        reason = (
            "ends inside a quoted value: a quote is never closed. Close it, or set `file/quote` to an empty string if "
            "the file has no quotes"
        )
    except LongRecordError:
        reason = f"has a row of more than {PIECE_BYTES:,} bytes, or an unclosed quote; fix it in the file"
    except UnicodeError:
        reason = f"is not valid {encoding}, its declared encoding; fix `file/encoding`, or re-export the file"
        if encoding is None:
            reason = "is not valid UTF-8; re-export it as UTF-8, or set its encoding (`file/encoding`, `--encoding`)"
    except pa.ArrowInvalid:
        reason = "does not match the format in the entities list; check its content type, separator and quotes"
    else:
        return
    raise UnreadableFileError(f"`{name}` {reason}.") from None
