"""Precision and recall: of all pairs in one cluster, how many should be; of all that should be, how many are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple


class Quality(NamedTuple):
    """The quality of clusters, pair by pair, from 0 to 1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def quality(records: Iterable[tuple[Hashable, Hashable]]) -> Quality:
    """The quality, from the true and the found customer of each record."""
    both: Counter[tuple[Hashable, Hashable]] = Counter(records)
    true: Counter[Hashable] = Counter()
    found: Counter[Hashable] = Counter()
    for (person, customer), count in both.items():
        true[person] += count
        found[customer] += count
    right = _pairs(both)
    return Quality(right / max(_pairs(found), 1), right / max(_pairs(true), 1))


def _pairs(counts: Counter[Hashable] | Counter[tuple[Hashable, Hashable]]) -> int:
    return sum(count * (count - 1) // 2 for count in counts.values())
