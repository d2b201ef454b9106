"""A feed becomes active: its domain table is made, and filled from the sample."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from heap_courier.data_types.field_types import in_utc
from heap_courier.errors import SetupError
from heap_courier.feeds.ingest import Ingested, domain_table, ingest
from heap_courier.feeds.model import Feed
from heap_courier.files.fileset import FetchedFile
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.system_tables import make_tables
from heap_courier.warehouse.upsert import shape

_TABLES: Final = {"feeds": "id text, domain_table text, definition text, activated timestamp"}


class ActiveFeeds:
    """The feeds that are active, each with the definition it was activated with."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def make(self) -> None:
        """Create the table if it is missing. Call it outside a transaction."""
        make_tables(self._warehouse, _TABLES)

    def note(self, feed: Feed, now: datetime) -> None:
        """Record that a feed is active as it is now."""
        self._warehouse.execute("DELETE FROM heap_courier.feeds WHERE id = $1", (feed.id,))
        self._warehouse.execute(
            "INSERT INTO heap_courier.feeds VALUES ($1, $2, $3, $4)",
            (feed.id, feed.domain_table, orjson.dumps(definition(feed)).decode(), in_utc(now)),
        )

    def definition(self, feed: Feed) -> dict[str, Any]:
        """The definition that a feed was last activated with; empty if it never was."""
        rows = self._warehouse.query("SELECT definition FROM heap_courier.feeds WHERE id = $1", (feed.id,))
        return dict(orjson.loads(rows[0][0])) if rows else {}

    def has(self, feed: Feed) -> bool:
        """Whether a feed was activated as it is now."""
        return self.definition(feed) == definition(feed)


def activate(
    warehouse: Warehouse,
    feed: Feed,
    sample: FetchedFile | None,
    *,
    now: datetime,
    truncate: bool,
    workers: int,
) -> Ingested | None:
    """Makes or alters the domain table of a feed, loads a sample where there is one, and notes that the feed is active.

    Args:
        warehouse: an open connection without a transaction.
        feed: valid in itself.
        sample: to be loaded, by the feed's own rules.
        now: the time, in UTC.
        truncate: whether the table is emptied, which another primary key or type asks for.
        workers: see `ingest`.

    Raises:
        SetupError: the table holds rows that do not fit the feed as it is now.
        FeedError: the sample does not fit the feed; it is not active then.
    """
    active = ActiveFeeds(warehouse)
    active.make()
    exists = bool(warehouse.columns(feed.domain_table))
    fits = _fits(active.definition(feed), feed)
    if exists and not fits and not truncate:
        held = warehouse.query(f"SELECT count(*) FROM {quoted(feed.domain_table)}")[0][0]
        if held:
            raise SetupError(
                f"The domain table `{feed.domain_table}` holds {held:,} rows of an earlier form of the feed, with "
                "another primary key, last-updated field or type: activate it with --truncate, which empties the table."
            )

    def make_room() -> None:
        if exists and (truncate or not fits):
            warehouse.execute(f"DROP TABLE {quoted(feed.domain_table)}")

    if sample is None:
        with warehouse.transaction():
            make_room()
            shape(warehouse, domain_table(feed))
            active.note(feed, now)
        return None
    return ingest(
        warehouse,
        feed,
        (sample,),
        truncate=False,
        now=now,
        workers=workers,
        advance=lambda _rows: None,
        before=make_room,
        settle=lambda _ingested: active.note(feed, now),
    )


def _fits(active: Mapping[str, Any], feed: Feed) -> bool:
    """Whether stored rows keep their meaning: fields may come and go, what is there stays as it is."""
    now = definition(feed)
    types = active.get("types", {})
    return all(active.get(part) == now[part] for part in ("table", "key", "updated")) and all(
        types.get(name, kind) == kind for name, kind in now["types"].items()
    )


def definition(feed: Feed) -> dict[str, Any]:
    """What of a feed decides how rows become rows of its table, as JSON has it; not tags and flags."""
    return {
        "table": feed.domain_table,
        "key": list(feed.primary_key),
        "updated": feed.last_updated,
        "types": {field.name: str(field.type) for field in feed.fields},
        "sources": {field.name: [field.source, field.pattern] for field in feed.fields},
    }
