"""Columns become properties: flattened, without nulls, within Heap's limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.heap_api import Api, text_units
from destination_heap_analytics.mapping.columns.column import ABSENT
from destination_heap_analytics.mapping.properties import Properties, PropertyMaker
from destination_heap_analytics.protocol.numbers import InexactNumberError

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def maker(*, accepts_lists: bool = True) -> PropertyMaker:
    return PropertyMaker((Api.TRACK if accepts_lists else Api.ACCOUNT_PROPERTIES).endpoint)


def made(columns: dict[str, Any], *, accepts_lists: bool = True, exact: bool = True) -> Properties:
    values, properties = maker(accepts_lists=accepts_lists).make(columns.items(), exact=exact)
    return properties or Properties(values)


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ({"a": {"b": {"c": 1}}}, {"a.b.c": 1}),
        ({"a": None, "b": {}, "c": [], "d": {"e": None}, "f": [None], "g": [{}]}, {}),
        ({"a": [1, None, "x", True]}, {"a": [1, "x", True]}),
        ({"a": [{"b": 1}, None, {"b": [2, 3]}]}, {"a.0.b": 1, "a.2.b": [2, 3]}),
        ({"a": [[1, 2], 3]}, {"a.0": [1, 2], "a.1": 3}),
        ({"a": "", "b": 0, "c": False}, {"a": "", "b": 0, "c": False}),
    ],
)
def test_objects_are_flattened_with_dots_and_nulls_left_out(columns: dict[str, Any], values: dict[str, Any]) -> None:
    """Empty objects and lists go too; false, zero and the empty text stay."""
    assert made(columns).values == values


def test_lists_are_joined_if_heap_does_not_accept_them() -> None:
    """As Heap joins them for Track."""
    assert made({"a": ["x", 1, True, None, 2.5]}, accepts_lists=False).values == {"a": "x||1||true||2.5"}


@pytest.mark.parametrize(
    "columns",
    [{"a.b": 1, "a": {"b": 2}}, {"a": {"b": 2}, "a.b": 1}],
)
def test_if_two_values_collide_the_literal_key_wins(columns: dict[str, Any]) -> None:
    """In either order in the source; the name is reported."""
    properties = made(columns)
    assert properties.values == {"a.b": 1}
    assert properties.collisions == ["a.b"]


def test_a_value_selected_twice_does_not_collide() -> None:
    """As `a` and as `a.b`."""
    properties = made({"a": {"b": 1}, "a.b": 1})
    assert (properties.values, properties.collisions) == ({"a.b": 1}, [])


def test_a_collision_in_a_key_that_may_be_content_is_reported_by_its_column() -> None:
    """Such as an address."""
    assert made({"c": {"x@y.z": 1, "x@y": {"z": 2}}}).collisions == ["c"]


def test_a_null_does_not_collide_with_a_value() -> None:
    """A value that is left out does not use its name."""
    properties = made({"a.b": None, "a": {"b": 2}})
    assert (properties.values, properties.collisions) == ({"a.b": 2}, [])


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("x" * 1023, "x" * 1023),
        ("x" * 1024, "x" * 1023),
        ("é" * 1024, "é" * 1023),
        ("😀" * 511, "😀" * 511),
        ("😀" * 512, "😀" * 511),
        ("x" + "😀" * 511, "x" + "😀" * 511),
    ],
)
def test_a_text_that_is_too_long_is_truncated_and_counted(text: str, sent: str) -> None:
    """At 1,023 UTF-16 units, and never within a character."""
    properties = made({"bio": {"long": text}})
    assert properties.values == {"bio.long": sent}
    assert properties.cut == (["bio"] if text != sent else [])


def test_a_joined_list_that_is_too_long_is_truncated_like_a_text() -> None:
    """It is a text for APIs that do not accept lists."""
    properties = made({"a": ["x" * 600, "y" * 600]}, accepts_lists=False)
    assert properties.values == {"a": "x" * 600 + "||" + "y" * 421}
    assert properties.cut == ["a"]


@pytest.mark.parametrize(
    ("items", "sent"),
    [
        (["x" * 600, "y" * 600], ["x" * 600, "y" * 422]),
        (["x" * 1022, "y"], ["x" * 1022]),
        (["x" * 1023, "y"], ["x" * 1023]),
        (["x" * 2000], ["x" * 1023]),
        (["x" * 1020, 12345, "z"], ["x" * 1020]),
        (["x" * 600, "y" * 422], ["x" * 600, "y" * 422]),
    ],
)
def test_a_list_that_is_too_long_is_truncated_to_what_heap_stores(items: list[Any], sent: list[Any]) -> None:
    """1,024 units when joined, and 1,023 for a text in it; a number is never split."""
    properties = made({"a": items})
    assert properties.values == {"a": sent}
    assert properties.cut == ([] if items == sent else ["a"])


@pytest.mark.parametrize(
    ("columns", "reason", "column"),
    [
        ({"a": {"b": float("nan")}}, Reason.NOT_FINITE, "a"),
        ({"a": [1, float("inf")]}, Reason.NOT_FINITE, "a"),
        ({"a": {"\ud800": 1}}, Reason.NOT_UNICODE, "a"),
        ({"a": "\ud800"}, Reason.NOT_UNICODE, "a"),
    ],
)
def test_a_name_or_value_that_cannot_be_sent_rejects_the_row(
    columns: dict[str, Any], reason: Reason, column: str | None
) -> None:
    """The column is named, not the key inside it, which may be content."""
    with pytest.raises(RowRejectedError) as rejected:
        made(columns)
    assert (rejected.value.reason, rejected.value.column) == (reason, column)


def test_lost_digits_in_a_selected_column_request_the_exact_reading() -> None:
    """Also inside a list or an object."""
    with pytest.raises(InexactNumberError):
        made({"a": [{"b": 1e20}]}, exact=False)


@pytest.mark.parametrize(
    ("columns", "sent", "at"),
    [
        ({"": 1, "a": 2}, {"a": 2}, [None]),
        ({"k" * 1024: 1, "a": 2}, {"a": 2}, [None]),
        ({"k" * 1023: 1}, {"k" * 1023: 1}, []),
        ({"a": {"k" * 1022: 1, "b": 2}}, {"a.b": 2}, ["a"]),
        ({"\U0001f600" * 512: 1, "a": 2}, {"a": 2}, [None]),
    ],
)
def test_a_name_that_no_property_can_have_is_left_out(
    columns: dict[str, Any], sent: dict[str, Any], at: list[str | None]
) -> None:
    """The rest of the row is sent."""
    properties = made(columns)
    assert (properties.values, properties.unnamable) == (sent, at)


def test_a_row_without_changes_has_no_report() -> None:
    """Most rows are of this kind."""
    assert maker().make([("a", 1), ("b", ABSENT), ("c", None)], exact=True) == ({"a": 1}, None)


def test_the_columns_that_airbyte_adds_are_left_out() -> None:
    """Whatever they contain; keys inside objects are not affected."""
    passing = PropertyMaker(Api.TRACK.endpoint, skips_airbytes=True)
    columns: dict[str, Any] = {"_ab_1": 1, "_AIRBYTE_x2": {"a": float("nan")}, "a": {"_ab_x": 2}}
    assert passing.make((), columns.items(), exact=True) == ({"a._ab_x": 2}, None)


@given(st.lists(st.dictionaries(st.text(max_size=3), json_values, max_size=5), max_size=4), st.booleans())
def test_a_row_is_mapped_the_same_whatever_the_rows_before_it(rows: list[dict[str, Any]], accepts_lists: bool) -> None:
    """Remembering names only makes it faster."""
    old_hand = maker(accepts_lists=accepts_lists)

    def outcome(maker: PropertyMaker, row: dict[str, Any]) -> Any:
        try:
            values, properties = maker.make(row.items(), exact=True)
        except RowRejectedError as rejection:
            return rejection.reason, rejection.column
        return list(values.items()), properties

    for row in rows + rows:
        assert outcome(old_hand, row) == outcome(maker(accepts_lists=accepts_lists), row)


def test_the_names_that_are_remembered_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key inside an object may be content; the properties are the same."""
    monkeypatch.setattr("destination_heap_analytics.mapping.properties._MOST_NAMES", 2)
    one = maker()
    for row in range(5):
        assert one.make([("o", {str(row): 1}), ("a", 2)], exact=True) == ({"a": 2, f"o.{row}": 1}, None)
        assert len(one.fit) <= 2


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=5), st.booleans())
def test_any_row_is_mapped_to_what_heap_accepts(columns: dict[str, Any], accepts_lists: bool) -> None:
    """Names and values have Heap's documented types and lengths."""
    for name, value in made(columns, accepts_lists=accepts_lists).values.items():
        assert 0 < text_units(name) <= 1023
        items = value if isinstance(value, list) else [value]
        assert accepts_lists or not isinstance(value, list)
        assert items
        for item in items:
            assert isinstance(item, (str, int, float))
            assert not isinstance(item, str) or text_units(item) <= 1023
            assert not isinstance(item, int) or abs(item) < 2**53


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    if isinstance(value, list):
        if any(isinstance(item, (dict, list)) for item in value):
            return sum(map(leaves, value))
        return int(any(item is not None for item in value))
    return int(value is not None)


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=5))
def test_no_value_is_lost_in_flattening(columns: dict[str, Any]) -> None:
    """Each value is sent, or reported as a collision."""
    properties = made(columns)
    assert len(properties.values) + len(properties.collisions) == leaves(columns)
