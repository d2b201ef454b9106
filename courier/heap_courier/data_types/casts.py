"""Casts columns of any Arrow type to the types of a feed.

Arrow casts a column as a whole if it can; otherwise each distinct value is cast once. The result is the same:

| to | from |
|---|---|
| Boolean | booleans; 0 and 1; true, false, t, f, yes, no, y, n, 1, 0 in any case |
| Date | dates; timestamps (their day in UTC); text in ISO 8601, such as 20221021, or in the field's pattern |
| Datetime | timestamps; dates (midnight); numbers since 1970; text in ISO 8601, or in the field's pattern |
| Decimal | numbers, including text, that fit without rounding; floats are rounded |
| Float | numbers, including text |
| Integer | whole numbers, including text, and with zeros after the decimal point |
| String | anything: numbers and text unchanged, timestamps in ISO 8601, structs, lists and maps as JSON |

A time without an offset is UTC. A number since 1970, including text, is in seconds below 10^11, in milliseconds below
10^14, and in microseconds below 10^17. Dates and timestamps must be in the years 1 to 9999. Empty and blank text
becomes null, except in a String.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from dateutil.parser import isoparser

from heap_courier.data_types import date_patterns
from heap_courier.data_types.constants import constant, null
from heap_courier.data_types.field_types import FieldType, Kind, in_utc


class Converted(NamedTuple):
    """A column cast to a field's type; `wrong` marks values that could not be cast and became null (None: none)."""

    values: pa.Array
    wrong: pa.BooleanArray | None = None


def convertible(incoming: pa.DataType, field_type: FieldType, pattern: str | None = None) -> bool:
    """Whether values of an Arrow type can be cast to a field's type at all."""
    if _is_text(incoming) or pa.types.is_null(incoming) or field_type.kind is Kind.STRING:
        return True
    if pa.types.is_dictionary(incoming):
        return convertible(incoming.value_type, field_type, pattern)
    if isinstance(incoming, pa.BaseExtensionType) and not isinstance(incoming, pa.UuidType):
        return convertible(incoming.storage_type, field_type, pattern)
    whole = pa.types.is_integer(incoming)
    number = whole or pa.types.is_floating(incoming) or pa.types.is_decimal(incoming)
    moment = _is_moment(incoming)
    possible: Mapping[Kind, bool] = {
        Kind.BOOLEAN: pa.types.is_boolean(incoming) or whole,
        Kind.DATE: moment or (whole and pattern is not None),
        Kind.DATETIME: moment or number,
        Kind.DECIMAL: number,
        Kind.FLOAT: number,
        Kind.INTEGER: number,
    }
    return possible[field_type.kind]


def reason(field_type: FieldType, pattern: str | None = None) -> str:
    """Why a value cannot be cast to a type, as the end of a sentence."""
    if pattern is not None and field_type.kind in (Kind.DATE, Kind.DATETIME):
        return f"is not a date in the pattern {pattern}"
    if field_type.kind is Kind.DECIMAL:
        whole = field_type.precision - field_type.scale
        return f"is not a number with at most {whole} digits before and {field_type.scale} after the decimal point"
    return _REASONS[field_type.kind]


def converted(values: pa.Array, field_type: FieldType, pattern: str | None = None) -> Converted:
    """Casts a column whose type is `convertible`; `pattern` is a valid Joda pattern."""
    if pa.types.is_time(values.type):
        times = _of_the_day(values)
        return Converted(_converted(times.values, field_type, pattern).values, times.wrong)
    return _converted(values, field_type, pattern)


def _converted(values: pa.Array, field_type: FieldType, pattern: str | None) -> Converted:
    if values.type == field_type.arrow and field_type.kind not in _DATED:
        return Converted(values)
    values = plain(values)
    if pa.types.is_null(values.type):
        return Converted(pa.nulls(len(values), field_type.arrow))
    if _is_text(values.type):
        values = values.cast(pa.string())
        if field_type.kind is Kind.STRING:
            return Converted(values)
        trimmed = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(trimmed, constant("", pa.string())), null(pa.string()), trimmed)
    if _is_moment(values.type) and (field_type.kind in _DATED or field_type.kind is Kind.STRING):
        known = _of_known_years(values)  # for other years, Arrow would return an error message as text
        return Converted(_WHOLE_COLUMN[field_type.kind](known.values, field_type), known.wrong)
    is_written = _is_text(values.type) or pa.types.is_integer(values.type)
    if field_type.kind in _DATED and pattern is not None and is_written:
        return _one_by_one(values.cast(pa.string()), field_type, date_patterns.reader(pattern))
    try:
        whole = _WHOLE_COLUMN[field_type.kind](values, field_type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _one_by_one(values, field_type, partial(_SINGLE_VALUE[field_type.kind], field_type))
    return _of_known_years(whole) if field_type.kind in _DATED else Converted(whole)


def plain(values: pa.Array) -> pa.Array:
    """Dictionaries, extension types and narrow decimals as types that Arrow's compute functions support."""
    if pa.types.is_dictionary(values.type):
        return plain(values.dictionary_decode())
    if isinstance(values.type, pa.UuidType):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())
    if isinstance(values.type, pa.BaseExtensionType):
        return plain(values.storage)
    if pa.types.is_decimal32(values.type) or pa.types.is_decimal64(values.type):
        return values.cast(pa.decimal128(values.type.precision, values.type.scale))
    return values


def _is_text(incoming: pa.DataType) -> bool:
    return any(is_it(incoming) for is_it in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_moment(incoming: pa.DataType) -> bool:
    return bool(pa.types.is_date(incoming) or pa.types.is_timestamp(incoming))


def _of_the_day(values: pa.Array) -> Converted:
    """Times from 0:00 to before 24:00; others become null, because Arrow would return an error message as text."""
    is_narrow = pa.types.is_time32(values.type)
    numbers = values.view(pa.int32() if is_narrow else pa.int64()).cast(pa.int64())
    day = 86_400 * _PER_SECOND[values.type.unit]
    wrong = pc.fill_null(pc.or_(pc.less(numbers, 0), pc.greater_equal(numbers, day)), False)  # noqa: FBT003
    if not pc.any(wrong).as_py():
        return Converted(values)
    return Converted(pc.if_else(wrong, null(values.type), values), wrong)


def _of_known_years(values: pa.Array) -> Converted:
    """Dates or timestamps in the years 1 to 9999; others become null."""
    first, last = _YEARS
    if not pa.types.is_date32(values.type):
        unit = "ms" if pa.types.is_date64(values.type) else values.type.unit
        day = 86_400 * _PER_SECOND[unit]
        first, last = first * day, last * day + day - 1
    numbers = values.view(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    least, most = pc.min_max(numbers).as_py().values()
    if least is None or (first <= least and most <= last):
        return Converted(values)
    wrong = pc.fill_null(pc.or_(pc.less(numbers, first), pc.greater(numbers, last)), False)  # noqa: FBT003
    return Converted(pc.if_else(wrong, null(values.type), values), wrong)


def _one_by_one(values: pa.Array, field_type: FieldType, read: Callable[[Any], Any]) -> Converted:
    """Casts each distinct value by `read`, which raises ValueError, OverflowError or ArithmeticError if it cannot."""
    nested = pa.types.is_nested(values.type)
    encoded = values if nested else values.dictionary_encode()
    found = [_read(value, read) for value in (values if nested else encoded.dictionary)]
    wrong = pa.array([value is _WRONG for value in found], pa.bool_())
    good = pa.array([None if value is _WRONG else value for value in found], field_type.arrow)
    if not nested:
        good = good.take(encoded.indices)
        wrong = pc.fill_null(wrong.take(encoded.indices), False)  # noqa: FBT003
    return Converted(good, wrong if wrong.true_count else None)


def _read(value: pa.Scalar, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value.as_py(maps_as_pydicts="lossy")) if value.is_valid else None
    except (ValueError, OverflowError, ArithmeticError, RecursionError):
        return _WRONG


# A whole column; these raise ArrowInvalid if that is not possible


def _never(_values: pa.Array, _: FieldType) -> pa.Array:
    raise pa.ArrowInvalid


def _dates(values: pa.Array, _: FieldType) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        return values.view(pa.timestamp(values.type.unit)).cast(pa.date32(), safe=False)
    return values.cast(pa.date32())


def _instants(values: pa.Array, _: FieldType) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        return values.view(pa.timestamp(values.type.unit)).cast(_INSTANT, safe=False)
    if pa.types.is_date(values.type):
        return values.cast(_INSTANT)
    if pa.types.is_integer(values.type):
        return _since_epoch(values.cast(pa.int64()))
    if not _is_text(values.type):
        raise pa.ArrowInvalid
    if _all_match(values, r"^-?\d{1,18}$"):
        return _since_epoch(values.cast(pa.int64()))
    # Arrow reads either text with offsets or text without them, and is slow to refuse a column of the other kind.
    try:
        values.drop_null().slice(0, 1).cast(_INSTANT)
    except pa.ArrowInvalid:
        return values.cast(pa.timestamp("us", "UTC")).view(_INSTANT)
    return values.cast(_INSTANT)


def _since_epoch(numbers: pa.Array) -> pa.Array:
    (seconds, millis, micros) = (end for end, _ in _MICROSECONDS)
    least, most = pc.min_max(numbers).as_py().values()
    if least is not None and (least <= -micros or most >= micros):
        raise pa.ArrowInvalid
    size = pc.abs(numbers)
    factor = pc.if_else(pc.less(size, seconds), 1_000_000, pc.if_else(pc.less(size, millis), 1_000, 1))
    return pc.multiply(numbers, factor).cast(_INSTANT)


def _decimals(values: pa.Array, field_type: FieldType) -> pa.Array:
    if pa.types.is_integer(values.type):
        values = values.cast(pa.decimal128(38, min(field_type.scale, 18)))
    elif pa.types.is_floating(values.type) or (_is_text(values.type) and not _all_match(values, _PLAIN)):
        raise pa.ArrowInvalid  # a float must be rounded by its decimal digits, which Arrow does not do
    return values.cast(field_type.arrow)


def _floats(values: pa.Array, _: FieldType) -> pa.Array:
    if _is_text(values.type) and not _all_match(values, _PLAIN):
        raise pa.ArrowInvalid
    floats = values.cast(pa.float64(), safe=False)
    if _is_text(values.type) and pc.any(pc.is_inf(floats)).as_py():
        raise pa.ArrowInvalid
    return floats


def _integers(values: pa.Array, _: FieldType) -> pa.Array:
    if _is_text(values.type) and not _all_match(values, r"^-?\d{1,18}$"):
        raise pa.ArrowInvalid  # Arrow would read 0x1F
    return values.cast(pa.int64())


def _texts(values: pa.Array, _: FieldType) -> pa.Array:
    if pa.types.is_nested(values.type):
        raise pa.ArrowInvalid
    if pa.types.is_timestamp(values.type):
        zone = "UTC" if values.type.tz else None
        return pc.replace_substring(values.cast(pa.timestamp(values.type.unit, zone)).cast(pa.string()), " ", "T")
    return values.cast(pa.string())


def _all_match(values: pa.Array, expression: str) -> bool:
    return pc.all(pc.match_substring_regex(values, expression)).as_py() is not False


# One value


def _boolean(_: FieldType, value: Any) -> bool:
    text = str(value).lower()
    if text not in _TRUE_OR_FALSE:
        raise ValueError
    return _TRUE_OR_FALSE[text]


def _date(_: FieldType, value: str) -> date:
    return _iso(value).date()


def _instant(_: FieldType, value: Any) -> datetime:
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        number = Decimal(str(value))
        for end, microseconds in _MICROSECONDS:
            if abs(number) < end:
                return _EPOCH + timedelta(microseconds=int((number * microseconds).to_integral_value()))
        raise ValueError
    return _iso(value)


def _iso(text: str) -> datetime:
    if not (match := _ISO.fullmatch(text)):
        raise ValueError
    time = f"T{match['time']}{match['offset'] or ''}" if match["time"] else ""
    instant = isoparser(sep="T").isoparse(match["date"] + time)
    return in_utc(instant)


def _decimal(field_type: FieldType, value: Any) -> Decimal:
    number = Decimal(_numeral(value))
    step = Decimal(1).scaleb(-field_type.scale)
    rounded = number.quantize(step, ROUND_HALF_EVEN, Context(prec=field_type.precision))  # InvalidOperation: too many
    if rounded != number and not isinstance(value, float):
        raise ValueError
    return rounded


def _float(_: FieldType, value: Any) -> float:
    if isinstance(value, str) and value.lower().lstrip("+-") in _NOT_FINITE:
        return float(value)
    number = float(_numeral(value))
    if number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _integer(_: FieldType, value: Any) -> int:
    number = Decimal(_numeral(value))
    if number.adjusted() > _LARGEST_EXPONENT or number != number.to_integral_value() or not -(2**63) <= number < 2**63:
        raise ValueError
    return int(number)


def _text(_: FieldType, value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    try:
        return orjson.dumps(value, default=_json_text, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        raise ValueError from None  # nested too deeply


def _json_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _numeral(value: Any) -> str:
    text = str(value)
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return text


_WRONG: Final = object()
_DATED: Final = (Kind.DATE, Kind.DATETIME)
_INSTANT: Final = pa.timestamp("us")
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  (UTC, without a zone, like the columns)
_YEARS: Final = tuple((end - date(1970, 1, 1)).days for end in (date.min, date.max))  # days since 1970
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MICROSECONDS: Final = (
    (10**11, 10**6),
    (10**14, 10**3),
    (10**17, 1),
)  # numbers below the first are in a unit of the second; seconds reach the year 5138
_LARGEST_EXPONENT: Final = 18  # of the first digit of a 64-bit integer
_NOT_FINITE: Final = ("nan", "inf", "infinity")
_PLAIN: Final = r"^[+-]?(\d+(\.\d*)?|\.\d+)$"
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_ISO: Final = re.compile(
    r"(?P<date>\d{4}-?(?:\d\d-?\d\d|W\d\d-?\d))"
    r"(?:(?:[Tt]| +)(?P<time>\d\d[\d:.,]*) *(?P<utc>[Zz]|UTC)?(?P<offset>[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_TRUE_OR_FALSE: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_REASONS: Final = {
    Kind.BOOLEAN: "is neither true nor false",
    Kind.DATE: "is not a date",
    Kind.DATETIME: "is not a date and time",
    Kind.FLOAT: "is not a number",
    Kind.INTEGER: "is not a 64-bit integer",
    Kind.STRING: "is not valid UTF-8, is a date or time out of range, or is nested too deeply",
}
_WHOLE_COLUMN: Final[Mapping[Kind, Callable[[pa.Array, FieldType], pa.Array]]] = {
    Kind.BOOLEAN: _never,
    Kind.DATE: _dates,
    Kind.DATETIME: _instants,
    Kind.DECIMAL: _decimals,
    Kind.FLOAT: _floats,
    Kind.INTEGER: _integers,
    Kind.STRING: _texts,
}
_SINGLE_VALUE: Final[Mapping[Kind, Callable[[FieldType, Any], Any]]] = {
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.DATETIME: _instant,
    Kind.DECIMAL: _decimal,
    Kind.FLOAT: _float,
    Kind.INTEGER: _integer,
    Kind.STRING: _text,
}
