"""Which feeds are active, and with which definition."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from heap_courier.data_types.field_types import in_utc
from heap_courier.feeds.model import Feed
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.system_tables import make_tables

_TABLES: Final = {"feeds": "id text, domain_table text, definition text, activated timestamp"}


class ActiveFeeds:
    """The feeds that are active, each with the definition it was activated with."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def make(self) -> None:
        """Creates the table if it does not exist yet. Call it outside a transaction."""
        make_tables(self._warehouse, _TABLES)

    def note(self, feed: Feed, now: datetime) -> None:
        """Records that a feed is active in its current form."""
        self._warehouse.execute("DELETE FROM heap_courier.feeds WHERE id = $1", (feed.id,))
        self._warehouse.execute(
            "INSERT INTO heap_courier.feeds VALUES ($1, $2, $3, $4)",
            (feed.id, feed.domain_table, json.dumps(definition(feed)), in_utc(now)),
        )

    def definition(self, feed: Feed) -> dict[str, Any]:
        """The definition that a feed was last activated with; empty if it never was."""
        rows = self._warehouse.query("SELECT definition FROM heap_courier.feeds WHERE id = $1", (feed.id,))
        return dict(json.loads(rows[0][0])) if rows else {}

    def hold(self, feed: Feed) -> bool:
        """Whether a feed is active in its current form; locks its record until the transaction ends."""
        self._warehouse.execute("UPDATE heap_courier.feeds SET activated = activated WHERE id = $1", (feed.id,))
        return self.has(feed)

    def has(self, feed: Feed) -> bool:
        """Whether a feed is active in its current form."""
        return self.definition(feed) == definition(feed)


def definition(feed: Feed) -> dict[str, Any]:
    """What determines how a feed loads rows, as JSON; without tags and flags."""
    return {
        "table": feed.domain_table,
        "key": list(feed.primary_key),
        "updated": feed.last_updated,
        "types": {field.name: str(field.type) for field in feed.fields},
        "sources": {field.name: [field.source, field.pattern] for field in feed.fields},
    }
