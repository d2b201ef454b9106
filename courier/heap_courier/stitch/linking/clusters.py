"""Groups records into clusters, one per customer. The result depends only on the evidence, not on its order.

Evidence is applied in this order: labels, equal keys, scores from high to low. Two clusters are never joined if they
have different separation keys, or labels that keep them apart; scores do not join them either if two of their records
contradict each other. When in doubt, records stay apart: a wrong merge shows one customer another's data.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

LARGEST: Final = 500
"""The largest cluster that scores can form: https://docs.amperity.com/reference/stitch.html."""

SHARED: Final = 20
"""An e-mail address of more records without a name is a shared mailbox."""

MOST_PARTS: Final = 20
"""The most parts of a group that a record is compared with; if there are more, only with one that has equal marks."""

LABEL: Final = "label"
"""The prefix of marks that come from labels."""


class Apart(Enum):
    """Why two records were kept apart although something links them."""

    LABEL = "a label keeps them apart"
    SEPARATION_KEY = "different separation keys"
    CONTRADICTION = "records of the two customers contradict each other"
    AMBIGUOUS = "it fits several customers equally well"
    SHARED_MAILBOX = "too many records without a name have this e-mail address"
    TOO_LARGE = f"the customer would have more than {LARGEST} records"


@dataclass(slots=True)
class Clusters:
    """The records 1 to `count` in clusters, which only grow.

    Attributes:
        count: the number of records.
        marks: the marks of each record, `sk-...` or `label...`, with their values. Clusters with different values of
            the same mark stay apart.
        opposed: for each record, the records that contradict it; scores never join them. Symmetric.
        refused: pairs of linked records that were not joined, with the reason.
    """

    count: int
    marks: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    opposed: Mapping[int, Collection[int]] = field(default_factory=dict)
    refused: dict[tuple[int, int], Apart] = field(default_factory=dict)
    _parent: array[int] = field(init=False)
    _size: array[int] = field(init=False)
    _marks: dict[int, dict[str, frozenset[str]]] = field(init=False)
    _opposed: dict[int, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._parent = array("q", range(self.count + 1))
        self._size = array("q", [1]) * (self.count + 1)
        self._marks = {
            record: {name: frozenset((value,)) for name, value in marks.items()} for record, marks in self.marks.items()
        }
        self._opposed = {record: [record] for record in self.opposed}

    def find(self, record: int) -> int:
        """The lowest record in the cluster of a record."""
        parent = self._parent
        while parent[record] != record:
            parent[record] = parent[parent[record]]
            record = parent[record]
        return record

    def roots(self) -> Iterator[int]:
        """The lowest record in the cluster of each record, ordered by record."""
        return map(self.find, range(1, self.count + 1))

    def supersized(self) -> set[int]:
        """The lowest record of each cluster that is too large, or would have become too large."""
        cut = {self.find(record) for pair, why in self.refused.items() if why is Apart.TOO_LARGE for record in pair}
        return cut | {
            root for root in range(1, self.count + 1) if self._size[root] > LARGEST and self.find(root) == root
        }

    def join_labelled(self, records: Sequence[int]) -> None:
        """Joins the records of a partition of a label, overriding all other evidence."""
        for record in records[1:]:
            self._join(self.find(records[0]), self.find(record))

    def join_group(self, records: Sequence[int]) -> None:
        """Joins records that share a key, as far as their marks allow.

        Records without marks are joined with each other, and with the only part that has marks if there is just one.
        """
        parts: list[int] = []
        by_marks: dict[frozenset[tuple[str, frozenset[str]]], int] = {}
        unmarked: list[int] = []
        for record in records:
            root = self.find(record)
            if root in self._marks:
                self._join_part(parts, by_marks, root, record)
            else:
                unmarked.append(record)
        if not unmarked:
            return
        first, *others = unmarked
        for record in others:
            self._join(self.find(first), self.find(record))
        if len(parts) == 1:
            self._join(self.find(parts[0]), self.find(first))
        elif parts:
            for part in parts[:MOST_PARTS]:
                self.refused[_pair(part, first)] = Apart.AMBIGUOUS

    def join_scored(self, first: int, second: int) -> None:
        """Joins the clusters of two records linked by a score, unless marks or contradictions forbid it."""
        one, other = self.find(first), self.find(second)
        if one == other:
            return
        why = self._forbidden(one, other) or self._contradiction(one, other)
        if why is None and self._size[one] + self._size[other] > LARGEST:
            why = Apart.TOO_LARGE
        if why:
            self.refused[_pair(first, second)] = why
        else:
            self._join(one, other)

    def join_nameless(self, nameless: Sequence[int], named: Sequence[int], is_named: Callable[[int], bool]) -> None:
        """Joins records without a name with the customer who has their e-mail address, if there is exactly one.

        Args:
            nameless: records with the address but no name.
            named: records with the same address and a name.
            is_named: returns whether the customer with this lowest record has a name.
        """
        customers = sorted({self.find(record) for record in named})
        first = named[0] if named else nameless[0]
        for record in nameless:
            root = self.find(record)
            if root in customers or record == first:
                continue
            if len(nameless) > SHARED:
                self.refused[_pair(first, record)] = Apart.SHARED_MAILBOX
            elif len(customers) > 1 or is_named(root):
                self.refused[_pair(first, record)] = Apart.AMBIGUOUS
            else:
                self.join_scored(first, record)

    def _join_part(
        self, parts: list[int], by_marks: dict[frozenset[tuple[str, frozenset[str]]], int], root: int, record: int
    ) -> None:
        """Joins a marked record with the only part that its marks allow; otherwise it becomes a part of its own.

        If very many customers share a key, each record is only compared with the part that has equal marks.
        """
        marks = frozenset(self._marks[root].items())
        compared = parts if len(parts) <= MOST_PARTS else [by_marks.get(marks, parts[0])]
        if any(self.find(part) == root for part in compared):
            return
        fitting = [part for part in compared if not self._forbidden(self.find(part), root)]
        if len(fitting) == 1:
            self._join(self.find(fitting[0]), root)
            return
        for part in compared:
            why = self._forbidden(self.find(part), root)
            self.refused[_pair(part, record)] = why or Apart.AMBIGUOUS
        by_marks.setdefault(marks, record)
        parts.append(record)

    def _forbidden(self, one: int, other: int) -> Apart | None:
        ours, theirs = self._marks.get(one), self._marks.get(other)
        if not (ours and theirs):
            return None
        different = [name for name, values in ours.items() if name in theirs and len(values | theirs[name]) > 1]
        if any(name.startswith(LABEL) for name in different):
            return Apart.LABEL
        return Apart.SEPARATION_KEY if different else None

    def _contradiction(self, one: int, other: int) -> Apart | None:
        ours, theirs = self._opposed.get(one, ()), self._opposed.get(other, ())
        if len(ours) > len(theirs):
            ours, other = theirs, one
        for record in ours:
            if any(self.find(opposed) == other for opposed in self.opposed[record]):
                return Apart.CONTRADICTION
        return None

    def _join(self, one: int, other: int) -> None:
        if one == other:
            return
        root, gone = min(one, other), max(one, other)
        self._parent[gone] = root
        self._size[root] += self._size[gone]
        if theirs := self._marks.pop(gone, None):
            ours = self._marks.setdefault(root, {})
            for name, values in theirs.items():
                ours[name] = ours.get(name, frozenset()) | values
        if opposed := self._opposed.pop(gone, None):
            self._opposed.setdefault(root, []).extend(opposed)


def cluster(
    clusters: Clusters,
    *,
    labelled: Iterable[Sequence[int]] = (),
    groups: Iterable[Sequence[int]] = (),
    scored: Iterable[tuple[int, int]] = (),
) -> Clusters:
    """Applies all evidence, the most reliable first, each iterable in its own order."""
    for records in labelled:
        clusters.join_labelled(records)
    for records in groups:
        clusters.join_group(records)
    for first, second in scored:
        clusters.join_scored(first, second)
    return clusters


def _pair(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first < second else (second, first)
