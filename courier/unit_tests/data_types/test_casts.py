"""Values of any type are cast to the types of a feed."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heap_courier.data_types import casts as values
from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind

MONEY = FieldType(Kind.DECIMAL, 10, 2)
WRONG = "wrong"
AT = datetime(2022, 10, 4, 22, 39, 53, 627000)  # noqa: DTZ001  (columns hold UTC without saying so)


def convert(given_values: list[Any] | pa.Array, field_type: FieldType, pattern: str | None = None) -> list[Any]:
    found = values.converted(
        given_values if isinstance(given_values, pa.Array) else pa.array(given_values), field_type, pattern
    )
    assert found.values.type == field_type.arrow
    flags = found.wrong.to_pylist() if found.wrong is not None else [False] * len(found.values)
    assert found.wrong is None or True in flags
    return [WRONG if flag else value for value, flag in zip(found.values.to_pylist(), flags, strict=True)]


@pytest.mark.parametrize(
    ("field_type", "text", "value"),
    [
        (BOOLEAN, "TRUE", True),
        (BOOLEAN, "no", False),
        (BOOLEAN, "1", True),
        (BOOLEAN, "2", WRONG),
        (BOOLEAN, "", None),
        (DATE, "2022-10-04", date(2022, 10, 4)),
        (DATE, "20221004", date(2022, 10, 4)),
        (DATE, "2022-10-04T23:00:00-05:00", date(2022, 10, 5)),
        (DATE, "2022-02-30", WRONG),
        (DATE, "1664923193", WRONG),
        (DATE, "0000-01-01", WRONG),
        (DATE, " ", None),
        (DATETIME, "2022-10-04T22:39:53.627Z", AT),
        (DATETIME, "2022-10-04 22:39:53.627", AT),
        (DATETIME, "2022-10-04 22:39:53.627 UTC", AT),
        (DATETIME, "2022-10-05 00:39:53.627 +02", AT),
        (DATETIME, "2022-10-04t22:39:53.627z", AT),
        (DATETIME, "20221004T223953.627Z", AT),
        (DATETIME, "2022-10-04T22:39:53.627000999Z", AT),
        (DATETIME, "2022-10-04", datetime(2022, 10, 4)),  # noqa: DTZ001
        (DATETIME, "1664923193.627", AT),
        (DATETIME, "1664923193627", AT),
        (DATETIME, "1664923193627000", AT),
        (DATETIME, "1.664923193627e15", AT),
        (DATETIME, "+1664923193627", AT),
        (DATETIME, "-1", datetime(1969, 12, 31, 23, 59, 59)),  # noqa: DTZ001
        (DATETIME, "100000000000000000", WRONG),
        (DATETIME, "-99999999999", WRONG),  # before the year 1
        (DATETIME, "2022", datetime(1970, 1, 1, 0, 33, 42)),  # noqa: DTZ001
        (DATETIME, "2022-10", WRONG),
        (DATETIME, "2022-10-04T25:00:00Z", WRONG),
        (DATETIME, "yesterday", WRONG),
        (DATETIME, "", None),
        (MONEY, "12.5", Decimal("12.50")),
        (MONEY, "12.500", Decimal("12.50")),
        (MONEY, "1.25e1", Decimal("12.50")),
        (MONEY, "12.505", WRONG),
        (MONEY, "100000000", WRONG),
        (MONEY, "12,50", WRONG),
        (FLOAT, "12.5", 12.5),
        (FLOAT, ".5", 0.5),
        (FLOAT, "1e3", 1000.0),
        (FLOAT, "1e400", WRONG),
        (FLOAT, "0x10", WRONG),
        (FLOAT, "1_000", WRONG),
        (FLOAT, "-Infinity", float("-inf")),
        (INTEGER, "12", 12),
        (INTEGER, " +12 ", 12),
        (INTEGER, "12.0", 12),
        (INTEGER, "12.5", WRONG),
        (INTEGER, "9223372036854775807", 2**63 - 1),
        (INTEGER, "9223372036854775808", WRONG),
        (INTEGER, "0x10", WRONG),
        (INTEGER, "1e999", WRONG),
        (INTEGER, "", None),
        (STRING, "", ""),
        (STRING, " x ", " x "),
    ],
)
def test_a_text_is_cast_the_same_alone_and_among_others(field_type: FieldType, text: str, value: Any) -> None:
    assert convert([text], field_type) == [value]
    others = {BOOLEAN: "true", DATE: "2020-01-01", DATETIME: "2020-01-01T00:00:00Z"}
    assert convert([others.get(field_type, "1"), None, text], field_type)[1:] == [None, value]


@pytest.mark.parametrize(
    ("field_type", "given_values", "expected"),
    [
        (BOOLEAN, pa.array([True, None]), [True, None]),
        (BOOLEAN, pa.array([0, 1, 2]), [False, True, WRONG]),
        (DATE, pa.array([datetime(2022, 10, 4, 23)]), [date(2022, 10, 4)]),  # noqa: DTZ001
        (DATE, pa.array([1664930000], pa.timestamp("s", "America/New_York")), [date(2022, 10, 5)]),
        (DATETIME, pa.array([1664923193627, 2**62], pa.timestamp("ms", "UTC")), [AT, WRONG]),
        (DATETIME, pa.array([1664923193627000999], pa.timestamp("ns")), [AT]),
        (DATETIME, pa.array([2**62], pa.timestamp("us")), [WRONG]),
        (DATETIME, pa.array([date(2022, 10, 4)]), [datetime(2022, 10, 4)]),  # noqa: DTZ001
        (DATETIME, pa.array([2**31 - 1], pa.date32()), [WRONG]),
        (DATETIME, [1664923193627, None, 0], [AT, None, datetime(1970, 1, 1)]),  # noqa: DTZ001
        (DATETIME, [-(2**63), 1664923193], [WRONG, AT.replace(microsecond=0)]),
        (DATETIME, [1664923193.627, float("nan")], [AT, WRONG]),
        (MONEY, [12, 10**9], [Decimal("12.00"), WRONG]),
        (MONEY, [12.505, 0.1 + 0.2], [Decimal("12.50"), Decimal("0.30")]),
        (MONEY, pa.array([Decimal("1.250"), Decimal("1.255")]), [Decimal("1.25"), WRONG]),
        (FLOAT, [2**63 - 1], [float(2**63)]),
        (FLOAT, pa.array([Decimal("1.25")]), [1.25]),
        (INTEGER, [1.0, 1.5, float("nan"), 1e300], [1, WRONG, WRONG, WRONG]),
        (INTEGER, pa.array([2**63, 5], pa.uint64()), [WRONG, 5]),
        (INTEGER, pa.array([Decimal("1.00"), Decimal("1.50")]), [1, WRONG]),
        (STRING, [1, None], ["1", None]),
        (STRING, [True], ["true"]),
        (STRING, [1.5, 1.0], ["1.5", "1"]),
        (STRING, pa.array([1664923193627], pa.timestamp("ms", "UTC")), ["2022-10-04T22:39:53.627Z"]),
        (STRING, pa.array([date(2022, 10, 4)]), ["2022-10-04"]),
        (STRING, pa.array([b"ada", b"\xff"]), ["ada", WRONG]),
        (STRING, pa.array([UUID(int=1).bytes, None], pa.uuid()), ["00000000-0000-0000-0000-000000000001", None]),
        (STRING, pa.array(["{}", None], pa.json_()), ["{}", None]),
        (STRING, pa.array([Decimal("1.50"), None], pa.decimal32(5, 2)), ["1.50", None]),
        (INTEGER, pa.array([Decimal("2.00"), None], pa.decimal32(5, 2)), [2, None]),
        (STRING, pa.array([{"a": 1, "b": AT}, None]), ['{"a":1,"b":"2022-10-04T22:39:53.627000"}', None]),
        (STRING, pa.array([[1, None]]), ["[1,null]"]),
        (STRING, pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), ['{"a":1}']),
        (STRING, pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
        (INTEGER, pa.nulls(2), [None, None]),
        (INTEGER, pa.array(["5"], pa.large_string()), [5]),
    ],
)
def test_a_column_of_a_type_is_cast(field_type: FieldType, given_values: Any, expected: list[Any]) -> None:
    assert convert(given_values, field_type) == expected


def test_a_pattern_reads_only_text_and_whole_numbers_that_match_it() -> None:
    assert convert(["04.10.2022", "2022-10-04", None, " "], DATE, "dd.MM.yyyy") == [
        date(2022, 10, 4),
        WRONG,
        None,
        None,
    ]
    assert convert([20221004, 5], DATE, "yyyyMMdd") == [date(2022, 10, 4), WRONG]
    assert convert([AT.replace(tzinfo=timezone.utc)], DATETIME, "yyyy") == [AT]


@pytest.mark.parametrize(
    ("incoming", "field_type", "pattern", "possible"),
    [
        (pa.string(), MONEY, None, True),
        (pa.int32(), DATE, None, False),
        (pa.int32(), DATE, "yyyyMMdd", True),
        (pa.bool_(), INTEGER, None, False),
        (pa.float64(), BOOLEAN, None, False),
        (pa.timestamp("us"), INTEGER, None, False),
        (pa.struct([("a", pa.int64())]), FLOAT, None, False),
        (pa.list_(pa.int64()), STRING, None, True),
        (pa.dictionary(pa.int8(), pa.bool_()), INTEGER, None, False),
        (pa.null(), DATE, None, True),
    ],
)
def test_some_types_cannot_be_cast_to_others(
    incoming: pa.DataType, field_type: FieldType, pattern: str | None, possible: bool
) -> None:
    assert values.convertible(incoming, field_type, pattern) is possible


NUMERALS = st.from_regex(r"[+-]?[0-9]{0,20}(\.[0-9]{0,4})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
TIMES = st.datetimes().flatmap(
    lambda at: st.sampled_from(
        [at.isoformat(), at.isoformat(" "), at.isoformat() + "Z", at.isoformat() + "+02:00", at.date().isoformat()]
    )
)


@given(
    st.lists(NUMERALS | TIMES | st.text("0123456789-+.:TZ eE", max_size=12), min_size=1, max_size=3),
    st.sampled_from([BOOLEAN, DATE, DATETIME, MONEY, FLOAT, INTEGER]),
)
@settings(max_examples=1000)
def test_converting_a_whole_column_equals_converting_each_value(texts: list[str], field_type: FieldType) -> None:
    column = pa.array([text.strip() or None for text in texts], pa.string())
    one = values._one_by_one(column, field_type, partial(values._SINGLE_VALUE[field_type.kind], field_type))
    whole = values.converted(pa.array(texts), field_type)
    assert whole.values.equals(one.values)
    assert (whole.wrong is None) == (one.wrong is None)
    assert whole.wrong is None or whole.wrong.equals(one.wrong)


@pytest.mark.parametrize(("unit", "narrow"), [("s", True), ("ms", True), ("us", False), ("ns", False)])
def test_a_time_out_of_range_is_wrong_and_does_not_become_text(unit: str, narrow: bool) -> None:
    """Arrow would write `<value out of range: 86400>` for 24:00:00."""
    day = 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    numbers = pa.array([0, day - 1, day, -1, None], pa.int32() if narrow else pa.int64())
    times = numbers.view(pa.time32(unit) if narrow else pa.time64(unit))
    texts, wrong = values.converted(times, STRING)
    assert wrong is not None
    assert wrong.to_pylist() == [False, False, True, True, False]
    assert texts.to_pylist()[0][:8] == "00:00:00"
    assert texts.to_pylist()[2:] == [None, None, None]


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("us"), pa.date64()])
def test_a_date_out_of_range_does_not_become_text_either(kind: pa.DataType) -> None:
    instants = pa.array([0, 2**62 // 86_400_000 * 86_400_000], pa.int64()).view(kind)
    found = values.converted(instants, STRING)
    assert found.values.is_valid().to_pylist() == [True, False]
    assert found.wrong is not None
    assert found.wrong.to_pylist() == [False, True]
