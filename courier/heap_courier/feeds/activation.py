"""Activates a feed: creates its domain table and loads the sample."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from heap_courier.errors import SetupError
from heap_courier.feeds.active import ActiveFeeds, definition
from heap_courier.feeds.ingest import FeedResult, ingest, target_table
from heap_courier.feeds.model import Feed
from heap_courier.files.fileset import FetchedFile
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.upsert import create_or_alter
from heap_courier.warehouse.views import STITCHED


def activate(
    warehouse: Warehouse,
    feed: Feed,
    sample: FetchedFile | None,
    *,
    now: datetime,
    truncate: bool,
    workers: int,
) -> FeedResult | None:
    """Creates or alters the domain table of a feed, loads its sample if there is one, and records it as active.

    Args:
        warehouse: an open connection without a transaction.
        feed: a valid feed.
        sample: the file to load, if any.
        now: the current time, in UTC.
        truncate: whether to empty the table, as required after a change of the primary key or a type.
        workers: see `ingest`.

    Raises:
        SetupError: the table contains rows that do not fit the feed in its current form.
        FeedError: the sample does not fit the feed, which is not activated.
    """
    active = ActiveFeeds(warehouse)
    active.make()
    exists = bool(warehouse.columns(feed.domain_table))
    fits = _fits(active.definition(feed), feed)
    if exists and not fits and not truncate:
        held = warehouse.query(f"SELECT count(*) FROM {quoted(feed.domain_table)}")[0][0]
        if held:
            rows = "1 row" if held == 1 else f"{held:,} rows"
            raise SetupError(
                f"The domain table `{feed.domain_table}` contains {rows} loaded by an earlier definition of the feed, "
                "with another primary key, last-updated field or type: activate the feed with --truncate, which "
                "empties the table."
            )

    def make_room() -> None:
        active.hold(feed)  # locked before the table, in the same order as by a run, to avoid a deadlock
        if exists and (truncate or not fits):
            for view in reversed(warehouse.dependents(feed.domain_table)):
                if view.relation == feed.domain_table + STITCHED:  # the next run of Stitch creates it again
                    warehouse.execute(f"DROP VIEW {view.name}")
            warehouse.execute(f"DROP TABLE {quoted(feed.domain_table)}")

    if sample is None:
        with warehouse.transaction():
            make_room()
            create_or_alter(warehouse, target_table(feed))
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
        after=lambda _ingested: active.note(feed, now),
    )


def _fits(active: Mapping[str, Any], feed: Feed) -> bool:
    """Whether stored rows are still valid: fields may be added or removed, but not changed."""
    now = definition(feed)
    types = active.get("types", {})
    return all(active.get(part) == now[part] for part in ("table", "key", "updated")) and all(
        types.get(name, kind) == kind for name, kind in now["types"].items()
    )
