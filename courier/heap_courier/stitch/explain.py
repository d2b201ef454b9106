"""Explains why records are one customer, or are not: the links between them, with their evidence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from heap_courier.errors import SetupError
from heap_courier.stitch.customer import Link, find, links_of
from heap_courier.stitch.linking.weights import Weight, prior, weigh
from heap_courier.stitch.records.inputs import Pair
from heap_courier.stitch.records.semantics import COLUMNS
from heap_courier.stitch.scratch import Scratch
from heap_courier.stitch.tables.definitions import BAD_VALUES, COALESCED, GRAPH
from heap_courier.warehouse.base import Warehouse, quoted

SCORING: Final = "scoring"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The evidence about a customer, or about two records.

    Attributes:
        customers: the id of the customer, or the ids of the customers of the two records.
        records: all records of these customers, with the id of their customer.
        path: the links that connect the two records, or all links of the customer.
        refused: links to other customers, which were not followed.
        weights: the weights of scored pairs, and of the two records.
        prior: the prior weight of two records, in bits.
    """

    customers: tuple[str, ...]
    records: Mapping[Pair, str]
    path: tuple[Link, ...]
    refused: tuple[Link, ...]
    weights: Mapping[tuple[Pair, Pair], tuple[Weight, ...]]
    prior: float


def explain(
    warehouse: Warehouse, scratch: Scratch, model: Mapping[str, Any], first: str, second: str | None
) -> Explanation:
    """Explains a customer, or how two records relate.

    Args:
        warehouse: a warehouse with the tables of a run.
        scratch: an empty scratch database.
        model: the model that the run used.
        first: a customer's id, or a record such as `CRM:Customers/1001`.
        second: another customer's id or record, or None to explain one customer.

    Raises:
        SetupError: Stitch has not run yet, or there is no such customer or record.
    """
    if not warehouse.columns(GRAPH):
        raise SetupError("There are no customers yet: run `heap-courier stitch run` first.")
    one = find(warehouse, first)
    other = find(warehouse, second) if second is not None else None
    customers = tuple(dict.fromkeys(found[0] for found in (one, other) if found))
    records = _records(warehouse, customers)
    links = links_of(warehouse, *customers)
    joined = [link for link in links if link.apart is None]
    refused = [link for link in links if link.apart is not None]
    asked: list[tuple[Pair, Pair]] = []
    if other is None:
        path: Sequence[Link] = joined
    else:
        start, end = _record(one, records), _record(other, records)
        path = shortest(joined, start, end)
        if start != end:
            asked.append((start, end))
        if len(customers) > 1:
            refused = [
                link for link in refused if {records.get(link.first), records.get(link.second)} == set(customers)
            ]
    scored = [(link.first, link.second) for link in (*path, *refused) if link.evidence == SCORING]
    weights = _weights(warehouse, scratch, model, [*scored, *asked])
    return Explanation(customers, records, tuple(path), tuple(refused), weights, prior(model))


def bits_in_words(explanation: Explanation, pair: tuple[Pair, Pair]) -> str:
    """How well two scored records match: the bits of each field, the prior, and their sum."""
    weights = explanation.weights.get(pair, ())
    total = explanation.prior + sum(weight.bits for weight in weights)
    fields = [f"{weight.field.replace('_', ' ')} {weight.level} {weight.bits:+.1f}" for weight in weights]
    return f"{', '.join([*fields, f'prior {explanation.prior:+.1f}'])}: {total:.1f}"


def shortest(links: Iterable[Link], start: Pair, end: Pair) -> tuple[Link, ...]:
    """The shortest path of links between two records, preferring higher scores; empty if there is none."""
    near: dict[Pair, list[tuple[Pair, Link]]] = {}
    for link in sorted(links, key=lambda each: (-each.score, each)):
        near.setdefault(link.first, []).append((link.second, link))
        near.setdefault(link.second, []).append((link.first, link))
    came: dict[Pair, tuple[Pair, Link]] = {}
    waiting = deque([start])
    while waiting:
        record = waiting.popleft()
        if record == end:
            break
        for following, link in near.get(record, ()):
            if following != start and following not in came:
                came[following] = (record, link)
                waiting.append(following)
    path: list[Link] = []
    while end in came and end != start:
        end, link = came[end]
        path.append(link)
    return tuple(reversed(path))


def _record(found: tuple[str, Pair | None], records: Mapping[Pair, str]) -> Pair:
    """The requested record, or the first record of the requested customer."""
    customer, record = found
    return record or min(each for each, owner in records.items() if owner == customer)


def _records(warehouse: Warehouse, customers: Sequence[str]) -> dict[Pair, str]:
    rows = warehouse.query(
        f"SELECT datasource, pk, customer_id FROM {quoted(GRAPH)} WHERE customer_id IN ($1, $2) ORDER BY 1, 2",
        (customers[0], customers[-1]),
    )
    return {(table, pk): customer for table, pk, customer in rows}


def _weights(
    warehouse: Warehouse, scratch: Scratch, model: Mapping[str, Any], pairs: Sequence[tuple[Pair, Pair]]
) -> dict[tuple[Pair, Pair], tuple[Weight, ...]]:
    wanted = sorted({record for pair in pairs for record in pair})
    if not wanted:
        return {}
    columns = ", ".join(map(quoted, COLUMNS))
    records = {}
    for table, pk in wanted:
        ((values),) = warehouse.query(
            f"SELECT {columns} FROM {quoted(COALESCED)} WHERE datasource = $1 AND pk = $2", (table, pk)
        )
        records[table, pk] = values
    bad = warehouse.query(f"SELECT semantic, value FROM {quoted(BAD_VALUES)} WHERE reason <> 'listed'")
    return weigh(scratch, model, records, [(semantic, value) for semantic, value in bad], pairs)
