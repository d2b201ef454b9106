"""Names are checked against the limits of the warehouse."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from heap_courier.errors import SchemaError
from heap_courier.heap_connect.names import fits, no_view, refuse_names

SHORT: Any = SimpleNamespace(longest_name=8, reserved_columns=frozenset({"xmin"}))
ENDLESS: Any = SimpleNamespace(longest_name=None, reserved_columns=frozenset())


@pytest.mark.parametrize(("name", "is_short"), [("a" * 8, True), ("a" * 9, False), ("é" * 4, True), ("é" * 5, False)])
def test_the_length_of_a_name_is_counted_in_bytes(name: str, is_short: bool) -> None:
    assert fits(SHORT, name) is is_short
    assert fits(ENDLESS, name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "A column has an empty name"),
        ("a\0b", "A column has a NUL character in its name"),
        ("xmin", "The warehouse reserves the column name `xmin`"),
        ("a" * 9, "is longer than the 8 bytes that the warehouse allows"),
    ],
)
def test_a_name_that_the_warehouse_does_not_allow_is_refused(name: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        refuse_names(SHORT, ["id", name])


def test_names_that_the_warehouse_allows_are_not_refused() -> None:
    refuse_names(SHORT, ["id", "Heap:a b"])
    refuse_names(ENDLESS, ["xmin", "a" * 1000])


def test_it_is_explained_why_a_view_does_not_exist() -> None:
    assert no_view(SHORT, "There is no view `v`").endswith("longer than the 8 bytes that the warehouse allows.")
