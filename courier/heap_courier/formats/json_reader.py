"""JSON: an array of objects, an object, or objects one after the other; each of them is a row.

The type of a column is that of its values in this part of the file: boolean, whole number, text, or record for objects.
Where they are of several kinds, and for lists and numbers with a fraction, it is text: texts as they are, anything else
as JSON, so that no digit is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, BinaryIO, Final

import ijson
import orjson
import pyarrow as pa

from heap_courier.errors import RejectedRow, UnreadableFileError
from heap_courier.formats.chunk import CHUNK_BYTES, Chunk, Decoded

_MARK: Final = b"\xef\xbb\xbf"  # that some put before UTF-8
_MOST_KEYS: Final = 200  # of a record; an object with more has data for keys
_MOST: Final = 2**63


def lines(stream: BinaryIO) -> Iterator[Chunk]:
    """The rows of a file with an object a line; a line that is none is a rejected row."""
    first_row = 1
    while read := stream.readlines(CHUNK_BYTES):
        rows = [line for line in read if not line.isspace()]
        if rows:
            yield Chunk(first_row, partial(_from_lines, rows, first_row))
        first_row += len(rows)


def documents(stream: BinaryIO, name: str) -> Iterator[Chunk]:
    """The rows of a file that is one array, one object, or objects one after the other.

    Raises:
        UnreadableFileError: it is no JSON, or cut short.
    """
    beginning = stream.read(len(_MARK))
    stream.seek(len(_MARK) if beginning == _MARK else 0)
    start = stream.tell()
    while (sign := stream.read(1)).isspace():
        pass
    stream.seek(start)
    is_array = sign == b"["
    # After an array nothing may follow: objects there would match no `item`, and be dropped without a word.
    objects = ijson.items(stream, "item" if is_array else "", multiple_values=not is_array)
    rows: list[Any] = []
    first_row = 1
    try:
        for row in objects:
            rows.append(row)
            if stream.tell() - start >= CHUNK_BYTES:
                yield Chunk(first_row, partial(_decoded, rows, first_row))
                first_row += len(rows)
                start, rows = stream.tell(), []
    except (ijson.JSONError, UnicodeDecodeError):
        before = first_row + len(rows) - 1
        raise UnreadableFileError(
            f"`{name}` is not valid JSON, is cut short, or has something behind its array, {before:,} rows in; fetch "
            "it again from its source."
        ) from None
    if rows:
        yield Chunk(first_row, partial(_decoded, rows, first_row))


def _from_lines(rows: list[bytes], first_row: int) -> Decoded:
    return _decoded([_parsed(row) for row in rows], first_row)


def _parsed(line: bytes) -> Any:
    """A line's value, its fractions as they are written; None where it is no JSON."""
    try:
        if b"\\ud" in line.lower():
            orjson.loads(line)  # refuses half a character
        return json.loads(line, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(_: str) -> None:
    raise ValueError  # NaN is no JSON


def _decoded(rows: list[Any], first_row: int) -> Decoded:
    objects = [row for row in rows if isinstance(row, dict)]
    names = dict.fromkeys(name for row in objects for name in row)
    batch = pa.RecordBatch.from_arrays(
        [_array([row.get(name) for row in objects]) for name in names], names=list(names)
    )
    rejected = (
        RejectedRow(number, None, "is an empty object" if row == {} else "is no JSON object")
        for number, row in enumerate(rows, first_row)
        if not isinstance(row, dict) or not names  # (rows without a column cannot be counted)
    )
    return Decoded(batch, tuple(rejected))


def _array(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values))
    if kinds in ({bool}, {str}):
        return pa.array(values)
    if kinds == {int} and all(value is None or -_MOST <= value < _MOST for value in values):
        return pa.array(values, pa.int64())
    if kinds == {dict}:
        keys = dict.fromkeys(key for value in values if value for key in value)
        if 0 < len(keys) <= _MOST_KEYS:
            return pa.StructArray.from_arrays(
                [_array([value.get(key) if value else None for value in values]) for key in keys],
                names=list(keys),
                mask=pa.array([value is None for value in values]),
            )
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(_as_written(value)).decode()


def _as_written(value: Any) -> Any:
    """The value with numbers that JSON libraries would round or refuse as what the file had."""
    if isinstance(value, dict):
        return {key: _as_written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_written(inner) for inner in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not -_MOST <= value < _MOST):
        return orjson.Fragment(str(value))
    return value
