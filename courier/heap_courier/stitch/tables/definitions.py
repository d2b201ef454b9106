"""The customer 360 tables: their columns, and the scratch queries that fill them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from heap_courier.data_types.field_types import BOOLEAN, FLOAT, INTEGER, STRING, FieldType
from heap_courier.stitch.linking.customers import fingerprint
from heap_courier.stitch.records.inputs import SOURCE
from heap_courier.stitch.records.semantics import COLUMNS, GROUPS, HEAP_USER

Columns = tuple[tuple[str, FieldType], ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A table that a run writes.

    Attributes:
        name: the unquoted name.
        columns: the columns, in order.
        query: the scratch query that fills it, with the same columns.
        is_domain_table: whether it is a domain table, rather than a table in the courier's own schema.
        before: scratch statements that prepare the query; a single statement would use more memory.
    """

    name: str
    columns: Columns
    query: str
    is_domain_table: bool = True
    before: str = ""

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of its rows."""
        return pa.schema([(name, kind.arrow) for name, kind in self.columns])


def texts(*names: str) -> Columns:
    """Text columns."""
    return tuple((name, STRING) for name in names)


COALESCED: Final = f"{SOURCE}:Unified_Coalesced"
SCORES: Final = f"{SOURCE}:Unified_Scores"
MERGED: Final = f"{SOURCE}:Merged_Customers"
GRAPH: Final = f"{SOURCE}:Identity_Graph"
BAD_VALUES: Final = f"{SOURCE}:Bad_Values"
CHANGES: Final = f"{SOURCE}:Changes"

RECORDS: Final = "stitch_records"
IDS: Final = "stitch_ids"
KEYS: Final = "stitch_keys"

CHANGE_COLUMNS: Final[Columns] = (
    ("run", INTEGER),
    *texts("change", "customer_id", "other_customer_id"),
    ("records", INTEGER),
)

_WITH_IDS: Final = "record AS r JOIN membership AS m USING (rid) JOIN customer AS c USING (cluster)"
_NEWEST: Final = "COALESCE({update}, {create})"


def outputs(priority: Sequence[str]) -> tuple[Output, ...]:
    """All tables except `Stitch:Changes`, to which rows are only appended.

    Args:
        priority: the datasources whose values are preferred, the most reliable first.
    """
    return (
        Output(
            COALESCED,
            (
                *texts("customer_id", "datasource", "pk", *COLUMNS, "keys", "representative_pk"),
                ("has_bad_value", BOOLEAN),
                ("supersized", BOOLEAN),
            ),
            f"""
            SELECT c.customer_id, r.datasource, r.pk, {", ".join(f"r.{name}" for name in COLUMNS)}, k.keys,
                first.pk AS representative_pk, s.rid IS NOT NULL AS has_bad_value,
                z.cluster IS NOT NULL AS supersized
            FROM {_WITH_IDS}
            LEFT JOIN (SELECT rid, CAST(json_group AS VARCHAR) AS keys FROM ({_KEYS_AS_TEXT})) AS k USING (rid)
            LEFT JOIN twin AS t ON t.rid = r.rid
            LEFT JOIN record AS first ON first.rid = COALESCE(t.representative, r.rid)
            LEFT JOIN spoilt AS s ON s.rid = r.rid LEFT JOIN supersized AS z ON z.cluster = m.cluster
            """,
        ),
        Output(
            SCORES,
            (*texts("source1", "pk1", "source2", "pk2"), ("score", FLOAT), *texts("match_type", "kept_apart")),
            """
            SELECT a.datasource AS source1, a.pk AS pk1, b.datasource AS source2, b.pk AS pk2, l.score, l.match_type,
                l.apart AS kept_apart
            FROM link AS l JOIN record AS a ON a.rid = l.first JOIN record AS b ON b.rid = l.second
            """,
        ),
        Output(
            MERGED,
            (*texts("customer_id", *COLUMNS), ("records", INTEGER)),
            _merged(),
            before=_chosen(priority),
        ),
        Output(
            GRAPH,
            texts("customer_id", "datasource", "pk"),
            f"SELECT c.customer_id, r.datasource, r.pk FROM {_WITH_IDS}",
        ),
        Output(
            BAD_VALUES,
            (
                *texts("semantic", "value", "reason"),
                ("records", INTEGER),
                ("given_names", INTEGER),
                ("surnames", INTEGER),
            ),
            "SELECT replace(semantic, '_', '-') AS semantic, value, reason, records, given_names, surnames FROM bad",
        ),
        Output(
            RECORDS,
            (*texts("record", "customer_id"), ("present", BOOLEAN)),
            "SELECT record, customer_id, true AS present FROM seen UNION ALL "
            "SELECT record, customer_id, false FROM gone",
            is_domain_table=False,
            before=(
                f"CREATE TABLE seen AS SELECT {fingerprint('r.datasource', 'r.pk')} AS record, c.customer_id FROM "
                f"{_WITH_IDS}; "
                "CREATE TABLE gone AS SELECT record, customer_id FROM remembered ANTI JOIN seen USING (record)"
            ),
        ),
        Output(
            IDS,
            texts("customer_id"),
            "SELECT customer_id FROM given_id UNION ALL SELECT customer_id FROM customer ANTI JOIN given_id "
            "USING (customer_id)",
            is_domain_table=False,
        ),
        Output(KEYS, texts("tag", "value", "customer_id"), _KEYS_OF_CUSTOMERS, is_domain_table=False),
    )


_KEYS_AS_TEXT: Final = (
    "SELECT rid, '{' || string_agg(to_json(split_part(tag, ':', 1)) || ': ' || to_json(value), ', ' ORDER BY tag) || "
    "'}' AS json_group FROM key GROUP BY rid"
)
_KEYS_OF_CUSTOMERS: Final = f"""
    WITH owned AS (
        SELECT k.tag, k.value, min(c.customer_id) AS customer_id
        FROM key AS k JOIN membership USING (rid) JOIN customer AS c USING (cluster)
        WHERE starts_with(k.tag, 'fk-') GROUP BY k.tag, k.value HAVING count(DISTINCT c.customer_id) = 1
    )
    SELECT tag, value, customer_id FROM owned
    UNION
    SELECT tag, m.origin, customer_id FROM owned JOIN migration AS m ON owned.tag = '{HEAP_USER}' AND m.goal = value
    ANTI JOIN owned AS direct ON direct.tag = owned.tag AND direct.value = m.origin
"""


def _instant(name: str) -> str:
    """SQL that parses a timestamp: ISO 8601, or seconds, milliseconds or microseconds since 1970, by magnitude."""
    number = f"TRY_CAST(r.{name} AS BIGINT)"
    return (
        f"COALESCE(TRY_CAST(r.{name} AS TIMESTAMP), CASE WHEN {number} IS NULL THEN NULL WHEN {number} > 1e14 THEN "
        f"make_timestamp({number}) WHEN {number} > 1e11 THEN make_timestamp({number} * 1000) WHEN {number} BETWEEN 0 "
        f"AND 1e11 THEN make_timestamp({number} * 1000000) END)"
    )


def _chosen(priority: Sequence[str]) -> str:
    """SQL that creates `chosen`: for each customer, the record (rid) that each group of fields is taken from.

    It is the record from the most reliable datasource, then with the most fields of the group, then updated last.
    """
    literals = [name.replace("'", "''") for name in priority]
    ranks = " ".join(f"WHEN r.datasource = '{literal}' THEN {rank}" for rank, literal in enumerate(literals))
    rank = f"CASE {ranks} ELSE {len(priority)} END" if ranks else "0"
    newest = _NEWEST.format(update=_instant("update_dt"), create=_instant("create_dt"))
    chosen: list[str] = []
    for group, names in GROUPS.items():
        good = " OR ".join(f"k.{name} IS NOT NULL" for name in _TELLING.get(group, names))
        full = " + ".join(f"CAST(r.{name} IS NOT NULL AS INTEGER)" for name in names)
        chosen.append(
            f"arg_min(r.rid, (({rank}) * {_MOST_FIELDS} + {_MOST_FIELDS} - ({full})) * {_MOST_RECORDS} + recency) "
            f"FILTER (WHERE {good}) AS of_{group}"
        )
    return f"""
        CREATE TABLE chosen AS
        SELECT m.cluster, count(*) AS records, {", ".join(chosen)},
            strftime(min({_instant("create_dt")}), '%Y-%m-%d %H:%M:%S') AS create_dt,
            strftime(max({newest}), '%Y-%m-%d %H:%M:%S') AS update_dt
        FROM (SELECT *, row_number() OVER (ORDER BY {newest} DESC NULLS LAST, rid) AS recency FROM record AS r) AS r
            JOIN membership AS m USING (rid) JOIN clean AS k USING (rid)
        GROUP BY m.cluster
    """


def _merged() -> str:
    """The query for one row per customer, with each group of fields from its record in `chosen`."""
    shown = {name: f"{group}_.{name}" for group, names in GROUPS.items() for name in names}
    shown |= {"create_dt": "chosen.create_dt", "update_dt": "chosen.update_dt"}
    joins = " ".join(f"LEFT JOIN record AS {group}_ ON {group}_.rid = of_{group}" for group in GROUPS)
    return (
        f"SELECT customer_id, {', '.join(f'{shown[name]} AS {name}' for name in COLUMNS)}, records "
        f"FROM chosen JOIN customer USING (cluster) {joins}"
    )


_MOST_FIELDS: Final = 10  # more than any group has
_MOST_RECORDS: Final = 10**12
_TELLING: Final = {"name": ("given_name", "surname"), "address": ("address", "city", "postal")}
"""Fields of which at least one must have a good value in the record that a group is taken from."""
