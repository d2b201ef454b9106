"""A cast converts a value to its type, or rejects the row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.mapping.columns.casts import converted
from destination_heap_analytics.mapping.columns.column import ABSENT
from destination_heap_analytics.protocol.numbers import InexactNumberError, written_float

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


@pytest.mark.parametrize(
    ("cast", "value", "result"),
    [
        (Cast.NUMBER, "12.50", 12.5),
        (Cast.NUMBER, 7, 7),
        (Cast.NUMBER, 1.5, 1.5),
        (Cast.NUMBER, ["1", None, 2, " "], [1, 2, None]),
        (Cast.NUMBER, written_float("1e300"), 1e300),
        (Cast.NUMBER, 10**20, 1e20),
        (Cast.BOOLEAN, "TRUE", True),
        (Cast.BOOLEAN, 0, False),
        (Cast.BOOLEAN, written_float("1.0"), True),
        (Cast.BOOLEAN, ["yes", "no"], [True, False]),
        (Cast.TEXT, "  as it is ", "  as it is "),
        (Cast.TEXT, "", ""),
        (Cast.TEXT, 8001, "8001"),
        (Cast.TEXT, 2**60, str(2**60)),
        (Cast.TEXT, written_float("1.50E+1"), "15"),
        (Cast.TEXT, True, "true"),
        (Cast.TEXT, [1, "b"], ["1", "b"]),
        (Cast.JSON, {"a": [1, None, True], "b": {"c": written_float("1.10")}}, '{"a":[1,null,true],"b":{"c":1.10}}'),
        (Cast.JSON, [], "[]"),
        (Cast.JSON, "text", '"text"'),
        (Cast.JSON, ' {"a" : 1} ', '{"a" : 1}'),
        (Cast.JSON, "é", '"é"'),
        *[(cast, value, value) for cast in Cast for value in (None, ABSENT)],
        *[(cast, " ", None) for cast in Cast if cast is not Cast.TEXT],
    ],
)
def test_a_value_is_cast(cast: Cast, value: Any, result: Any) -> None:
    """Blank text becomes null: text files have no other way to express it."""
    assert converted(value, cast, "a", exact=True) == result
    assert type(converted(value, cast, "a", exact=True)) in {type(result), type(value)}


@pytest.mark.parametrize(
    ("cast", "value", "reason"),
    [
        *[(Cast.NUMBER, value, Reason.NOT_A_NUMBER) for value in ("1,5", "a", True, {}, [[]], [{"a": 1}], 2**53 + 1)],
        (Cast.NUMBER, written_float("9007199254740993.0"), Reason.NOT_A_NUMBER),
        (Cast.NUMBER, float("nan"), Reason.NOT_A_NUMBER),
        *[(Cast.BOOLEAN, value, Reason.NOT_A_BOOLEAN) for value in ("maybe", 2, 0.5, {}, [[True]], float("nan"))],
        *[(Cast.TEXT, value, Reason.NOT_A_TEXT) for value in ({}, {"a": 1}, [[1]])],
        (Cast.TEXT, "\ud800", Reason.NOT_UNICODE),
        (Cast.JSON, {"a": float("nan")}, Reason.NOT_FINITE),
        (Cast.JSON, {"\ud800": 1}, Reason.NOT_UNICODE),
        (Cast.JSON, object(), Reason.NOT_JSON),
    ],
)
def test_a_value_that_cannot_be_cast_rejects_its_row_with_the_reason(cast: Cast, value: Any, reason: Reason) -> None:
    """The reason has the column, but not the value."""
    with pytest.raises(RowRejectedError) as rejected:
        converted(value, cast, "a", exact=True)
    assert (rejected.value.reason, rejected.value.column) == (reason, "a")


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], [{"a": 1}]])
def test_the_reason_covers_nested_lists_as_well_as_objects(value: Any) -> None:
    """A list of lists or objects cannot be cast to text either."""
    with pytest.raises(RowRejectedError, match="because it is an object or a nested list"):
        converted(value, Cast.TEXT, "a", exact=True)


@pytest.mark.parametrize(
    ("cast", "value"), [(Cast.NUMBER, 2.0**60), (Cast.TEXT, 1.5), (Cast.JSON, {"a": [1.5]}), (Cast.NUMBER, [1e300])]
)
def test_digits_that_matter_are_read_again(cast: Cast, value: Any) -> None:
    """The fast reading may have lost them."""
    with pytest.raises(InexactNumberError):
        converted(value, cast, "a", exact=False)


@given(json_values.filter(lambda value: not isinstance(value, str)))
def test_json_reads_back_as_the_value(value: Any) -> None:
    """Including every number, name and order."""
    result = converted(value, Cast.JSON, "a", exact=True)
    assert (None if result is None else json.loads(result)) == value
    if isinstance(value, dict) and value:
        assert list(json.loads(result)) == list(value)


@given(json_values, st.sampled_from(Cast), st.booleans())
def test_any_value_is_cast_or_rejected(value: Any, cast: Cast, exact: bool) -> None:
    """No value makes a cast fail in another way, and the result has the type of the cast."""
    kinds = {Cast.NUMBER: (int, float), Cast.BOOLEAN: bool, Cast.TEXT: str, Cast.JSON: str}
    try:
        result = converted(value, cast, "a", exact=exact)
    except (RowRejectedError, InexactNumberError):
        return
    for one in result if isinstance(result, list) else [result]:
        assert one is None or isinstance(one, kinds[cast])
        assert cast is Cast.BOOLEAN or not isinstance(one, bool)
