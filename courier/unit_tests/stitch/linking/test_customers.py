"""Stable ids of customers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.stitch.linking.customers import Overlap, fingerprint, inherit, name_customers
from heap_courier.stitch.scratch import Scratch, scratch

OVERLAPS = st.lists(
    st.builds(Overlap, st.sampled_from("abcd"), st.integers(1, 4), st.integers(1, 5)),
    unique_by=lambda each: (each.customer, each.cluster),
)


def test_a_merge_keeps_the_id_of_the_larger_part() -> None:
    assert inherit([Overlap("a", 1, 2), Overlap("b", 1, 3)]) == {1: "b"}


def test_after_a_split_the_larger_part_keeps_the_id() -> None:
    assert inherit([Overlap("a", 1, 2), Overlap("a", 3, 3)]) == {3: "a"}


def test_the_lower_id_wins_between_parts_of_equal_size() -> None:
    assert inherit([Overlap("b", 1, 1), Overlap("a", 1, 1), Overlap("b", 2, 1)]) == {1: "a", 2: "b"}


@given(OVERLAPS, st.randoms())
def test_no_id_is_inherited_twice_and_the_order_does_not_matter(overlaps: list[Overlap], chance: object) -> None:
    ids = inherit(overlaps)

    assert len(set(ids.values())) == len(ids)
    shuffled = list(overlaps)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert inherit(shuffled) == ids


Step = dict[str, str]
"""The records of a run; those with the same value are one customer."""


def history(chance: Random) -> list[Step]:
    """Runs in which records appear, disappear and come back, and customers merge and split."""
    steps: list[Step] = []
    step: Step = {}
    for _ in range(6):
        step = {record: step.get(record, "") if chance.random() < 0.6 else chance.choice("xyz") for record in "bcdefgh"}
        steps.append({record: group or record for record, group in step.items() if chance.random() < 0.85})
    return steps


def fill(opened: Scratch, table: str, columns: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Creates a table with these rows, replacing an existing one."""
    opened.execute(f"CREATE OR REPLACE TABLE {table} ({columns})")
    if values := ", ".join(f"({', '.join(repr(value) for value in row)})" for row in rows):
        opened.execute(f"INSERT INTO {table} VALUES {values}")


def ids_after(opened: Scratch, steps: list[Step]) -> list[dict[str, str]]:
    """The id of each record's customer after each run."""
    found: list[dict[str, str]] = []
    remembered: dict[str, str] = {}
    given_ids: set[str] = set()
    for step in steps:
        rids = {record: rid for rid, record in enumerate(sorted(step), 1)}
        least = {group: min(rids[record] for record in step if step[record] == group) for group in step.values()}
        fill(opened, "record", "rid BIGINT, datasource VARCHAR, pk VARCHAR", [(rids[r], "CRM", r) for r in step])
        fill(opened, "membership", "rid BIGINT, cluster BIGINT", [(rids[r], least[step[r]]) for r in step])
        fill(
            opened, "seen", "datasource VARCHAR, pk VARCHAR, id VARCHAR", [("CRM", *row) for row in remembered.items()]
        )
        opened.execute(
            f"CREATE OR REPLACE TABLE remembered AS SELECT {fingerprint('datasource', 'pk')} AS record, "
            "id AS customer_id FROM seen"
        )
        fill(opened, "given_id", "customer_id VARCHAR", [(customer,) for customer in given_ids])
        opened.execute("DROP TABLE IF EXISTS overlap; DROP TABLE IF EXISTS customer")
        name_customers(opened)
        rows = opened.query(
            "SELECT pk, customer_id FROM record JOIN membership USING (rid) JOIN customer USING (cluster)"
        )
        found.append(dict(rows))
        remembered |= found[-1]
        given_ids |= set(found[-1].values())
    return found


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(4, 60))]
)
def test_ids_stay_with_their_records_and_are_never_reused(seed: int, tmp_path: Path) -> None:
    """However records change; nor do the records of other customers change an id."""
    steps = history(Random(seed))
    others = [{**step, "a": "other", "z": "another"} for step in steps]
    with scratch(tmp_path, "64MB") as opened:
        found = ids_after(opened, steps)
        beside_others = ids_after(opened, others)

    last: dict[str, str] = {}
    given_before: set[str] = set()
    for step, ids in zip(steps, found, strict=True):
        customers = {group: {ids[record] for record in step if step[record] == group} for group in step.values()}
        assert all(len(each) == 1 for each in customers.values())
        assert len({*ids.values()}) == len(customers)
        for group, (customer,) in customers.items():
            records = {record for record in step if step[record] == group}
            earlier = {last[record] for record in records if record in last}
            assert customer in earlier or customer not in given_before
            alone = len(earlier) == 1 and not any(last.get(other) in earlier for other in step if other not in records)
            assert not alone or {customer} == earlier
        last |= ids
        given_before |= set(ids.values())
    assert [{record: ids[record] for record in step} for step, ids in zip(steps, beside_others, strict=True)] == found
