"""A compiled function makes the same elements as `transform`, or none; test_fast_lane.py compares whole runs."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import orjson
import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.mapping.columns.block import NotPlainError, Records
from destination_heap_analytics.mapping.columns.column import Column
from destination_heap_analytics.mapping.columns.picked import PickedColumns
from destination_heap_analytics.mapping.columns.shape import Shape
from destination_heap_analytics.mapping.plain_properties import UnfitShapeError
from destination_heap_analytics.mapping.plain_rows import compiled, used_by
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
    """The columns as fixed by a first row."""
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
def test_plain_rows_have_the_same_elements_as_with_transform(api: dict[str, Any], row: dict[str, Any]) -> None:
    """With its fields and properties in the same order."""
    selection = selection_of(api, {**ROW, "o": {"x": {"y": 1}, "z": {}}})
    plain_rows = compiled(selection)
    assert plain_rows
    rows = [ROW, row] if type(row["email"]) is str else [row]
    plain = plain_rows(Records(rows))
    assert plain.made is None
    assert plain.bodies([None] * len(rows)) == [
        orjson.dumps(transform(each, selection, exact=False)[0]) for each in rows
    ]


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
    """Then `transform` maps the rows of the block one by one."""
    plain_rows = compiled(selection_of(api))
    assert plain_rows
    with pytest.raises(NotPlainError):
        plain_rows(Records([ROW, {**ROW, **change}]))


@pytest.mark.parametrize("time", ["", " ", "never"])
def test_a_text_that_is_not_a_time_is_left_to_the_mapping_of_single_rows(time: str) -> None:
    """It rejects the row, or treats a blank text as null."""
    plain_rows = compiled(selection_of(TRACK))
    assert plain_rows
    with pytest.raises(RowRejectedError):
        plain_rows(Records([ROW, {**ROW, "at": time}]))


@pytest.mark.parametrize(
    "change",
    [
        {"property_columns": "plan::text"},
        {"property_columns": "plan,'pro' as p"},
    ],
)
def test_other_selections_are_not_compiled(change: dict[str, Any]) -> None:
    """Only `transform` supports casts and constants."""
    assert compiled(selection_of({**USERS, **change})) is None


@pytest.mark.parametrize("columns", ["*", "*, plan as p", "* except (plan)", "* except (o.x), plan as p"])
@pytest.mark.parametrize("api", [{**USERS, "identity_column": "id"}, ALL, TRACK])
def test_rows_of_a_known_shape_have_the_same_bodies_as_with_transform(api: dict[str, Any], columns: str) -> None:
    """Including lists, long texts, large integers, reserved names and columns left out; so are the changes."""
    rows = [
        {**ROW, "id": 1, "tags": ["a", None, 1, True], "_airbyte_meta": {"x": [{}]}},
        {**ROW, "id": 2, "tags": [], "plan": "x" * 1023, "o": None},
        {**ROW, "id": 3, "tags": "a", "plan": "é" * 1024, "o": {"x": {"y": 2**60}}},
        {**ROW, "id": 4, "tags": None, "plan": "\U0001f600" * 600, "o": {"x": None}},
        {**ROW, "id": 5, "tags": ["\U0001f600"], "plan": -0.0, "at": None},
        {**ROW, "id": 6, "tags": [], "plan": False},
    ]
    selection = selection_of({**api, "property_columns": columns}, rows[0])
    plain_rows, shape = compiled(selection), Shape()
    assert plain_rows
    for row in rows:
        shape.learn(row)
    names = [*rows[0]]
    picked = PickedColumns("users", names, (), used_by(selection), shape=shape, selects_all=True)
    lines = [json.dumps({"type": "RECORD", "record": {"stream": "users", "data": row}}).encode() for row in rows]
    block = picked.read(lines, lambda namespace: namespace is None)
    assert block
    plain = plain_rows(block)
    made = [transform(row, selection, exact=False) for row in rows]
    assert plain.bodies([None] * len(rows)) == [orjson.dumps(element) for element, _ in made]
    told = [changes for _, changes in made if changes]
    assert (plain.made.cut if plain.made else []) == [name for changes in told for name in changes.cut]
    assert (plain.made.forbidden if plain.made else []) == [name for changes in told for name in changes.forbidden]


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ("*", {"a.b": 1, "a": {"b": 2}}),
        ("*", {"": 1}),
        ("*", {"x" * 1024: 1}),
        ("*, plan as p", {"p": 1}),
        ("* except (note.city)", {"note": '{"city": 1}'}),
    ],
)
def test_a_shape_that_is_never_plain_is_recognised(columns: str, row: dict[str, Any]) -> None:
    """Two columns with one name, a name that no property can have, something left out inside a text."""
    whole = {**ROW, "id": None, **row}
    selection = selection_of({**USERS, "property_columns": columns}, whole)
    plain_rows, shape = compiled(selection), Shape()
    assert plain_rows
    shape.learn(whole)
    picked = PickedColumns("users", [*whole], (), used_by(selection), shape=shape, selects_all=True)
    line = json.dumps({"type": "RECORD", "record": {"stream": "users", "data": whole}}).encode()
    block = picked.read([line], lambda namespace: namespace is None)
    assert block
    with pytest.raises(UnfitShapeError):
        plain_rows(block)


def test_a_name_that_heap_reserves_needs_a_known_shape() -> None:
    """Under `*` it is left out, with a warning."""
    plain_rows = compiled(selection_of({**USERS, "property_columns": "*"}))
    assert plain_rows
    with pytest.raises(NotPlainError):
        plain_rows(Records([ROW]))


def test_every_part_of_a_selection_is_known() -> None:
    """For a new one, decide here whether rows that use it can be compiled, and add a case above."""
    assert {part.name for part in fields(Selection)} == {
        *("api", "key", "key_field", "event", "timestamp", "user_id", "properties", "rest", "maker")
    }
    assert {part.name for part in fields(Column)} == {
        *("name", "path", "declared", "may_guess", "guessed", "label", "cast", "whole", "keys")
    }
