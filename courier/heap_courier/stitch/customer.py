"""Searches the customers of the last run, and reads their records, links and history.

This only reads the tables of customers, and needs neither the extra nor a scratch database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from heap_courier.errors import SetupError
from heap_courier.stitch.records.inputs import Pair
from heap_courier.stitch.records.semantics import COLUMNS
from heap_courier.stitch.tables.definitions import CHANGES, COALESCED, GRAPH, MERGED, SCORES
from heap_courier.warehouse.base import Warehouse, quoted

LIMIT: Final = 100
"""The default for the maximum number of customers, records or changes to return."""

_SHORTEST_PHONE: Final = 4
_ESCAPE: Final = "!"


class Customer(NamedTuple):
    """A row of `Stitch:Merged_Customers`.

    Attributes:
        customer_id: the id of the customer.
        values: the value of each semantic column (`given_name` ...) in `COLUMNS`; None if there is none.
        records: the number of its records.
    """

    customer_id: str
    values: Mapping[str, str | None]
    records: int

    @property
    def name(self) -> str:
        """The customer's name on one line; empty if there is none."""
        parts = [self.values["given_name"], self.values["surname"], self.values["generational_suffix"]]
        return " ".join(part for part in parts if part) or self.values["full_name"] or ""


class CustomerRecord(NamedTuple):
    """A record of a customer: a row of `Stitch:Unified_Coalesced`.

    Attributes:
        datasource: the table that it comes from.
        pk: its primary key in that table.
        values: the original value of each semantic column; None if there is none.
        keys: its keys by tag (`fk-...`, `ck`, `sk-...`).
        has_bad_value: whether one of its values is not used for linking.
        supersized: whether its customer is too large, or would have become too large.
    """

    datasource: str
    pk: str
    values: Mapping[str, str | None]
    keys: Mapping[str, str]
    has_bad_value: bool
    supersized: bool


class Link(NamedTuple):
    """A link between two records.

    Attributes:
        first, second: the records.
        evidence: the kind of evidence: `label`, `migration ...`, `foreign key ...`, `rule ...` or `scoring`.
        score: the score, from 0 to 5.
        apart: why the records are different customers nevertheless; None if they are not.
    """

    first: Pair
    second: Pair
    evidence: str
    score: float
    apart: str | None


class Change(NamedTuple):
    """What a run changed about a customer: a row of `Stitch:Changes`.

    Attributes:
        run: the number of the run.
        finished: when the run finished, in UTC without a time zone.
        change: new, updated, merged, split or deleted.
        customer_id: the changed customer.
        other_customer_id: the customer that it was merged into or split from.
        records: the number of records affected.
    """

    run: int
    finished: datetime
    change: str
    customer_id: str
    other_customer_id: str | None
    records: int


def name_of(record: Pair) -> str:
    """A record in the form TABLE/KEY: `CRM:Customers/1001`."""
    return f"{record[0]}/{record[1]}"


def find(warehouse: Warehouse, text: str) -> tuple[str, Pair | None]:
    """Finds a customer by its id or by one of its records, such as `CRM:Customers/1001`; returns the record too.

    Raises:
        SetupError: there is no such customer or record.
    """
    graph = quoted(GRAPH)
    if warehouse.query(f"SELECT 1 FROM {graph} WHERE customer_id = $1 LIMIT 1", (text,)):
        return text, None
    for (table,) in warehouse.query(f"SELECT DISTINCT datasource FROM {graph} ORDER BY 1"):
        if text.lower().startswith(f"{table.lower()}/"):
            pk = text[len(table) + 1 :]
            found = warehouse.query(f"SELECT customer_id FROM {graph} WHERE datasource = $1 AND pk = $2", (table, pk))
            if found:
                return found[0][0], (table, pk)
            raise SetupError(f"`{table}` has no record with this primary key.")
    raise SetupError(
        f"`{text}` is neither a customer's id nor a record: write a record as TABLE/KEY, such as CRM:Customers/1001."
    )


def has_customers(warehouse: Warehouse) -> bool:
    """Whether Stitch has run; if not, the other functions fail."""
    return bool(warehouse.columns(MERGED))


def search_customers(warehouse: Warehouse, text: str, limit: int = LIMIT) -> tuple[Customer, ...]:
    """Finds customers by a name, e-mail address, phone number, key or id of any of their records, ordered by id.

    Names and addresses also match in part, in any letter case; ids and keys (primary, foreign, customer and separation
    keys) must match as a whole. An empty text finds all customers.
    """
    text = " ".join(text.split())
    if not text:
        return _customers(warehouse, "", (), limit)
    names = "COALESCE(given_name, '') || ' ' || COALESCE(surname, '')"
    part = f"LOWER($2) ESCAPE '{_ESCAPE}'"
    conditions = ["customer_id = $1", "pk = $1"]
    conditions += [f"LOWER({each}) LIKE {part}" for each in (names, "full_name", "email")]
    literally = re.sub(r"([!%_])", rf"{_ESCAPE}\1", text)
    as_json = re.sub(r"([!%_])", rf"{_ESCAPE}\1", json.dumps(text, ensure_ascii=False))
    conditions.append(f"keys LIKE $3 ESCAPE '{_ESCAPE}'")
    parameters = [text, f"%{literally}%", f"%: {as_json}%"]
    digits = "".join(each for each in text if each in "0123456789")
    if len(digits) >= _SHORTEST_PHONE and re.fullmatch(r"[-+()./ 0-9]+", text):
        conditions.append("REGEXP_REPLACE(phone, '[^0-9]', '', 'g') LIKE $4")
        parameters.append(f"%{digits}%")
    found = f"SELECT customer_id FROM {quoted(COALESCED)} WHERE {' OR '.join(conditions)}"
    return _customers(warehouse, f"WHERE customer_id IN ({found})", tuple(parameters), limit)


def customer_of(warehouse: Warehouse, customer_id: str) -> Customer | None:
    """A customer by its id; None if there is none."""
    found = _customers(warehouse, "WHERE customer_id = $1", (customer_id,), 1)
    return found[0] if found else None


def records_of(warehouse: Warehouse, customer_id: str, limit: int = LIMIT) -> tuple[CustomerRecord, ...]:
    """The records of a customer, ordered by table and primary key."""
    columns = ", ".join(map(quoted, COLUMNS))
    rows = warehouse.query(
        f"SELECT datasource, pk, keys, has_bad_value, supersized, {columns} FROM {quoted(COALESCED)} "
        f"WHERE customer_id = $1 ORDER BY datasource, pk LIMIT {limit:d}",
        (customer_id,),
    )
    return tuple(
        CustomerRecord(table, pk, dict(zip(COLUMNS, values, strict=True)), json.loads(keys or "{}"), bad, supersized)
        for table, pk, keys, bad, supersized, *values in rows
    )


def links_of(warehouse: Warehouse, *customer_ids: str, limit: int | None = None) -> tuple[Link, ...]:
    """The links of one or more customers: between their records, and to records that were kept apart from them."""
    graph = quoted(GRAPH)
    ids = ", ".join(f"${number}" for number, _ in enumerate(customer_ids, 1))
    rows = warehouse.query(
        f"""
        SELECT DISTINCT s.source1, s.pk1, s.source2, s.pk2, s.match_type, s.score, s.kept_apart
        FROM {quoted(SCORES)} AS s
        JOIN {graph} AS a ON a.datasource = s.source1 AND a.pk = s.pk1
        JOIN {graph} AS b ON b.datasource = s.source2 AND b.pk = s.pk2
        WHERE a.customer_id IN ({ids}) OR b.customer_id IN ({ids})
        ORDER BY 1, 2, 3, 4, 5{"" if limit is None else f" LIMIT {limit:d}"}
        """,
        customer_ids,
    )
    return tuple(
        Link((one, pk1), (other, pk2), kind, score, apart) for one, pk1, other, pk2, kind, score, apart in rows
    )


def changes_of(warehouse: Warehouse, customer_id: str, limit: int = LIMIT) -> tuple[Change, ...]:
    """What runs changed about a customer, the newest first."""
    rows = warehouse.query(
        f"SELECT run, finished, change, customer_id, other_customer_id, records FROM {quoted(CHANGES)} "
        f"WHERE customer_id = $1 OR other_customer_id = $1 ORDER BY 1 DESC, 3, 4, 5 LIMIT {limit:d}",
        (customer_id,),
    )
    return tuple(Change(*row) for row in rows)


def _customers(
    warehouse: Warehouse, condition: str, parameters: tuple[object, ...], limit: int
) -> tuple[Customer, ...]:
    columns = ", ".join(map(quoted, COLUMNS))
    rows = warehouse.query(
        f"SELECT customer_id, records, {columns} FROM {quoted(MERGED)} {condition} "
        f"ORDER BY customer_id LIMIT {limit:d}",
        parameters,
    )
    return tuple(
        Customer(customer_id, dict(zip(COLUMNS, values, strict=True)), records)
        for customer_id, records, *values in rows
    )
