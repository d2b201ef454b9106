"""JSON: an array of objects, one object, or consecutive objects; each object is a row.

The type of a column is that of its values in a chunk: boolean, integer, text, or struct for objects. A column of mixed
types, lists or numbers with a fraction is text: strings unchanged, anything else as JSON, so that no digit is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, BinaryIO, Final, NamedTuple

import orjson
import pyarrow as pa

from heap_courier.errors import RejectedRow, UnreadableFileError
from heap_courier.formats.chunk import CHUNK_BYTES, Chunk, Decoded
from heap_courier.formats.json_values import DECODER, InvalidJSONError, JSONValues
from heap_courier.formats.nesting import MOST_LEVELS, TOO_DEEP, is_too_deep

_MOST_KEYS: Final = 200  # of a struct; objects with more keys probably use data as keys, and become text
_MOST: Final = 2**63


class _Unfit(NamedTuple):
    """Takes the place of a line that cannot be a row; has the reason."""

    reason: str


def lines(stream: BinaryIO, name: str) -> Iterator[Chunk]:
    """The rows of a file with one object per line; any other line is a rejected row.

    Raises:
        UnreadableFileError: the file is empty.
    """
    first_row = 1
    is_empty = True
    while read := stream.readlines(CHUNK_BYTES):
        is_empty = False
        rows = [line for line in read if not line.isspace()]
        if rows:
            yield Chunk(first_row, partial(_from_lines, rows, first_row))
        first_row += len(rows)
    if is_empty:
        raise UnreadableFileError(
            f"`{name}` is empty; perhaps its export failed. Export it again, or, if it has no rows, write a line break "
            "to it."
        )


def documents(stream: BinaryIO, name: str) -> Iterator[Chunk]:
    """The rows of a file that is an array of objects, one object, or consecutive objects.

    Raises:
        UnreadableFileError: the file is not valid JSON, is truncated, or exceeds a limit of json_values.py.
    """
    values = JSONValues(stream)
    rows: list[Any] = []
    first_row, start = 1, 0
    try:
        for row in values:
            rows.append(row if not values.has_surrogates or _is_unicode(row) else None)
            if values.read - start >= CHUNK_BYTES:
                yield Chunk(first_row, partial(_decoded, rows, first_row))
                first_row += len(rows)
                start, rows = values.read, []
    except InvalidJSONError as error:
        last = first_row + len(rows) - 1
        where = f", after row {last:,}" if last else ""
        raise UnreadableFileError(f"`{name}` {error}{where}; export it again.") from None
    if rows:
        yield Chunk(first_row, partial(_decoded, rows, first_row))


def _from_lines(rows: list[bytes], first_row: int) -> Decoded:
    return _decoded([_parsed(row) for row in rows], first_row)


def _parsed(line: bytes) -> Any:
    """The value of a line, with fractions kept as written."""
    try:
        row = DECODER.decode(line.decode("utf-8-sig"))
    except RecursionError:
        return _Unfit(TOO_DEEP)
    except InvalidJSONError as error:
        return _Unfit(str(error))
    except ValueError:
        return _Unfit("is not a JSON object")
    if line.count(b"[") + line.count(b"{") > MOST_LEVELS and is_too_deep(row):
        return _Unfit(TOO_DEEP)
    return row if b"\\ud" not in line.lower() or _is_unicode(row) else _Unfit("is not a JSON object")


def _is_unicode(row: Any) -> bool:
    """Whether the strings of a row are valid Unicode, without half a surrogate pair, which no column can store."""
    try:
        json.dumps(row, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(rows: list[Any], first_row: int) -> Decoded:
    objects = [row for row in rows if isinstance(row, dict)]
    names = dict.fromkeys(name for row in objects for name in row)
    batch = pa.RecordBatch.from_arrays(
        [_array([row.get(name) for row in objects]) for name in names], names=list(names)
    )
    rejected = (
        RejectedRow(number, None, _why_not(row))
        for number, row in enumerate(rows, first_row)
        if not isinstance(row, dict) or not names  # (a batch without columns has no rows)
    )
    return Decoded(batch, tuple(rejected))


def _why_not(row: Any) -> str:
    if isinstance(row, _Unfit):
        return row.reason
    return "is an empty object" if row == {} else "is not a JSON object"


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
    """The value, in which numbers that orjson would round or refuse are kept as written."""
    if isinstance(value, dict):
        return {key: _as_written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_written(inner) for inner in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not -_MOST <= value < _MOST):
        return orjson.Fragment(str(value))
    return value
