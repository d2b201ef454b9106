"""Activating a feed creates its table and loads its sample."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from heap_courier.data_types.field_types import DATETIME, INTEGER, STRING
from heap_courier.errors import SetupError, TooManyRejectsError
from heap_courier.feeds.activation import activate
from heap_courier.feeds.active import ActiveFeeds, definition
from heap_courier.feeds.model import Feed, Field
from heap_courier.files.fileset import FetchedFile
from heap_courier.formats.file_format import FileFormat
from heap_courier.warehouse.base import Warehouse

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
USERS = Feed(
    id="df-users001",
    source="Heap",
    name="Users",
    fields=(Field("id", INTEGER, "id"), Field("email", STRING, "email"), Field("seen", DATETIME, "seen")),
    primary_key=("id",),
)

FEED = Feed(
    id="df-abc12345",
    source="Heap",
    name="Users",
    fields=(Field("user_id", INTEGER, "user_id", tag="pk"), Field("seen", DATETIME, "last", pattern="yyyy-MM-dd")),
    primary_key=("user_id",),
    last_updated="seen",
)


@pytest.fixture
def sample(tmp_path: Path) -> FetchedFile:
    return file_of(tmp_path, "id,email,seen\n1,a,2026-11-01\n2,b,2026-11-02\n")


def file_of(folder: Path, content: str) -> FetchedFile:
    path = folder / "sample.csv"
    path.write_text(content)
    return FetchedFile(path, "sample.csv", "", None, FileFormat("text/csv"), len(content), NOON)


def activated(warehouse: Warehouse, feed: Feed, sample: FetchedFile | None = None, *, truncate: bool = False) -> None:
    activate(warehouse, feed, sample, now=NOON, truncate=truncate, workers=1)
    assert ActiveFeeds(warehouse).has(feed)


def ids(warehouse: Warehouse) -> list[int]:
    return [row[0] for row in warehouse.query('SELECT id FROM "Heap:Users" ORDER BY 1')]


def test_the_sample_fills_the_domain_table(warehouse: Warehouse, sample: FetchedFile) -> None:
    activated(warehouse, USERS, sample)

    assert ids(warehouse) == [1, 2]
    assert list(warehouse.columns("Heap:Users")) == ["id", "email", "seen", "_updated"]


def test_without_a_sample_the_table_is_empty(warehouse: Warehouse) -> None:
    activated(warehouse, USERS)

    assert list(warehouse.columns("Heap:Users")) == ["id", "email", "seen", "_updated"]
    assert ids(warehouse) == []


def test_a_feed_whose_sample_does_not_fit_is_not_activated(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(TooManyRejectsError):
        activate(warehouse, USERS, file_of(tmp_path, "id,email,seen\nx,a,\n"), now=NOON, truncate=False, workers=1)

    assert not ActiveFeeds(warehouse).has(USERS)
    assert not warehouse.columns("Heap:Users")


def test_a_changed_feed_is_not_active_until_it_is_activated_again(warehouse: Warehouse, sample: FetchedFile) -> None:
    activated(warehouse, USERS, sample)
    narrower = replace(USERS, fields=(USERS.fields[0], USERS.fields[2], Field("plan", STRING, "plan")))

    assert not ActiveFeeds(warehouse).has(narrower)
    activated(warehouse, narrower)

    assert set(warehouse.columns("Heap:Users")) == {"id", "seen", "plan", "_updated"}
    assert ids(warehouse) == [1, 2]


@pytest.mark.parametrize(
    "changed",
    [
        replace(USERS, primary_key=("email",)),
        replace(USERS, last_updated="seen"),
        replace(USERS, fields=(USERS.fields[0], replace(USERS.fields[1], type=DATETIME), USERS.fields[2])),
    ],
    ids=["key", "last-updated", "type"],
)
def test_rows_of_an_incompatible_definition_are_removed_only_with_truncate(
    warehouse: Warehouse, sample: FetchedFile, changed: Feed
) -> None:
    activated(warehouse, USERS, sample)

    with pytest.raises(SetupError, match=r"contains 2 rows loaded by an earlier definition of the feed.*--truncate"):
        activate(warehouse, changed, None, now=NOON, truncate=False, workers=1)
    assert ids(warehouse) == [1, 2]
    assert ActiveFeeds(warehouse).has(USERS)

    activated(warehouse, changed, truncate=True)
    assert ids(warehouse) == []


def test_truncate_empties_a_table_that_fits(warehouse: Warehouse, sample: FetchedFile) -> None:
    activated(warehouse, USERS, sample)
    activated(warehouse, USERS, truncate=True)

    assert ids(warehouse) == []


def test_an_empty_table_can_be_changed_to_any_definition(warehouse: Warehouse) -> None:
    activated(warehouse, USERS)
    activated(warehouse, replace(USERS, primary_key=("email",)))


def test_a_feed_is_active_in_its_last_activated_form(warehouse: Warehouse) -> None:
    active = ActiveFeeds(warehouse)
    active.make()
    other = replace(FEED, id="df-other123", name="Events")
    changed = replace(FEED, last_updated=None)
    active.note(other, NOON)
    assert active.definition(FEED) == {}

    active.note(FEED, NOON)
    active.note(changed, NOON)
    assert active.definition(FEED) == definition(changed)
    assert active.definition(other) == definition(other)


@pytest.mark.parametrize(
    "other",
    [
        replace(FEED, name="People"),
        replace(FEED, primary_key=("user_id", "seen")),
        replace(FEED, last_updated=None),
        replace(FEED, fields=FEED.fields[:1]),
        replace(FEED, fields=(replace(FEED.fields[0], type=STRING), FEED.fields[1])),
        replace(FEED, fields=(replace(FEED.fields[0], source="id"), FEED.fields[1])),
        replace(FEED, fields=(FEED.fields[0], replace(FEED.fields[1], pattern=None))),
    ],
)
def test_every_change_to_the_table_changes_the_definition(other: Feed) -> None:
    assert definition(other) != definition(FEED)


def test_tags_and_flags_do_not_change_the_definition() -> None:
    tagged = tuple(replace(field, tag="email", required=True) for field in FEED.fields)
    assert definition(replace(FEED, fields=tagged, stitch=True, error_threshold=50)) == definition(FEED)
