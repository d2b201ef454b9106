"""The changes of customers in a run: new, merged, split, updated and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heap_courier.stitch.linking.customers import fingerprint
from heap_courier.stitch.scratch import Scratch


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a run.

    Attributes:
        records: records read.
        customers: customers that these records form.
        merged: earlier customers that are now part of another one.
        split: customers that were part of another one.
        new: customers whose records were never seen before.
        updated: customers that kept their id, and gained or lost records.
        deleted: customers that no longer have a record.
        unchanged: customers with the same records as before.
        suspicious: customers to review first; `stitch report` lists them.
    """

    records: int
    customers: int
    merged: int
    split: int
    new: int
    updated: int
    deleted: int
    unchanged: int
    suspicious: int


SUSPICIOUS: Final = """
    SELECT cluster FROM membership JOIN clean USING (rid) GROUP BY cluster
    HAVING count(DISTINCT given_name) > 3 OR count(DISTINCT surname) > 3 OR count(DISTINCT postal) > 5
    UNION SELECT cluster FROM supersized
"""
"""Clusters that exceed the documented benchmarks: https://docs.amperity.com/reference/stitch_benchmarks.html."""


def find_changes(scratch: Scratch) -> Summary:
    """Creates `change` (change, customer_id, other_customer_id, records) by comparison with the last run."""
    scratch.execute(
        f"""
        CREATE TABLE change AS
        WITH now AS (
            SELECT {fingerprint("r.datasource", "r.pk")} AS record, c.customer_id
            FROM record AS r JOIN membership USING (rid) JOIN customer AS c USING (cluster)
        ), flow AS (
            SELECT b.customer_id AS old, n.customer_id AS new, count(*) AS records,
                count(*) FILTER (WHERE b.present) AS stayed
            FROM now AS n LEFT JOIN remembered AS b USING (record) GROUP BY ALL
        ), before AS (
            SELECT customer_id, count(*) AS records FROM remembered WHERE present GROUP BY customer_id
        ), after AS (
            SELECT customer_id, count(*) AS records FROM now GROUP BY customer_id
        ), parted AS (
            SELECT CASE WHEN a.customer_id IS NULL THEN 'merged' ELSE 'split' END AS change,
                CASE WHEN a.customer_id IS NULL THEN f.old ELSE f.new END AS customer_id,
                CASE WHEN a.customer_id IS NULL THEN f.new ELSE f.old END AS other_customer_id, f.records
            FROM flow AS f LEFT JOIN after AS a ON a.customer_id = f.old
            WHERE f.old IS NOT NULL AND f.old <> f.new
        ), kept AS (
            SELECT a.customer_id, a.records, b.records AS earlier, COALESCE(f.stayed, 0) AS stayed
            FROM after AS a JOIN before AS b USING (customer_id)
            LEFT JOIN flow AS f ON f.old = a.customer_id AND f.new = a.customer_id
        )
        SELECT * FROM parted
        UNION ALL
        SELECT 'new', customer_id, NULL, records FROM after ANTI JOIN before USING (customer_id)
        WHERE customer_id NOT IN (SELECT customer_id FROM parted WHERE change = 'split')
        UNION ALL
        SELECT 'updated', customer_id, NULL, records FROM kept WHERE records <> stayed OR earlier <> stayed
        UNION ALL
        SELECT 'deleted', customer_id, NULL, records FROM before ANTI JOIN after USING (customer_id)
        WHERE customer_id NOT IN (SELECT customer_id FROM parted WHERE change = 'merged')
        """
    )
    counts = dict(scratch.query("SELECT change, count(DISTINCT customer_id) FROM change GROUP BY change"))
    ((records, customers),) = scratch.query("SELECT count(*), count(DISTINCT cluster) FROM membership")
    ((same,),) = scratch.query(
        "SELECT count(*) FROM customer JOIN (SELECT DISTINCT customer_id FROM remembered WHERE present) USING "
        "(customer_id) ANTI JOIN (SELECT customer_id FROM change) USING (customer_id)"
    )
    ((suspicious,),) = scratch.query(f"SELECT count(*) FROM ({SUSPICIOUS})")
    numbers = {name: int(counts.get(name, 0)) for name in ("merged", "split", "new", "updated", "deleted")}
    return Summary(records=records, customers=customers, unchanged=same, suspicious=suspicious, **numbers)
