"""Only the used columns of a line are parsed; lines with unknown columns are refused."""

from __future__ import annotations

import pytest

from destination_heap_analytics.mapping.columns.block import Block, NotPlainError
from destination_heap_analytics.mapping.columns.picked import PickedColumns

NAMES = ("id", "plan", "address", "note", "deleted")
PATHS = (("id",), ("address", "city"), ("address", "geo", "lat"), ("never",))


def read(*data: str) -> Block | None:
    """What is parsed of rows with this data."""
    lines = [f'{{"type":"RECORD","record":{{"stream":"users","data":{row}}}}}'.encode("latin-1") for row in data]
    return PickedColumns("users", NAMES, ("deleted",), PATHS).read(lines, lambda namespace: namespace is None)


def test_columns_are_read_by_their_paths() -> None:
    """None for a value that is null or absent, or below a parent that is."""
    block = read(
        '{"id":1,"address":{"city":"Rome","geo":{"lat":1.5}},"plan":[{}]}',
        '{"note":"x","address":{"geo":{},"city":true,"zip":1},"id":"\\u00e9"}',
        '{"id":9223372036854775807,"address":{"geo":null},"deleted":null}',
        '{"id":7E+3,"address":null,"id":0}',
    )
    assert block
    assert len(block) == 4
    assert block.column(("id",)) == [1, "é", 9223372036854775807, 0]
    assert block.column(("address", "city")) == ["Rome", True, None, None]
    assert block.column(("address", "geo", "lat")) == [1.5, None, None, None]
    assert block.column(("never",)) == [None] * 4
    with pytest.raises(NotPlainError):
        block.rows  # noqa: B018  # a property that raises


@pytest.mark.parametrize(
    "odd",
    [
        '{"id":1,"new":null}',
        '{"deleted":1}',
        '{"id":[]}',
        '{"id":{}}',
        '{"address":"{}"}',
        '{"address":{"geo":[]}}',
        '{"id":NaN}',
        '{"id":9223372036854775808}',
        '{"plan":NaN}',
        '{"plan":01}',
        '{"plan":"\\ud800"}',
        '{"id":1',
        '{"plan":' + "[" * 100_000 + "]" * 100_000 + "}",
        "[]",
        "null",
    ],
)
def test_reading_stops_before_a_line_with_anything_else(odd: str) -> None:
    """Also before a text or a list where an object is expected."""
    assert read(odd, "{}") is None
    block = read('{"id":1}', odd, "{}")
    assert block
    assert len(block) == 1


@pytest.mark.parametrize("paths", [[("id",), ("id", "x")], [("deleted",)]])
def test_some_columns_cannot_be_picked(paths: list[tuple[str, ...]]) -> None:
    """One that is used both as a whole and in parts, and one that must be null."""
    with pytest.raises(NotPlainError):
        PickedColumns("users", NAMES, ("deleted",), paths)
    with pytest.raises(NotPlainError):
        PickedColumns("users", [str(number) for number in range(501)], (), [])
