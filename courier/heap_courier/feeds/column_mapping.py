"""Maps the columns of a file to the fields of a feed, casts their values, and rejects rows that break its rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.data_types.casts import Converted, converted, convertible, reason
from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import RejectedRow, SchemaError
from heap_courier.feeds.model import Field


class Conformed(NamedTuple):
    """Rows with exactly a feed's fields, and the rejected rows, in the file's order."""

    batch: pa.RecordBatch
    rejected: tuple[RejectedRow, ...]


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """How the columns of a file become the fields of a feed.

    Attributes:
        incoming: the columns of the file.
        fields: the fields of the feed.
        key: fields that must have a value, in addition to required ones.
        name: the file's name, for error messages.
        paths: for each field, the positions that lead to its column from the outermost record; empty: no column.
        ignored: columns of the file without a field.
    """

    incoming: pa.Schema
    fields: tuple[Field, ...]
    key: frozenset[str]
    name: str
    paths: tuple[tuple[int, ...], ...]
    ignored: tuple[str, ...]

    def conform(self, batch: pa.RecordBatch, first_row: int, rejected: Sequence[RejectedRow] = ()) -> Conformed:
        """Casts rows of the file to the fields of the feed.

        Args:
            batch: rows of the file. Its columns may differ from those of the first batch, because JSON has no schema;
                a missing column is null.
            first_row: the number of the batch's first row in the file, from 1.
            rejected: rows that the reader rejected; they count for row numbers, and are returned with the others.

        Raises:
            SchemaError: the batch has new columns whose types cannot be cast to those of their fields.
        """
        paths = self.paths if batch.schema.equals(self.incoming) else _paths(batch.schema, self.fields, self.name)
        columns: list[pa.Array] = []
        faults: dict[int, tuple[str, str]] = {}  # position in the batch -> column, reason
        for field, path in zip(self.fields, paths, strict=True):
            values, wrong = (
                converted(_at(batch, path), field.type, field.pattern)
                if path
                else Converted(pa.nulls(batch.num_rows, field.type.arrow))
            )
            columns.append(values)
            if wrong is not None:
                for position in _where(wrong):
                    faults.setdefault(position, (field.name, reason(field.type, field.pattern)))
            if values.null_count and (field.required or field.name in self.key):
                rule = "a primary key must not be" if field.name in self.key else "the feed requires a value"
                for position in _where(values.is_null()):
                    faults.setdefault(position, (field.name, f"is empty, and {rule}"))
        conformed = pa.RecordBatch.from_arrays(columns, names=[field.name for field in self.fields])
        if not faults:
            return Conformed(conformed, tuple(rejected))
        left_out = {row.row for row in rejected}
        numbers = [row for row in range(first_row, first_row + batch.num_rows + len(left_out)) if row not in left_out]
        found = [RejectedRow(numbers[position], *fault) for position, fault in faults.items()]
        kept = pa.array([position not in faults for position in range(batch.num_rows)])
        return Conformed(conformed.filter(kept), tuple(sorted([*rejected, *found], key=lambda row: row.row)))


def map_columns(incoming: pa.Schema, fields: Sequence[Field], *, key: Collection[str], name: str) -> ColumnMapping:
    """Finds the column of each field. A file without columns (JSON without rows) is accepted.

    Raises:
        SchemaError: a required or key field has no column, or several; or a column cannot be cast to its field.
    """
    fields = tuple(fields)
    paths = _paths(incoming, fields, name)
    for field, path in zip(fields, paths, strict=True):
        if incoming.names and not path and (field.required or field.name in key):
            hint = did_you_mean(field.source, incoming.names)
            needs = "is a primary key" if field.name in key else "is required"
            raise SchemaError(
                f"`{name}` has no column `{field.source}`, which {needs} in the feed{hint}; "
                f"fix the source of field `{field.name}`, or use a file that has it."
            )
    taken = {path[0] for path in paths if path}
    ignored = tuple(column for position, column in enumerate(incoming.names) if position not in taken)
    return ColumnMapping(incoming, fields, frozenset(key), name, paths, ignored)


def _paths(incoming: pa.Schema, fields: Sequence[Field], name: str) -> tuple[tuple[int, ...], ...]:
    columns = list(incoming)
    times = Counter(incoming.names)
    only = {column: position for position, column in enumerate(incoming.names) if times[column] == 1}
    return tuple(_path(columns, only, field, name) for field in fields)


def _path(columns: Sequence[pa.Field], only: Mapping[str, int], field: Field, name: str) -> tuple[int, ...]:
    position = only.get(field.source)
    path, found = column_path(columns, field.source, name) if position is None else ((position,), columns[position])
    if found and not convertible(found.type, field.type, field.pattern):
        remedy = (
            "give the field a pattern, or make it a String"
            if pa.types.is_integer(found.type)
            else "make the field a String"
        )
        raise SchemaError(
            f"`{name}`: column `{field.source}` is of type {found.type}, which cannot be cast to {field.type}, "
            f"the type of field `{field.name}`; {remedy}."
        )
    return path


def column_path(columns: Sequence[pa.Field], source: str, name: str) -> tuple[tuple[int, ...], pa.Field | None]:
    """The path to a column, and the column: by its whole name, by `name#2`, or as a field of the record before a dot.

    Raises:
        SchemaError: several columns have this name.
    """
    exact = [position for position, column in enumerate(columns) if column.name == source]
    alike = exact or [position for position, column in enumerate(columns) if column.name.lower() == source.lower()]
    if len(alike) > 1:
        raise SchemaError(
            f"`{name}` has {len(alike)} columns named `{source}`; write `{source}#1` as the source "
            f"for the first, `{source}#2` for the second."
        )
    if alike:
        return (alike[0],), columns[alike[0]]
    outer_name, numbered, digits = source.rpartition("#")
    if numbered and digits.isascii() and digits.isdigit():
        same = [position for position, column in enumerate(columns) if column.name == outer_name]
        if 0 < int(digits) <= len(same):
            position = same[int(digits) - 1]
            return (position,), columns[position]
    for dot in (position for position, character in enumerate(source) if character == "."):
        outer, record = column_path(columns, source[:dot], name)
        if record and pa.types.is_struct(record.type):
            inner, found = column_path(
                [record.type.field(i) for i in range(record.type.num_fields)], source[dot + 1 :], name
            )
            if found:
                return (*outer, *inner), found
    return (), None


def _at(batch: pa.RecordBatch, path: tuple[int, ...]) -> pa.Array:
    column = batch.column(path[0])
    return pc.struct_field(column, list(path[1:])) if path[1:] else column


def _where(flags: pa.BooleanArray) -> list[int]:
    return list(pc.indices_nonzero(flags).to_pylist())
