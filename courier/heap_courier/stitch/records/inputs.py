"""The sources of records: feeds that are available to Stitch, and Heap's users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from heap_courier.data_types.field_types import FLOAT, STRING
from heap_courier.documents.wording import listed
from heap_courier.errors import SetupError
from heap_courier.feeds.model import Feed
from heap_courier.heap_connect.identity_views import MIGRATIONS, USERS, view_name
from heap_courier.heap_connect.private.hashed_columns import hashed_columns
from heap_courier.stitch.records.semantics import COLUMNS, HEAP_IDENTITY, HEAP_USER, column, is_key
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted

SOURCE: Final = "Stitch"
"""The source of the tables that Stitch writes; reserved, so no feed can have it."""

Pair = tuple[str, str]
"""A record: its datasource and its primary key."""

_USERS: Final = view_name("", USERS)
_HEAP: Final = {
    "identity": HEAP_IDENTITY,
    "email": "email",
    "given_name": "given-name",
    "first_name": "given-name",
    "surname": "surname",
    "last_name": "surname",
    "phone": "phone",
    "company": "company",
    "joindate": "create-dt",
    "last_modified": "update-dt",
}
"""The semantic tags of columns of Heap's users: https://help.heap.io/heap-connect/heap-connect-guide/heap-connect-data-schema."""


@dataclass(frozen=True, slots=True)
class Input:
    """A table whose rows are records of customers.

    Attributes:
        table: the domain table or view; also the datasource of its records.
        key: the columns of its primary key.
        fields: the columns of each semantic tag; the first one with a value is used.
    """

    table: str
    key: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]

    @property
    def keys(self) -> tuple[str, ...]:
        """Its key tags: `ck`, `fk-...`, `sk-...`."""
        return tuple(tag for tag in self.fields if is_key(tag))

    @property
    def profile(self) -> tuple[str, ...]:
        """Its profile tags."""
        return tuple(tag for tag in self.fields if not is_key(tag))


def inputs(warehouse: Warehouse, feeds: Iterable[Feed]) -> tuple[Input, ...]:
    """All inputs of a project, sorted by name: feeds with `stitch: true` whose table exists, and Heap's users.

    Raises:
        SetupError: a feed has the source `Stitch`.
    """
    return tuple(sorted([*_of_feeds(warehouse, feeds), *heap_users(warehouse)], key=lambda each: each.table))


def of_feed(feed: Feed) -> Input:
    """A feed as an input, whether or not it takes part."""
    fields: dict[str, list[str]] = {}
    for field in feed.fields:
        if field.tag and (column(field.tag) in COLUMNS or is_key(field.tag)):
            fields.setdefault(field.tag, []).append(field.name)
    if feed.last_updated:
        fields.setdefault("update-dt", []).append(feed.last_updated)
    return Input(feed.domain_table, feed.primary_key, {tag: tuple(columns) for tag, columns in fields.items()})


def heap_users(warehouse: Warehouse) -> list[Input]:
    """The users of each source that Heap Connect loaded, with one row per person. They need no feed.

    Hashed columns are not used: a hash matches nothing in other feeds, and a hashed phone would count against a match.
    """
    found = []
    for table in domain_tables(warehouse):
        if table.endswith(_USERS):
            hashed = hashed_columns(warehouse, table.removesuffix(_USERS), USERS)
            there = [name for name in warehouse.columns(table) if name not in hashed]
            fields: dict[str, list[str]] = {HEAP_USER: ["user_id"]}
            for name, tag in _HEAP.items():
                if name in there:
                    fields.setdefault(tag, []).append(name)
            found.append(Input(table, ("user_id",), {tag: tuple(names) for tag, names in fields.items()}))
    return found


def migrations(warehouse: Warehouse) -> list[str]:
    """The views with the user ids that Heap migrated, and their new ids."""
    return [table for table in domain_tables(warehouse) if table.endswith(view_name("", MIGRATIONS))]


def select(warehouse: Warehouse, each: Input) -> str:
    """The query of an input: `pk`, and a text column for each of its tags, named after the tag."""
    there = warehouse.columns(each.table)
    if missing := [name for names in (each.key, *each.fields.values()) for name in names if name not in there]:
        raise SetupError(
            f"The domain table `{each.table}` lacks {listed(dict.fromkeys(missing))}, which its feed has: activate the "
            "feed again with `heap-courier feed activate`."
        )
    selected = [f"{primary_key(warehouse, each)} AS pk"]
    selected += [f"{field(warehouse, each, tag)} AS {quoted(tag)}" for tag in each.fields]
    no_key = " AND ".join(f"t.{quoted(name)} IS NOT NULL" for name in each.key)
    return f"SELECT {', '.join(selected)} FROM {quoted(each.table)} AS t WHERE {no_key}"


def field(warehouse: Warehouse, each: Input, tag: str) -> str:
    """SQL for the text of a tag in a row `t` of an input: the value of the first of its columns that has one."""
    there = warehouse.columns(each.table)
    values = [f"NULLIF(TRIM({as_text(warehouse, name, there[name])}), '')" for name in each.fields[tag]]
    return values[0] if len(values) == 1 else f"COALESCE({', '.join(values)})"


def as_text(warehouse: Warehouse, name: str, kind: str) -> str:
    """SQL for the text of a column in a row `t`.

    A whole number is written without decimal places regardless of the column's type, because it may be an integer in
    another table.
    """
    text, value = warehouse.sql_type(STRING), f"t.{quoted(name)}"
    if kind == warehouse.sql_type(FLOAT):
        whole = f"{value} = trunc({value}) AND abs({value}) < 9e15"
        return f"CASE WHEN {whole} THEN CAST(CAST({value} AS BIGINT) AS {text}) ELSE CAST({value} AS {text}) END"
    if kind.upper().startswith(("DECIMAL", "NUMERIC")):
        return rf"regexp_replace(CAST({value} AS {text}), '\.0*$|(\.[0-9]*[1-9])0+$', '\1')"
    return f"CAST({value} AS {text})"


def primary_key(warehouse: Warehouse, each: Input, columns: Mapping[str, str] | None = None) -> str:
    r"""SQL for the text of the primary key of a row `t`: its parts joined by `|`, with `\` before a `|` or `\` in one.

    Args:
        warehouse: the warehouse with the input.
        each: the input.
        columns: the columns of another relation that contains the key, with their SQL types; None for the input's own.
    """
    there = columns if columns is not None else warehouse.columns(each.table)
    parts = [as_text(warehouse, name, there[name]) for name in each.key]
    if len(parts) == 1:
        return parts[0]
    escaped = (f"REPLACE(REPLACE({part}, '\\', '\\\\'), '|', '\\|')" for part in parts)
    return " || '|' || ".join(escaped)


def _of_feeds(warehouse: Warehouse, feeds: Iterable[Feed]) -> list[Input]:
    found = []
    for feed in feeds:
        if feed.source.lower() == SOURCE.lower():
            raise SetupError(
                f"The feed `{feed.domain_table}` has the source `{SOURCE}`, which is reserved for the tables that "
                "Stitch writes: choose another `source`."
            )
        if feed.stitch and warehouse.columns(feed.domain_table):
            found.append(of_feed(feed))
    return found
