"""Views that add `customer_id` to the rows of domain tables, such as `Heap:sessions:stitched`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from heap_courier.feeds.model import Feed
from heap_courier.heap_connect.identity_views import view_name
from heap_courier.stitch.records.inputs import Input, field, of_feed, primary_key
from heap_courier.stitch.tables.definitions import GRAPH, KEYS
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted
from heap_courier.warehouse.views import STITCHED

_RESOLVED: Final = view_name("", "").removeprefix(":")
_RAW: Final = "raw_customer_id"
_ID: Final = "customer_id"


class Views(NamedTuple):
    """The queries of a project's views by name, and warnings about views that cannot be created."""

    queries: Mapping[str, str]
    notices: tuple[str, ...]


def views(warehouse: Warehouse, feeds: Iterable[Feed], inputs: Iterable[Input]) -> Views:
    """The views of all domain tables that contain records, or a foreign key to records."""
    queries: dict[str, str] = {}
    notices: list[str] = []
    for name, query in _all(warehouse, feeds, inputs):
        if warehouse.longest_name and len(name.encode()) > warehouse.longest_name:
            notices.append(
                f"There is no view `{name}`: its name is longer than {warehouse.longest_name} bytes. Give the feed a "
                "shorter name."
            )
        else:
            queries[name] = query
    return Views(queries, tuple(notices))


def _all(warehouse: Warehouse, feeds: Iterable[Feed], inputs: Iterable[Input]) -> Iterator[tuple[str, str]]:
    there = domain_tables(warehouse)
    taking_part = {each.table: each for each in inputs}
    for each in taking_part.values():
        key = primary_key(warehouse, each)
        yield each.table.removesuffix(_RESOLVED) + STITCHED, _of_records(warehouse, each.table, each.table, key)
    for source, table in _heap_tables(there):
        resolved = view_name(source, table)
        if resolved not in taking_part and "user_id" in warehouse.columns(resolved):
            users = taking_part.get(view_name(source, "users"))
            if users:
                key = primary_key(warehouse, users, warehouse.columns(resolved))
                yield f"{source}:{table}{STITCHED}", _of_records(warehouse, resolved, users.table, key)
    for feed in feeds:
        each = of_feed(feed)
        tags = [tag for tag in each.keys if tag.startswith("fk-")]
        if tags and feed.domain_table in there and feed.domain_table not in taking_part:
            yield feed.domain_table + STITCHED, _of_keys(warehouse, each, tags)


def _heap_tables(there: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in there:
        if name.endswith(_RESOLVED):
            source, _, table = name.removesuffix(_RESOLVED).partition(":")
            if table not in ("users", "user_migrations"):
                yield source, table


def _of_records(warehouse: Warehouse, table: str, datasource: str, key: str) -> str:
    literal = datasource.replace("'", "''")
    return (
        f"SELECT g.{_ID}, {_columns(warehouse, table)} FROM {quoted(table)} AS t LEFT JOIN {quoted(GRAPH)} AS g "
        f"ON g.datasource = '{literal}' AND g.pk = {key}"
    )


def _of_keys(warehouse: Warehouse, each: Input, tags: Sequence[str]) -> str:
    """The query of a view by foreign keys; a row whose keys lead to different customers has no `customer_id`."""
    joins, ids = [], []
    for number, tag in enumerate(tags):
        joins.append(
            f"LEFT JOIN heap_courier.{KEYS} AS k{number} ON k{number}.tag = '{tag}' AND k{number}.value = "
            f"{field(warehouse, each, tag)}"
        )
        ids.append(f"k{number}.{_ID}")
    listed = ", ".join(ids)
    agreed = ids[0] if len(ids) == 1 else f"CASE WHEN LEAST({listed}) = GREATEST({listed}) THEN LEAST({listed}) END"
    return (
        f"SELECT {agreed} AS {_ID}, {_columns(warehouse, each.table)} FROM {quoted(each.table)} AS t {' '.join(joins)}"
    )


def _columns(warehouse: Warehouse, table: str) -> str:
    """The columns of a table for its view; an existing `customer_id` becomes `raw_customer_id`.

    DuckDB resolves `*` whenever the view is queried, so the view follows changes of the table. PostgreSQL resolves it
    once, so the columns are listed.
    """
    there = warehouse.columns(table)
    own = [name for name in there if name.lower() == _ID]
    hidden = [name for name in there if name.lower() in (_ID, _RAW)]
    raw = [f"t.{quoted(name)} AS {_RAW}" for name in own]
    if warehouse.follows_columns:
        kept = f" EXCLUDE ({', '.join(map(quoted, hidden))})" if hidden else ""
        return ", ".join([f"t.*{kept}", *raw])
    return ", ".join([*(f"t.{quoted(name)}" for name in there if name not in hidden), *raw])
