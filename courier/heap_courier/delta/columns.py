"""Converts columns of the warehouse to columns of a Delta table: the same values, in types that every reader supports.

A Datetime becomes Delta's `timestamp`, which is in UTC. `timestamp_ntz` looks closer to a SQL `timestamp`, but readers
without support for it cannot open the table at all:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md#primitive-types
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.data_types.field_types import MOST_DIGITS
from heap_courier.delta.names import column_names
from heap_courier.errors import SchemaError
from heap_courier.warehouse.base import quoted

INSTANT: Final = pa.timestamp("us", "UTC")

_SAME: Final[Mapping[str, pa.DataType]] = {  # by the engines' names of the types, in lower case
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": INSTANT,
    "timestamp without time zone": INSTANT,
    "timestamp with time zone": INSTANT,
    "double": pa.float64(),
    "double precision": pa.float64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "tinyint": pa.int8(),
    "varchar": pa.string(),
    "text": pa.string(),
    "blob": pa.binary(),
    "bytea": pa.binary(),
}
_WIDER: Final[Mapping[str, tuple[str, pa.DataType]]] = {  # Delta has no unsigned types
    "utinyint": ("SMALLINT", pa.int16()),
    "usmallint": ("INTEGER", pa.int32()),
    "uinteger": ("BIGINT", pa.int64()),
    "ubigint": ("DECIMAL(20,0)", pa.decimal128(20, 0)),
}
_LISTS: Final[Mapping[str, pa.DataType]] = {
    f"{name}[]": pa.list_(_SAME[name]) for name in ("boolean", "bigint", "double", "varchar")
}
_DECIMAL: Final = re.compile(r"(?:decimal|numeric)\((\d+), ?(\d+)\)")

# The years that Spark, Trino, Snowflake and BigQuery support, 1 to 9999, in days and microseconds since 1970.
_DAYS: Final = (-719_162, 2_932_896)
_MICROSECONDS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)


class PublishedColumn(NamedTuple):
    """A column of a published table.

    Attributes:
        name: its name in the published table.
        source: its name in the domain table.
        select: the SQL expression that reads it.
        type: its Arrow type.
    """

    name: str
    source: str
    select: str
    type: pa.DataType


def published_columns(columns: Mapping[str, str]) -> list[PublishedColumn]:
    """The columns of a published table. Values of types that Delta does not have become the engine's text for them.

    Args:
        columns: the columns of the domain table, with the engine's names of their SQL types.

    Raises:
        SchemaError: two names differ only in case.
    """
    return [
        PublishedColumn(name, source, *_read(quoted(source), columns[source].lower()))
        for source, name in column_names(columns).items()
    ]


def _read(name: str, kind: str) -> tuple[str, pa.DataType]:
    if known := _SAME.get(kind) or _LISTS.get(kind):
        return name, known
    if wider := _WIDER.get(kind):
        return f"CAST({name} AS {wider[0]})", wider[1]
    if (match := _DECIMAL.fullmatch(kind)) and int(match[2]) <= int(match[1]) <= MOST_DIGITS:
        # as text, because ADBC returns PostgreSQL's numeric values as text anyway
        read = f"CAST({name} AS text)" if kind.startswith("numeric") else name
        return read, pa.decimal128(int(match[1]), int(match[2]))
    return f"CAST({name} AS text)", pa.string()


def schema_of(columns: list[PublishedColumn]) -> pa.Schema:
    """The Arrow schema of a published table."""
    return pa.schema([(column.name, column.type) for column in columns])


def converted(batch: pa.RecordBatch, columns: list[PublishedColumn], schema: pa.Schema) -> pa.RecordBatch:
    """Casts rows to the types of the published table.

    Raises:
        SchemaError: a value cannot be published unchanged.
    """
    arrays = []
    for array, column in zip(batch.columns, columns, strict=True):
        try:
            arrays.append(array.cast(column.type))
        except pa.ArrowInvalid:
            raise SchemaError(
                f"The column `{column.source}` contains a value that is not a finite `{column.type}`, so it cannot be "
                "published: correct the value, or change the column's type."
            ) from None
        _refuse_unreadable(arrays[-1], column)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _refuse_unreadable(array: pa.Array, column: PublishedColumn) -> None:
    if column.type == INSTANT:
        limits, plain = _MICROSECONDS, array.cast(pa.int64())
    elif column.type == pa.date32():
        limits, plain = _DAYS, array.cast(pa.int32())
    else:
        return
    found = pc.min_max(plain).as_py()
    if found["min"] is not None and not (limits[0] <= found["min"] and found["max"] <= limits[1]):
        raise SchemaError(
            f"The column `{column.source}` contains a time outside the years 1 to 9999, or infinity, which readers of "
            "Delta tables do not support: correct the value, or make the column a String."
        )
