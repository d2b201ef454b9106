"""Rows that Heap would ignore are recognised before they are sent."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.errors import Reason
from destination_heap_analytics.mapping.identity_counts import IdentityCounts


def test_a_user_id_has_one_identity() -> None:
    """The first one; a repeat changes nothing, and is sent."""
    counts = IdentityCounts()
    assert counts.add("ada", "1") is None
    assert counts.add("ada", "1") is None
    assert counts.add("bob", "1") is Reason.SECOND_IDENTITY
    assert counts.add("bob", "2") is None


def test_an_identity_has_ten_user_ids() -> None:
    """Another identity has its own ten; repeats and rejected rows do not count."""
    counts = IdentityCounts()
    assert {counts.add("ada", str(number)) for number in range(10)} == {None}
    assert counts.add("ada", "10") is Reason.TOO_MANY_USER_IDS
    assert counts.add("ada", "9") is None
    assert counts.add("bob", "10") is None


@given(st.lists(st.tuples(st.sampled_from(["ada", "Ada", "bob"]), st.integers(0, 30)), max_size=80))
def test_no_limit_is_exceeded_and_no_row_is_rejected_unnecessarily(rows: list[tuple[str, int]]) -> None:
    """Compared with sets of everything accepted."""
    counts = IdentityCounts()
    owner: dict[int, str] = {}
    owned: dict[str, set[int]] = defaultdict(set)
    for identity, number in rows:
        fits = owner.get(number, identity) == identity and len(owned[identity] | {number}) <= 10
        assert (counts.add(identity, str(number)) is None) == fits
        if fits:
            owner[number] = identity
            owned[identity].add(number)


@pytest.mark.parametrize("identity", ["\N{GRINNING FACE}", "x" * 255])
def test_any_identity_and_user_id_can_be_counted(identity: str) -> None:
    """Even the largest ID."""
    counts = IdentityCounts()
    assert counts.add(identity, str(2**53 - 1)) is None
    assert counts.add(identity, str(2**53 - 1)) is None
