"""`*` selects every column except those that are left out or listed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.mapping.columns.all_columns import AllColumns, tree_of
from destination_heap_analytics.mapping.columns.column import Column
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns

ROW = {
    "id": 1,
    "address": {"city": "Rome", "geo": {"lat": 1.5, "lon": 2}},
    "address.geo": "literal",
    "traits": '{"plan": "pro", "ssn": 12345678901234567890, "rate": 1.10}',
    "items": [{"sku": "a", "price": 1}, {"sku": "b"}],
    "note": None,
}


def rest(row: dict[str, Any], *excepted: str, listed: tuple[str, ...] = ()) -> dict[str, Any]:
    columns = [PropertyColumns(Column(name, may_guess=True) for name in names) for names in (listed, excepted)]
    for each in columns:
        each.learn(row)
    return dict(AllColumns(*columns).values(row, exact=True))


@pytest.mark.parametrize(
    ("excepted", "changes"),
    [
        (["id"], {"id": ...}),
        (["address"], {"address": ...}),
        (["address.geo"], {"address.geo": ...}),
        (["address.geo.lat"], {"address": {"city": "Rome", "geo": {"lon": 2}}}),
        (["address.city", "address"], {"address": ...}),
        (["address_city"], {"address": {"geo": {"lat": 1.5, "lon": 2}}}),
        (["traits.ssn"], {"traits": '{"plan":"pro","rate":1.10}'}),
        (["items.0"], {"items": [None, {"sku": "b"}]}),
        (["items.0.sku"], {"items": [{"price": 1}, {"sku": "b"}]}),
        (["items[].sku"], {"items": [{"price": 1}, {}]}),
        (["items[]"], {"items": [None, None]}),
        (["note", "missing", "id.x"], {"note": ...}),
    ],
)
def test_what_is_excepted_is_left_out_wherever_it_is(excepted: list[str], changes: dict[str, Any]) -> None:
    """Inside an object, a list, or JSON in a text; the row itself is not changed."""
    before = repr(ROW)
    expected = {key: value for key, value in {**ROW, **changes}.items() if value is not ...}
    assert rest(ROW, *excepted) == expected
    assert rest(ROW, listed=tuple(excepted)) == expected
    assert repr(ROW) == before


def test_without_exceptions_the_row_is_used_unchanged() -> None:
    """Nothing is copied."""
    assert rest(ROW) == ROW


@pytest.mark.parametrize(
    "rows",
    [
        [{"address": {"city": 1}}, {"address": {"city": 1}, "address_city": 1}, {"address": {"city": 1}}],
        [{"address_city": 1}, {"address_city": 1}],
        [{"a": 1}, {"address": {"city": 1}}, {"address_city": 1}, {"address": '{"city":1}'}],
    ],
)
def test_what_one_row_leaves_out_no_later_row_sends(rows: list[dict[str, Any]]) -> None:
    """Even if a later row shows that the guess was wrong: what must not be sent is never sent in part."""
    excepted = PropertyColumns([Column("address_city", may_guess=True)])
    columns = AllColumns(PropertyColumns([]), excepted)
    for row in rows:
        excepted.learn(row)
        assert dict(columns.values(row, exact=True)) in ({}, {"a": 1}, {"address": {}}, {"address": "{}"})


def test_a_key_of_exactly_the_excepted_name_is_left_out_after_a_path_of_that_name() -> None:
    """Otherwise it would become the property that the setting leaves out."""
    excepted = PropertyColumns([Column("address.city", may_guess=True)])
    columns = AllColumns(PropertyColumns([]), excepted)
    excepted.learn({"address": {"city": 1}})
    assert dict(columns.values({"address.city": 1, "b": 2}, exact=True)) == {"b": 2}


paths = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple), max_size=5)


@given(paths)
def test_a_path_is_left_out_if_it_or_one_above_it_is(excepted: list[tuple[str, ...]]) -> None:
    """Whatever the order in which they are listed."""

    def leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        below = [leaves(inner, (*above, key)) if inner else {(*above, key)} for key, inner in tree.items()]
        return set().union(*below)

    shortest = {path for path in excepted if not any(path[:cut] in excepted for cut in range(1, len(path)))}
    assert leaves(tree_of(excepted)) == shortest
