"""Clusters from evidence."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heap_courier.stitch.linking.clusters import LARGEST, MOST_PARTS, Apart, Clusters, cluster

RECORDS = st.integers(1, 8)
PAIRS = st.lists(st.tuples(RECORDS, RECORDS).filter(lambda pair: pair[0] != pair[1]), max_size=10)
GROUPS = st.lists(st.lists(RECORDS, min_size=2, max_size=4, unique=True).map(sorted), max_size=5)
MARKS = st.dictionaries(
    RECORDS, st.dictionaries(st.sampled_from(["sk-a", "sk-b"]), st.sampled_from("xy"), min_size=1), max_size=6
)


def parts(clusters: Clusters) -> set[frozenset[int]]:
    roots = dict(enumerate(clusters.roots(), 1))
    return {frozenset(each for each in roots if roots[each] == root) for root in roots.values()}


def opposed(pairs: list[tuple[int, int]]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for first, second in pairs:
        found.setdefault(first, set()).add(second)
        found.setdefault(second, set()).add(first)
    return found


@given(MARKS, GROUPS, PAIRS)
def test_no_cluster_has_two_values_of_a_separation_key(
    marks: dict[int, dict[str, str]], groups: list[list[int]], scored: list[tuple[int, int]]
) -> None:
    for part in parts(cluster(Clusters(8, marks), groups=groups, scored=scored)):
        for name in ("sk-a", "sk-b"):
            assert len({marks[each][name] for each in part if name in marks.get(each, {})}) <= 1


@given(MARKS, GROUPS, PAIRS, st.lists(st.sampled_from("pq"), min_size=3, max_size=3))
def test_labels_override_all_other_evidence(
    marks: dict[int, dict[str, str]], groups: list[list[int]], scored: list[tuple[int, int]], partitions: list[str]
) -> None:
    for record, partition in zip((1, 2, 3), partitions, strict=True):
        marks = {**marks, record: {**marks.get(record, {}), "label:1": partition}}
    labelled = [[each for each in (1, 2, 3) if marks[each]["label:1"] == name] for name in "pq"]

    found = cluster(Clusters(8, marks), labelled=filter(None, labelled), groups=groups, scored=scored)

    for first, second in combinations((1, 2, 3), 2):
        together = marks[first]["label:1"] == marks[second]["label:1"]
        assert (found.find(first) == found.find(second)) is together


@given(MARKS, GROUPS, PAIRS, GROUPS)
@example({n: {"sk-a": "xy"[n % 2]} for n in (1, 2, 3, 4)}, [[2, 3]], [], [[1, 2], [3, 4]])
def test_only_labels_join_different_separation_keys(
    marks: dict[int, dict[str, str]], groups: list[list[int]], scored: list[tuple[int, int]], labelled: list[list[int]]
) -> None:
    """Even indirectly: two records of a customer have the same separation key unless labels alone join them."""
    by_labels = cluster(Clusters(8, marks), labelled=labelled)

    found = cluster(Clusters(8, marks), labelled=labelled, groups=groups, scored=scored)

    for first, second in combinations(range(1, 9), 2):
        if found.find(first) == found.find(second) and by_labels.find(first) != by_labels.find(second):
            ours, theirs = marks.get(first, {}), marks.get(second, {})
            assert all(theirs.get(name, value) == value for name, value in ours.items())


def test_a_key_of_very_many_customers_takes_linear_time() -> None:
    """Each record is only compared with a few others, but still finds the one with its separation key."""
    people = 500
    marks = {record: {"sk-a": str(record % people)} for record in range(1, 2 * people + 1)}

    found = cluster(Clusters(2 * people + 1, marks), groups=[list(range(1, 2 * people + 2))])

    expected = {frozenset({record, record + people}) for record in range(1, people + 1)}
    assert parts(found) == expected | {frozenset({2 * people + 1})}
    assert len(found.refused) < 2 * people + MOST_PARTS**2


def test_a_label_joins_two_separation_keys_into_one_part_of_a_group() -> None:
    found = cluster(Clusters(3, {1: {"sk-a": "x"}, 2: {"sk-a": "y"}}), labelled=[[1, 2]], groups=[[1, 2, 3]])

    assert parts(found) == {frozenset({1, 2, 3})}
    assert not found.refused


@given(PAIRS, PAIRS)
def test_scores_never_join_records_that_contradict_each_other(
    scored: list[tuple[int, int]], contradicting: list[tuple[int, int]]
) -> None:
    found = cluster(Clusters(8, {}, opposed(contradicting)), scored=scored)

    assert all(found.find(first) != found.find(second) for first, second in contradicting)


@given(GROUPS, PAIRS)
def test_without_conflicts_all_linked_records_are_joined(
    groups: list[list[int]], scored: list[tuple[int, int]]
) -> None:
    found = cluster(Clusters(8), groups=groups, scored=scored)

    assert all(found.find(first) == found.find(second) for first, second in scored)
    assert all(len({found.find(each) for each in group}) == 1 for group in groups)
    assert not found.refused


def test_a_record_without_a_separation_key_that_fits_two_customers_stays_apart() -> None:
    found = cluster(Clusters(4, {1: {"sk-a": "x"}, 2: {"sk-a": "y"}}), groups=[[1, 2, 3, 4]])

    assert parts(found) == {frozenset({1}), frozenset({2}), frozenset({3, 4})}
    assert found.refused == {(1, 2): Apart.SEPARATION_KEY, (1, 3): Apart.AMBIGUOUS, (2, 3): Apart.AMBIGUOUS}


def test_a_key_joins_records_that_contradict_each_other() -> None:
    found = cluster(Clusters(2, {}, opposed([(1, 2)])), groups=[[1, 2]])

    assert parts(found) == {frozenset({1, 2})}


def test_scores_make_no_customer_larger_than_the_limit_and_mark_supersized_ones() -> None:
    found = cluster(Clusters(LARGEST + 2), scored=[(1, other) for other in range(2, LARGEST + 3)])

    assert sorted(map(len, parts(found))) == [1, 1, LARGEST]
    assert found.supersized() == {1, LARGEST + 1, LARGEST + 2}


@pytest.mark.parametrize(
    ("named", "people", "joined"),
    [
        ([2], {2}, True),  # one customer has the address
        ([2, 3], {2, 3}, False),  # two customers have it: ambiguous
        ([], set(), True),  # no record with a name has it
        ([2], {1, 2}, False),  # the record already belongs to someone with a name
    ],
)
def test_a_record_without_a_name_joins_the_only_customer_with_its_email(
    named: list[int], people: set[int], joined: bool
) -> None:
    found = Clusters(4)

    found.join_nameless([1, 4], named, people.__contains__)

    assert (found.find(4) in {found.find(each) for each in [*named, 1] if each != 4}) is (joined or people == {1, 2})
    assert (found.find(1) in {found.find(each) for each in [*named, 4] if each != 1}) is joined


def test_a_shared_mailbox_links_no_records_without_a_name() -> None:
    found = Clusters(25)

    found.join_nameless(list(range(1, 22)), [], lambda _root: False)

    assert len(parts(found)) == 25
    assert set(found.refused.values()) == {Apart.SHARED_MAILBOX}
