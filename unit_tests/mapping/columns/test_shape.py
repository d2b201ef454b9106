"""The shape of rows: their columns, which of them have values that are not plain, and whether rows are alike."""

from __future__ import annotations

from typing import Any

import pytest

from destination_heap_analytics.mapping.columns.shape import Shape, are_fields


def learned(*rows: dict[str, Any]) -> Shape:
    shape = Shape()
    for row in rows:
        shape.learn(row)
    return shape


def test_columns_come_in_the_order_of_properties() -> None:
    """Top-level columns first, then those inside objects, level by level; none that Airbyte adds."""
    shape = learned(
        {"a": {"x": 1, "o": {"y": 1}}, "b": None, "_airbyte_meta": {"z": 1}}, {"c": 1, "b": {"w": 1}, "e": {}}
    )
    assert list(shape.leaves()) == [("c",), ("a", "x"), ("b", "w"), ("a", "o", "y")]


@pytest.mark.parametrize("value", ["x" * 512, 2**53, [1], []])
def test_a_column_may_have_values_that_are_not_plain(value: Any) -> None:
    """Lists, long texts, large integers; the shape grows once for each such column."""
    shape = learned({"a": {"b": "x" * 511}, "c": 2**53 - 1})
    size = shape.size
    assert shape.irregular == set()
    shape.learn({"a": {"b": value}})
    shape.learn({"a": {"b": value}})
    assert (shape.irregular, shape.size) == ({("a", "b")}, size + 1)
    other = learned({})
    other.look_at({"a": {"b": value}}, [("a", "b"), ("c",)])
    assert other.irregular == {("a", "b")}


@pytest.mark.parametrize(
    ("rows", "are_alike"),
    [
        ([], False),
        ([{}], False),
        ([{"a": 1}], True),
        ([{f"c{at}": 1 for at in range(400)}], True),
        ([{f"c{at}": 1 for at in range(501)}], False),
        ([{f"c{number}": 1} for number in range(20)], True),
        ([{f"c{number}": 1} for number in range(100)], False),
        ([{"a": {f"content {number}": 1 for number in range(600)}}], False),
    ],
    ids=str,
)
def test_rows_with_few_common_columns_are_not_alike(rows: list[dict[str, Any]], are_alike: bool) -> None:
    """A decoder would spend most of its time on columns that a row lacks."""
    assert learned(*rows).is_regular is are_alike


def test_rows_that_are_nested_deeply_are_not_alike() -> None:
    """No decoder of that depth is built."""
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    assert not learned(deep).is_regular


@pytest.mark.parametrize(
    ("name", "is_field"),
    [
        ("plan", True),
        ("Füße \u2028\x7f", True),
        ("", True),
        ('a"', False),
        ("a\\", False),
        ("a\n", False),
        ("\ud800", False),
    ],
)
def test_names_that_json_escapes_cannot_be_fields(name: str, is_field: bool) -> None:
    """No decoder can be built with such a name."""
    assert are_fields(["a", name]) is is_field
