"""Ids that stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heap_courier.stitch.linking.customers import Overlap, inherit

OVERLAPS = st.lists(
    st.builds(Overlap, st.sampled_from("abcd"), st.integers(1, 4), st.integers(1, 5)),
    unique_by=lambda each: (each.customer, each.cluster),
)


def test_after_a_merge_the_id_of_the_larger_part_stays() -> None:
    assert inherit([Overlap("a", 1, 2), Overlap("b", 1, 3)]) == {1: "b"}


def test_after_a_split_the_id_stays_with_the_larger_part() -> None:
    assert inherit([Overlap("a", 1, 2), Overlap("a", 3, 3)]) == {3: "a"}


def test_of_equal_parts_the_lesser_id_comes_first() -> None:
    assert inherit([Overlap("b", 1, 1), Overlap("a", 1, 1), Overlap("b", 2, 1)]) == {1: "a", 2: "b"}


@given(OVERLAPS, st.randoms())
def test_no_id_is_inherited_twice_and_the_order_does_not_matter(overlaps: list[Overlap], chance: object) -> None:
    ids = inherit(overlaps)

    assert len(set(ids.values())) == len(ids)
    shuffled = list(overlaps)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert inherit(shuffled) == ids
