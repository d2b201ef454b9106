"""Combines all evidence of a run: keys, labels and scores form clusters, and each cluster is a customer.

membership   rid, cluster (its lowest rid)
customer     cluster, customer_id
supersized   cluster
link         first, second (rids), score, match_type, apart (why they are different customers; NULL if they are not)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from heap_courier.stitch.linking.clusters import LABEL, Apart, Clusters, cluster
from heap_courier.stitch.linking.customers import name_customers
from heap_courier.stitch.scratch import Scratch

_KINDS: Final = ("migration", "foreign key", "customer key")
_ROWS = 100_000  # per batch


def link(scratch: Scratch) -> None:
    """Creates the tables of this module.

    Requires the tables of `records.loading` and `scoring`, `label` (rid, label_id, partition_id), `remembered` and
    `given_id`.
    """
    marks = _marks(scratch)
    opposed: defaultdict[int, set[int]] = defaultdict(set)
    for first, second in scratch.query("SELECT first, second FROM opposed"):
        opposed[first].add(second)
        opposed[second].add(first)
    count = int(scratch.query("SELECT count(*) FROM record")[0][0])
    clusters = cluster(
        Clusters(count, marks, opposed),
        labelled=_lists(
            scratch, "SELECT list(rid ORDER BY rid) FROM label GROUP BY label_id, partition_id ORDER BY ALL"
        ),
        groups=_lists(scratch, _GROUPS),
        scored=_pairs(scratch),
    )
    _apply_rule(scratch, clusters)
    _store(scratch, clusters)
    name_customers(scratch)
    _count(scratch, count)
    _links(scratch)


def _count(scratch: Scratch, count: int) -> None:
    """Raises RuntimeError unless each record has exactly one customer, as a safeguard before anything is written."""
    found = scratch.query(
        "SELECT count(*), count(DISTINCT rid) FROM record JOIN membership USING (rid) JOIN customer USING (cluster)"
    )
    if found != [(count, count)]:
        raise RuntimeError(f"{count} records have {found} customers.")


def _apply_rule(scratch: Scratch, clusters: Clusters) -> None:
    """Links records without a name, such as most of Heap's users, by their e-mail address."""
    rows = list(
        _lists(
            scratch,
            f"SELECT [list(rid ORDER BY rid) FILTER (WHERE {_NAMELESS}), list(rid ORDER BY rid) FILTER (WHERE NOT "
            f"({_NAMELESS}))] FROM clean WHERE email IS NOT NULL GROUP BY email HAVING bool_or({_NAMELESS}) AND "
            "count(*) > 1 ORDER BY email",
        )
    )
    if not rows:
        return
    named = {clusters.find(rid) for (rid,) in _rids(scratch, f"SELECT rid FROM clean WHERE NOT ({_NAMELESS})")}
    for nameless, others in rows:
        clusters.join_nameless(nameless, others or [], named.__contains__)


def _rids(scratch: Scratch, query: str) -> Iterator[tuple[int]]:
    for batch in scratch.batches(query):
        yield from zip(batch.column(0).to_pylist(), strict=True)


_NAMELESS: Final = "given_name IS NULL AND surname IS NULL"

_GROUPS: Final = f"""
    SELECT rids FROM (
        SELECT list(rid ORDER BY rid) AS rids, min(list_position({list(_KINDS)}, via)) AS kind, tag, value
        FROM key WHERE NOT starts_with(tag, 'sk-') GROUP BY tag, value HAVING count(*) > 1
    ) ORDER BY kind, tag, value
"""


def _marks(scratch: Scratch) -> dict[int, dict[str, str]]:
    marks: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for rid, tag, value in scratch.query("SELECT rid, tag, value FROM key WHERE starts_with(tag, 'sk-')"):
        marks[rid][tag] = value
    for rid, label_id, partition_id in scratch.query("SELECT rid, label_id, partition_id FROM label"):
        marks[rid][f"{LABEL}:{label_id}"] = partition_id
    return dict(marks)


def _lists(scratch: Scratch, query: str) -> Iterator[Any]:
    for batch in scratch.batches(query):
        yield from batch.column(0).to_pylist()


def _pairs(scratch: Scratch) -> Iterator[tuple[int, int]]:
    for batch in scratch.batches(
        "SELECT first, second FROM scored WHERE score >= 3 AND apart IS NULL ORDER BY weight DESC, first, second"
    ):
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)


def _store(scratch: Scratch, clusters: Clusters) -> None:
    schema = pa.schema([("rid", pa.int64()), ("cluster", pa.int64())])
    _stage(scratch, "membership", schema, _numbered(clusters.roots(), schema))
    supersized = pa.array(sorted(clusters.supersized()), pa.int64())
    _stage(scratch, "supersized", pa.schema([("cluster", pa.int64())]), [pa.record_batch({"cluster": supersized})])
    refused = sorted((*pair, why.value) for pair, why in clusters.refused.items())
    schema = pa.schema([("first", pa.int64()), ("second", pa.int64()), ("apart", pa.string())])
    columns = list(zip(*refused, strict=True)) or [(), (), ()]
    _stage(
        scratch,
        "refused",
        schema,
        [pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)],
    )


def _numbered(roots: Iterator[int], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    start = 1
    while part := list(islice(roots, _ROWS)):
        numbers = pa.array(range(start, start + len(part)), pa.int64())
        yield pa.record_batch([numbers, pa.array(part, pa.int64())], schema=schema)
        start += len(part)


def _stage(scratch: Scratch, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    with scratch.transaction():
        scratch.stage(name, schema, batches)


def _links(scratch: Scratch) -> None:
    """Creates `link`, with links to the first record of a group instead of between all pairs, to keep it linear."""
    scratch.execute(
        f"""
        CREATE TABLE link AS
        WITH marked AS (
            SELECT k.rid, k.tag, k.value, k.via, m.cluster, min(k.rid) OVER same AS in_cluster,
                min(k.rid) OVER (PARTITION BY k.tag, k.value) AS in_group
            FROM key AS k JOIN membership AS m USING (rid) WHERE NOT starts_with(k.tag, 'sk-')
            WINDOW same AS (PARTITION BY k.tag, k.value, m.cluster)
        ), keyed AS (
            SELECT in_cluster AS first, rid AS second, 5.0 AS score,
                via || ' ' || split_part(tag, ':', 1) AS match_type, CAST(NULL AS VARCHAR) AS apart
            FROM marked WHERE rid <> in_cluster
            UNION ALL
            SELECT DISTINCT k.in_group, k.in_cluster, 0.0, k.via || ' ' || split_part(k.tag, ':', 1),
                COALESCE(r.apart, 'different separation keys or labels')
            FROM marked AS k LEFT JOIN refused AS r ON r.first = k.in_group AND r.second = k.in_cluster
            WHERE k.rid = k.in_cluster AND k.in_cluster <> k.in_group
        ), labelled AS (
            SELECT min(rid) OVER (PARTITION BY label_id, partition_id) AS first, rid AS second, 5.0 AS score,
                'label' AS match_type, CAST(NULL AS VARCHAR) AS apart FROM label
        ), mailbox AS (
            SELECT rid, cluster, min(rid) FILTER (WHERE named) OVER w AS by_name, min(rid) OVER w AS least, named
            FROM (SELECT rid, email, NOT ({_NAMELESS}) AS named FROM clean WHERE email IS NOT NULL)
            JOIN membership USING (rid) WINDOW w AS (PARTITION BY email)
        ), ruled AS (
            SELECT LEAST(m.rid, o.rid) AS first, GREATEST(m.rid, o.rid) AS second, 3.0 AS score,
                'rule e-mail' AS match_type, r.apart, m.cluster = o.cluster AS joined
            FROM mailbox AS m JOIN mailbox AS o ON o.rid = COALESCE(m.by_name, m.least) AND NOT m.named
            LEFT JOIN refused AS r ON r.first = LEAST(m.rid, o.rid) AND r.second = GREATEST(m.rid, o.rid)
        )
        SELECT * FROM keyed
        UNION ALL
        SELECT first, second, score, match_type,
            CASE WHEN NOT joined THEN COALESCE(apart, '{Apart.AMBIGUOUS.value}') END
        FROM ruled WHERE first <> second
        UNION ALL SELECT * FROM labelled WHERE first <> second
        UNION ALL
        SELECT s.first, s.second, s.score, 'scoring', CASE WHEN a.cluster <> b.cluster THEN
            COALESCE(s.apart, r.apart, CASE WHEN s.score < 3 THEN 'the score is below 3' ELSE
            'records of the two customers contradict each other' END) END
        FROM scored AS s JOIN membership AS a ON a.rid = s.first JOIN membership AS b ON b.rid = s.second
        LEFT JOIN refused AS r ON r.first = s.first AND r.second = s.second
        """
    )
