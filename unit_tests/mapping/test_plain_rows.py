"""A compiled function makes the elements that `transform` makes, or none; test_fast_lane.py compares whole runs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.mapping.columns.block import NotPlainError, Records
from destination_heap_analytics.mapping.columns.column import Column
from destination_heap_analytics.mapping.plain_rows import compiled
from destination_heap_analytics.mapping.transformer import Selection, transform

ROW = {"email": "a@b.c", "event": "e", "at": "2022-10-21T04:09:54Z", "plan": "pro", "id": 7, "o": {"x": {"y": 1}}}
USERS = {"api_type": "add_user_properties", "property_columns": "plan,o.x.y", "identity_column": "email"}
ALL = {"api_type": "add_account_properties", "property_columns": "*", "account_id_column": "id"}
TRACK = {
    "api_type": "track",
    "property_columns": "plan as p",
    "event_column": "event",
    "identity_column": "email",
    "timestamp_column": "at",
}


def selection_of(api: dict[str, Any], row: dict[str, Any] = ROW) -> Selection:
    """The columns, as a first row fixes them, after it was mapped."""
    selection = Selection.from_settings(parse_config({"app_id": "11", "api": api}).settings.api, {}).found_in(row)
    transform(row, selection, exact=False)
    return selection


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {**ROW, "plan": None, "o": None, "at": None},
        {**ROW, "plan": 2.5, "o": {"x": None}, "_airbyte_id": "x", "_ab_meta": {}},
        {**ROW, "plan": "x" * 511, "o": {"x": {"y": "é"}, "z": {}}},
        {**ROW, "email": "é@b.c", "event": "é", "id": 8, "at": None},
        {"email": 12, "event": 7, "id": 7},
    ],
)
@pytest.mark.parametrize("api", [USERS, ALL, TRACK, {**TRACK, "event_column": "'Signed up'", "timestamp_column": None}])
def test_plain_rows_have_the_element_of_transform(api: dict[str, Any], row: dict[str, Any]) -> None:
    """With its fields and properties in the same order."""
    selection = selection_of(api, {**ROW, "o": {"x": {"y": 1}, "z": {}}})
    elements_of = compiled(selection)
    assert elements_of
    element = transform(row, selection, exact=False)[0]
    assert repr(elements_of(Records([row]))) == repr([element])
    if type(row["email"]) is str:
        assert repr(elements_of(Records([ROW, row]))) == repr([transform(ROW, selection, exact=False)[0], element])


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "x" * 1024},
        {"plan": "é" * 512},
        {"plan": 2**53},
        {"plan": float("inf")},
        {"plan": ["a"]},
        {"o": {"x": '{"y": 1}'}, "plan": ["a"]},
        {"email": None, "id": None},
        {"email": "é" * 128, "id": "é" * 128},
        {"email": True, "id": True},
        {"email": " ", "id": " "},
        {"email": "x" * 256, "id": "x" * 256},
    ],
)
@pytest.mark.parametrize("api", [USERS, ALL, TRACK])
def test_other_rows_are_not_mapped(api: dict[str, Any], change: dict[str, Any]) -> None:
    """Then `transform` is asked about each row of the block."""
    elements_of = compiled(selection_of(api))
    assert elements_of
    with pytest.raises(NotPlainError):
        elements_of(Records([ROW, {**ROW, **change}]))


@pytest.mark.parametrize("time", ["", " ", "never"])
def test_a_text_that_is_not_a_time_is_left_to_the_mapping_of_single_rows(time: str) -> None:
    """Which rejects the row, or takes a blank text for null."""
    elements_of = compiled(selection_of(TRACK))
    assert elements_of
    with pytest.raises(RowRejectedError):
        elements_of(Records([ROW, {**ROW, "at": time}]))


@pytest.mark.parametrize(
    "change",
    [
        {"property_columns": "plan::text"},
        {"property_columns": "plan,'pro' as p"},
        {"property_columns": "*, plan as p"},
        {"property_columns": "* except (plan)"},
    ],
)
def test_other_selections_are_not_compiled(change: dict[str, Any]) -> None:
    """Casts, constants and columns that are left out are known to `transform` alone."""
    assert compiled(selection_of({**USERS, **change})) is None


def test_a_name_that_heap_reserves_is_not_compiled() -> None:
    """Under `*` it is left out, with a warning."""
    elements_of = compiled(selection_of({**USERS, "property_columns": "*"}))
    assert elements_of
    with pytest.raises(NotPlainError):
        elements_of(Records([ROW]))


def test_every_part_of_a_selection_is_known() -> None:
    """For a new one, decide here whether rows that use it can be compiled, and add a case above."""
    assert {part.name for part in fields(Selection)} == {
        *("api", "key", "key_field", "event", "timestamp", "user_id", "properties", "rest", "maker")
    }
    assert {part.name for part in fields(Column)} == {
        *("name", "path", "declared", "may_guess", "guessed", "label", "cast", "whole", "keys")
    }
