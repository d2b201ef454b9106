"""Names of published folders and columns are accepted by every reader, and distinct names stay distinct."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.delta.names import column_names, folder_name
from heap_courier.errors import SchemaError

NAMES = st.text(st.sampled_from("aAx20_5F.: -é\n"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("Heap:users", "Heap.users"),
        ("Heap:users:resolved", "Heap.users.resolved"),
        ("Heap:sign up", "Heap.sign_x20_up"),
        ("v1.0:users", "v1_x2E_0.users"),
        ("Heap:a_x20_b", "Heap.a_x5F_x20_b"),
        ("Heap:Käufe", "Heap.K_xE4_ufe"),
    ],
)
def test_a_domain_table_has_a_folder(table: str, folder: str) -> None:
    assert folder_name(table) == folder


@given(NAMES, NAMES)
def test_no_two_tables_share_a_folder(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one == other)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", folder_name(one))


@given(NAMES, NAMES)
def test_no_two_columns_share_a_name(one: str, other: str) -> None:
    if one.lower() == other.lower() and one != other:
        with pytest.raises(SchemaError, match="differ only in case"):
            column_names([one, other])
    elif one != other:
        names = column_names([one, other])
        assert len({name.lower() for name in names.values()}) == 2
        assert not re.search(r"[ ,;{}()\n\t=]", "".join(names.values()))


def test_a_table_whose_folder_would_be_too_long_is_refused() -> None:
    with pytest.raises(SchemaError, match="would have 405 characters, but at most 200"):
        folder_name("Heap:" + "é" * 80)
