"""Lengths are counted as in Heap, and the APIs are as documented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.heap_api import Api, cut_text, text_units


@pytest.mark.parametrize(("text", "units"), [("", 0), ("abc", 3), ("é", 1), ("😀", 2), ("\ud800", 1)])
def test_a_length_is_in_utf_16_units(text: str, units: int) -> None:
    """A character outside the basic plane counts twice."""
    assert text_units(text) == units


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_the_longest_beginning_that_fits(text: str, units: int) -> None:
    """One character more would be too many."""
    cut = cut_text(text, units)
    assert text.startswith(cut)
    assert text_units(cut) <= units
    assert cut == text or text_units(text[: len(cut) + 1]) > units


def test_the_apis_are_as_documented() -> None:
    """Path, key and peculiarities of each."""
    assert {
        api.value: (api.endpoint.path, api.endpoint.key_field, api.endpoint.accepts_lists, set(api.endpoint.reserved))
        for api in Api
    } == {
        "track": ("/api/track", "identity", True, set()),
        "add_user_properties": ("/api/add_user_properties", "identity", False, {"id"}),
        "add_account_properties": ("/api/add_account_properties", "account_id", False, set()),
        "identify": ("/api/v1/identify", "identity", False, set()),
        "delete_users": ("/api/public/v0/user_deletion", "identity", False, set()),
    }
