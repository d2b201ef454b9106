"""The schemas of Heap Connect's tables: columns, types, instants, and the dump of each row. Pure.

The manifest's `columns` determine which columns a table has, and the files their types. A column whose type changes is
widened: integers and floats to Float, anything else to String. `time`, `joindate` and `last_modified` occur as text and
in several units, so each becomes a Datetime; unless the file has timestamps, `<name>_raw` contains the original value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.data_types.casts import converted, convertible
from heap_courier.data_types.constants import constant, null
from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.errors import SchemaError
from heap_courier.heap_connect.identity_views import MIGRATIONS, USERS
from heap_courier.heap_connect.manifests import Step
from heap_courier.warehouse.upsert import MOST_EXACT, Table, TableColumn

DUMP: Final = "_dump_id"  # a column of every table: the dump that the row is from
INSTANTS: Final = ("time", "joindate", "last_modified")

_RAW: Final = {f"{name}_raw": name for name in INSTANTS}
_KEYS: Final = {USERS: "user_id", MIGRATIONS: "from_user_id"}  # of other tables: event_id
_IDS: Final = frozenset({"user_id", "event_id", "session_id", "from_user_id", "to_user_id"})  # usually long
_NEWEST: Final = {MIGRATIONS: "time"}  # of other tables: last_modified

_WHOLE_BELOW: Final = 9e18

Types = Mapping[str, FieldType]


class InexactIntegersError(Exception):
    """A column would become Float, but has integers that a Float cannot represent exactly."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def target_table(
    step: Step,
    name: str,
    stored: Types,
    files: Iterable[pa.Schema],
    *,
    fresh: bool,
    as_text: Collection[str] = (),
) -> Table:
    """The target schema of the domain table of a step.

    A column without a type in the table or the files gets a default type if the table is empty, and is otherwise not
    added yet.

    Args:
        step: the step to load.
        name: the name of the domain table.
        stored: its current columns; empty if it does not exist yet.
        files: the schemas of the step's files, which may differ.
        fresh: whether no stored row stays, so that only the files determine the types.
        as_text: columns that must be String, because they have integers that a Float cannot represent exactly.

    Raises:
        SchemaError: two columns differ only in case.
    """
    incoming = _incoming(files)
    known = {} if fresh else stored
    columns: dict[str, FieldType] = {}
    for column in _names(step, stored, incoming):
        kind = _wider(known.get(column), incoming.get(column))
        if column in INSTANTS:
            columns[column] = DATETIME
            raw = _wider(known.get(f"{column}_raw"), None if incoming.get(column) == DATETIME else incoming.get(column))
            if raw:
                columns[f"{column}_raw"] = raw
        elif kind or fresh:
            columns[column] = kind or stored.get(column) or (INTEGER if column in _IDS else STRING)
    columns = {column: STRING if column in as_text else kind for column, kind in columns.items()}
    columns[DUMP] = INTEGER
    if twins := _twins(columns):
        raise SchemaError(
            f"The table `{step.table}` has columns that differ only in case: rename {' or '.join(twins)} in Heap."
        )
    return table_with(step.table, name, columns)


def table_with(table: str, name: str, columns: Types) -> Table:
    """A domain table with these columns; `table` is its name in Heap, `name` the one in the warehouse."""
    key = _key(table)
    newest = _NEWEST.get(table, "last_modified")
    return Table(
        name,
        tuple(TableColumn(column, kind) for column, kind in columns.items()),
        key=(key,) if key in columns else (),
        newest=(DUMP, newest) if newest in columns else (DUMP,),
    )


class CastRows(NamedTuple):
    """Rows with the table's columns and types; by column, which values were unreadable and became null."""

    batch: pa.RecordBatch
    unreadable: Mapping[str, pa.BooleanArray]


def cast_rows(batch: pa.RecordBatch, table: Table, dump_id: int) -> CastRows:
    """Casts the rows of a file to the columns and types of the table."""
    arrays = []
    unreadable = {}
    for column in table.columns:
        values, wrong = _values(batch, column, dump_id)
        arrays.append(values)
        if wrong is not None:
            unreadable[column.name] = wrong
    return CastRows(pa.RecordBatch.from_arrays(arrays, schema=table.schema), unreadable)


def _values(batch: pa.RecordBatch, column: TableColumn, dump_id: int) -> tuple[pa.Array, pa.BooleanArray | None]:
    if column.name == DUMP:
        return pa.repeat(constant(f"{dump_id:d}", pa.int64()), batch.num_rows), None
    source = _RAW.get(column.name, column.name)
    position = batch.schema.get_field_index(source)
    absent = position < 0 or (source != column.name and field_type(batch.schema.field(position).type) == DATETIME)
    if absent:
        return pa.nulls(batch.num_rows, column.type.arrow), None
    incoming = batch.column(position)
    if not convertible(incoming.type, column.type):
        return pa.nulls(batch.num_rows, column.type.arrow), incoming.is_valid()
    if pa.types.is_floating(incoming.type) and column.type == STRING:
        incoming = _digits(incoming)
    if pa.types.is_integer(incoming.type) and column.type == FLOAT and not _is_exact(incoming):
        raise InexactIntegersError(column.name)
    values, wrong = converted(incoming, column.type)
    if column.name in INSTANTS and column.type == DATETIME:
        # Heap writes 0 for an unknown time.
        values = pc.if_else(pc.equal(values, constant("1970-01-01", values.type)), null(values.type), values)
    return values, wrong


def as_text(values: pa.Array) -> pa.StringArray:
    """Values cast to a String column."""
    return converted(_digits(values) if pa.types.is_floating(values.type) else values, STRING)[0]


def _is_exact(integers: pa.Array) -> bool:
    """Whether a Float represents each integer exactly, without any other integer rounding to it."""
    bounds = pc.min_max(integers).as_py()
    return bounds["min"] is None or (bounds["min"] >= -MOST_EXACT and bounds["max"] <= MOST_EXACT)


def _digits(floats: pa.Array) -> pa.Array:
    """Floats as text; whole numbers are written like integers: `7`, not `7.0` or `1e+16`."""
    floats = floats.cast(pa.float64())
    is_whole = pc.and_(pc.equal(floats, pc.trunc(floats)), pc.less(pc.abs(floats), _WHOLE_BELOW))
    whole = pc.if_else(is_whole, floats, pa.scalar(None, pa.float64())).cast(pa.int64())
    return pc.coalesce(whole.cast(pa.string()), floats.cast(pa.string()))


def field_type(incoming: pa.DataType) -> FieldType | None:
    """The field type for the type of a file's column; None if the column has only nulls."""
    if pa.types.is_null(incoming):
        return None
    if pa.types.is_decimal(incoming):
        return FieldType(Kind.DECIMAL, incoming.precision, incoming.scale)
    for is_kind, kind in _KINDS:
        if is_kind(incoming):
            return kind
    return STRING


_KINDS: Final = (
    (pa.types.is_integer, INTEGER),
    (pa.types.is_floating, FLOAT),
    (pa.types.is_boolean, BOOLEAN),
    (pa.types.is_date, DATE),
    (pa.types.is_timestamp, DATETIME),
)


def _names(step: Step, stored: Types, incoming: Types) -> list[str]:
    """The target columns, without those that this program adds.

    If the manifest lists no columns, the stored ones stay and those of the files are added. A late dump changes no
    columns. The key always stays, even if the manifest does not list it, because it identifies rows.
    """
    names = step.columns
    if step.late or not names:
        names = (*stored, *(() if step.late else incoming))
    elif (key := _key(step.table)) not in names and (key in stored or key in incoming):
        names = (key, *names)
    return [name for name in dict.fromkeys(names) if name != DUMP and name not in _RAW]


def reserved(step: Step, files: Iterable[pa.Schema]) -> list[str]:
    """Heap's columns that are not loaded because this program uses their names."""
    names = dict.fromkeys([*(step.columns or ()), *(name for schema in files for name in schema.names)])
    return [name for name in names if name == DUMP or name in _RAW]


def _key(table: str) -> str:
    return _KEYS.get(table, "event_id")


def _incoming(files: Iterable[pa.Schema]) -> dict[str, FieldType]:
    """The columns of all files, by name, with types wide enough for each."""
    incoming: dict[str, FieldType] = {}
    for schema in files:
        for field in schema:
            if kind := _wider(incoming.get(field.name), field_type(field.type)):
                incoming[field.name] = kind
    return incoming


def _wider(one: FieldType | None, other: FieldType | None) -> FieldType | None:
    """The narrowest type for the values of both types."""
    if one is None or other is None or one == other:
        return one or other
    return FLOAT if {one, other} == {INTEGER, FLOAT} else STRING


def _twins(columns: Iterable[str]) -> list[str]:
    """The first two names that differ only in case, which DuckDB treats as one."""
    seen: dict[str, str] = {}
    for name in columns:
        if name.lower() in seen:
            return [f"`{seen[name.lower()]}`", f"`{name}`"]
        seen[name.lower()] = name
    return []
