"""Avro's types, and the Arrow types that they become.

| Avro | Arrow |
|---|---|
| null, boolean, int, long, float, double, bytes, string | the same |
| date, time-*, timestamp-*, local-timestamp-*, decimal | the same; `timestamp-*` in UTC |
| a union of one of these with null | the same |
| a union of numbers of one kind | the larger one |
| enum | string |
| fixed | string: hexadecimal digits |
| record | struct |
| array, map, other unions, a record inside itself | string: JSON; in a union, a scalar without quotes |

In JSON, a logical type is represented as its stored type: a timestamp is a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import fastavro
import fastavro.schema
import orjson
import pyarrow as pa

from heap_courier.formats.avro.values import DECIMAL, EMPTY, Budget, UnfitValueError
from heap_courier.formats.chunk import IS_TEXT
from heap_courier.formats.nesting import TOO_DEEP

_PRIMITIVES: Final[Mapping[str, pa.DataType]] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL: Final[Mapping[tuple[str, str], pa.DataType]] = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    **{
        ("long", f"{local}timestamp-{name}"): pa.timestamp(unit, tz=zone)
        for local, zone in (("", "UTC"), ("local-", None))
        for name, unit in (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
    },
}
_ARROW_DIGITS: Final = 38  # the most in a decimal128
_MOST_DIGITS: Final = 1_000  # of decimals that become text
_BITS_PER_BYTE: Final = 8
_NUMBERS: Final = ({"int", "long"}, {"float", "double"})
_NULL_OR_ELSE: Final = 2


@dataclass(frozen=True, slots=True)
class AvroType:
    """How an Avro type is decoded.

    Attributes:
        raw: the Arrow type of the stored values.
        arrow: the type of the column, to which `raw` is cast.
        plain: the Avro type without its logical type if it is flat (a primitive, or a union of it and null), or None.
        value: converts a value of fastavro to one of `raw`; None if they are equal.
        is_text: whether values are text even if they look like numbers: hexadecimal digits, or scalars of a union.
    """

    raw: pa.DataType
    arrow: pa.DataType
    plain: Any = None
    value: Callable[[Any], Any] | None = None
    is_text: bool = False

    def field(self, name: str) -> pa.Field:
        """A column of this type."""
        return pa.field(name, self.arrow, metadata={IS_TEXT: b""} if self.is_text else None)


@dataclass(frozen=True, slots=True)
class AvroColumn:
    """A field of a file's records."""

    name: str
    type: AvroType


@dataclass(frozen=True, slots=True)
class Records:
    """A file's parsed schema.

    Attributes:
        columns: the fields of its records.
        schema: the schema for fastavro.
        is_recursive: whether a record can contain itself, so that the schema does not limit the nesting of values.
    """

    columns: tuple[AvroColumn, ...]
    schema: Any
    is_recursive: bool


def read_schema(schema: Any) -> Records:
    """Reads a schema, parsed from JSON.

    Raises:
        ValueError: the schema is not supported; the message completes a sentence that starts with the file's name.
    """
    if not (isinstance(schema, dict) and schema.get("type") == "record"):
        raise ValueError("does not contain records")
    names: dict[str, Any] = {}
    try:
        parsed: Any = fastavro.parse_schema(_Rewriting().record(schema), names)
        columns = tuple(AvroColumn(field["name"], _type_of(field["type"], names, ())) for field in parsed["fields"])
        is_recursive = any(_contains(name, definition, names, set()) for name, definition in names.items())
    except _UnsupportedSchemaError as error:
        raise ValueError(str(error)) from None
    except RecursionError as error:
        raise ValueError("has a schema that is nested too deeply") from error
    except (fastavro.schema.SchemaParseException, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError("has an invalid schema") from error
    if len({column.name for column in columns}) < len(columns):
        raise ValueError("has a schema with two columns of the same name")
    return Records(columns, parsed, is_recursive)


class _UnsupportedSchemaError(Exception):
    """A schema is valid, but not supported."""


def _contains(name: str, schema: Any, names: Mapping[str, Any], seen: set[str]) -> bool:
    """Whether a value of a type can contain one of the type with this name."""
    if isinstance(schema, str):
        if schema == name:
            return True
        if schema in seen or schema not in names:
            return False
        seen.add(schema)
        return _contains(name, names[schema], names, seen)
    if isinstance(schema, list):
        return any(_contains(name, branch, names, seen) for branch in schema)
    inner = [field["type"] for field in schema.get("fields", ())]
    inner += [schema[part] for part in ("items", "values") if part in schema]
    return any(_contains(name, part, names, seen) for part in inner)


def json_text(value: Any) -> str:
    """The text of a value of any type: a scalar without quotes, anything else as JSON.

    Bytes become hexadecimal digits, like a `fixed`.

    Raises:
        UnfitValueError: the value is nested too deeply.
    """
    if isinstance(value, str):
        return value
    if not (isinstance(value, (bool, list, dict)) or value is None):
        return _scalar_text(value)
    try:
        return orjson.dumps(_as_json(value), option=orjson.OPT_NON_STR_KEYS).decode()
    except (orjson.JSONEncodeError, RecursionError):
        raise UnfitValueError(TOO_DEEP) from None


def _scalar_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value)


def _as_json(value: Any) -> Any:
    """The value as JSON can represent it: bytes, decimals and numbers that are not finite become text."""
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _scalar_text(value)


class _Rewriting:
    """Rewrites a schema for fastavro, so that it returns values as they are stored: logical types are under `meaning`.

    A cast of the whole column turns numbers into timestamps, even beyond the year 9999. Decimals, and values that have
    no bytes in the file, are read by values.py, which limits them. Default values and comments are left out: they are
    not needed, and invalid ones are then ignored. So are invalid decimals, as the specification requires.
    """

    def __init__(self) -> None:
        self._budget = Budget()

    def record(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """A record, even the outermost one without bytes: reader.py limits empty rows."""
        kept = {key: schema[key] for key in ("type", "name", "namespace") if key in schema}
        kept["fields"] = [{"name": _text(field["name"]), "type": self.any(field["type"])} for field in schema["fields"]]
        return kept

    def any(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self.any(branch) for branch in schema]
        if not isinstance(schema, dict):
            return schema
        kind = schema["type"]
        if isinstance(kind, (dict, list)):  # {"type": {"type": "string"}}
            return self.any(kind)
        if kind in ("record", "error"):
            record = self.record(schema)
            return record if any(field["type"] != "null" for field in record["fields"]) else self._empty(record)
        kept = {key: schema[key] for key in ("type", "name", "namespace", "symbols", "size") if key in schema}
        if "items" in schema:
            items = self.any(schema["items"])
            kept["items"] = self._empty({"type": "null"}) if items in ("null", {"type": "null"}) else items
        if "values" in schema:
            kept["values"] = self.any(schema["values"])
        if kind == "fixed" and schema.get("size") == 0:
            return self._empty(kept)
        if schema.get("logicalType") == "decimal":
            return kept | _decimal(schema)
        return kept | {"meaning": schema["logicalType"]} if "logicalType" in schema else kept

    def _empty(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema | {"logicalType": EMPTY, "budget": self._budget}


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(name)
    return name


def _decimal(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that make a schema a decimal; none if the decimal is invalid, so that its stored type is used."""
    precision, scale, size = schema.get("precision"), schema.get("scale", 0), schema.get("size")
    if schema["type"] not in ("bytes", "fixed") or not (type(precision) is type(scale) is int):
        return {}
    if precision < 1 or not 0 <= scale <= precision:
        return {}
    if schema["type"] == "fixed" and type(size) is int and precision > math.log10(2) * (_BITS_PER_BYTE * size - 1):
        return {}
    if precision > _MOST_DIGITS:
        raise _UnsupportedSchemaError(f"has decimals of more than {_MOST_DIGITS:,} digits")
    return {"logicalType": DECIMAL, "precision": precision, "scale": scale}


def _type_of(schema: Any, names: Mapping[str, Any], above: tuple[str, ...]) -> AvroType:
    """How a type is decoded; `above` are the names of the records that contain it."""
    if isinstance(schema, list):
        return _union(schema, names, above)
    if isinstance(schema, str):
        return _primitive(schema, None) if schema in _PRIMITIVES else _type_of(names[schema], names, above)
    name = schema["type"]
    is_decimal = schema.get("logicalType") == DECIMAL
    if is_decimal and schema["precision"] <= _ARROW_DIGITS:
        decimal = pa.decimal128(schema["precision"], schema["scale"])
        return AvroType(decimal, decimal)
    if name in _PRIMITIVES and not is_decimal:
        return _primitive(name, schema.get("meaning"))
    if name == "enum":
        return AvroType(pa.string(), pa.string())
    if name == "fixed" and not is_decimal:
        return AvroType(pa.string(), pa.string(), value=bytes.hex, is_text=True)
    if name == "record" and schema["fields"] and schema["name"] not in above:
        return _struct(schema, names, (*above, schema["name"]))
    return _JSON


def _primitive(name: str, meaning: str | None) -> AvroType:
    raw = _PRIMITIVES[name]
    # An int is encoded like a long. Some writers allow more than 32 bits in an int, which polars would truncate.
    return AvroType(raw, _LOGICAL.get((name, meaning or ""), raw), plain="long" if name == "int" else name)


def _struct(schema: Any, names: Mapping[str, Any], above: tuple[str, ...]) -> AvroType:
    parts = {field["name"]: _type_of(field["type"], names, above) for field in schema["fields"]}
    values = {name: part.value for name, part in parts.items() if part.value}

    def value(record: dict[str, Any]) -> dict[str, Any]:
        return record | {name: make(record[name]) for name, make in values.items() if record[name] is not None}

    return AvroType(
        pa.struct([(name, part.raw) for name, part in parts.items()]),
        pa.struct([part.field(name) for name, part in parts.items()]),
        value=value if values else None,
    )


def _union(branches: list[Any], names: Mapping[str, Any], above: tuple[str, ...]) -> AvroType:
    others = [branch for branch in branches if branch != "null"]
    if not others:
        return AvroType(pa.null(), pa.null())
    if len(others) == 1:
        only = _type_of(others[0], names, above)
        plain = ["null" if branch == "null" else only.plain for branch in branches]
        return replace(only, plain=plain if only.plain and len(branches) == _NULL_OR_ELSE else None)
    for numbers in _NUMBERS:
        if numbers.issuperset(branch for branch in others if isinstance(branch, str)) and all(
            isinstance(branch, str) for branch in others
        ):
            larger = _PRIMITIVES[max(numbers, key=lambda name: _PRIMITIVES[name].bit_width)]
            return AvroType(larger, larger)
    return _JSON


_JSON: Final = AvroType(pa.string(), pa.string(), value=json_text, is_text=True)
