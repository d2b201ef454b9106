"""Assigns an id to each customer: inherited from the last run if possible, otherwise derived.

Inheritance follows https://docs.amperity.com/reference/stitch.html. Each pair of an earlier customer and a cluster is
ranked by the number of records that they share, then by id; the cluster of the first pair inherits the id, and further
pairs with either of them are ignored. So after a merge, the id of the larger part is kept; after a split, the larger
part keeps the id. A new id is derived from the lowest record of the cluster, and never reuses the id of another
customer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from heap_courier.stitch.scratch import Scratch


class Overlap(NamedTuple):
    """The number of records that an earlier customer and a cluster share."""

    customer: str
    cluster: int
    records: int


def inherit(overlaps: Iterable[Overlap]) -> dict[int, str]:
    """The ids of the clusters that inherit one."""
    heaviest = sorted(overlaps, key=lambda each: (-each.records, each.customer, each.cluster))
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for overlap in heaviest:
        if overlap.customer not in taken and overlap.cluster not in ids:
            ids[overlap.cluster] = overlap.customer
            taken.add(overlap.customer)
    return ids


def fingerprint(datasource: str, pk: str) -> str:
    """SQL for the digest of a record's key, by which later runs recognise it."""
    return f"left(sha256(length({datasource}) || ':' || {datasource} || {pk}), 32)"


_DERIVED: Final = "sha256(length(r.datasource) || ':' || r.datasource || r.pk || ':' || {attempt})"


def name_customers(scratch: Scratch) -> None:
    """Creates `customer` (cluster, customer_id) from `membership` (rid, cluster), `remembered` and `given_id`.

    `remembered` contains the fingerprint of every record ever seen, with the customer that it last belonged to;
    `given_id` contains every id ever assigned.
    """
    execute = scratch.execute
    execute(
        f"CREATE TABLE overlap AS SELECT m.customer_id, c.cluster, count(*) AS records "
        f"FROM membership AS c JOIN record AS r USING (rid) "
        f"JOIN remembered AS m ON m.record = {fingerprint('r.datasource', 'r.pk')} GROUP BY ALL"
    )
    execute("CREATE TABLE customer (cluster BIGINT, customer_id VARCHAR)")
    alone = (
        "SELECT cluster, min(customer_id) AS customer_id FROM (SELECT *, count(*) OVER (PARTITION BY customer_id) AS "
        "clusters, count(*) OVER (PARTITION BY cluster) AS customers FROM overlap) "
        "WHERE clusters = 1 AND customers = 1 GROUP BY cluster"
    )
    execute(f"INSERT INTO customer {alone}")
    contested = scratch.query("SELECT customer_id, cluster, records FROM overlap ANTI JOIN customer USING (cluster)")
    for cluster, customer_id in inherit(Overlap(*row) for row in contested).items():
        execute("INSERT INTO customer VALUES ($1, $2)", (cluster, customer_id))
    attempt = 0
    while _derive(scratch, attempt):
        attempt += 1


def _derive(scratch: Scratch, attempt: int) -> bool:
    """Derives ids for clusters without one; returns whether some were taken, so that another attempt is needed."""
    digest = _DERIVED.format(attempt=attempt)
    scratch.execute(
        f"""
        INSERT INTO customer
        SELECT cluster, customer_id FROM (
            SELECT cluster, left(digest, 8) || '-' || substr(digest, 9, 4) || '-8' || substr(digest, 13, 3) || '-a'
                || substr(digest, 16, 3) || '-' || substr(digest, 19, 12) AS customer_id
            FROM (
                SELECT c.cluster, {digest} AS digest
                FROM (SELECT DISTINCT cluster FROM membership ANTI JOIN customer USING (cluster)) AS c
                JOIN record AS r ON r.rid = c.cluster
            )
        ) ANTI JOIN given_id USING (customer_id)
        """
    )
    left = scratch.query("SELECT 1 FROM membership ANTI JOIN customer USING (cluster) LIMIT 1")
    return bool(left)
