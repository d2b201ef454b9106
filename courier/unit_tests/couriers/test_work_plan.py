"""The work plan of a courier: entities, load operations and feeds together."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from heap_courier.couriers.work_plan import read_work_plan
from heap_courier.data_types.field_types import INTEGER
from heap_courier.errors import MissingFeedsError, SetupError
from heap_courier.feeds.activation import activate
from heap_courier.feeds.model import Feed, Field
from heap_courier.feeds.writer import write_feed
from heap_courier.project.model import Courier, DefaultCredential, Project, WarehouseSettings
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

FILE = {
    "object/type": "file",
    "object/file-pattern": "'users'",
    "object/land-as": {"file/tag": "users", "file/content-type": "text/csv"},
}
CONNECT = {"object/type": "heap-connect", "heap-connect/source": "Heap"}
USERS = Feed("df-users001", "Heap", "Users", (Field("id", INTEGER, "id"),), ("id",))
LOAD = [{"type": "load", "file": "users"}]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, WarehouseSettings("duckdb", tmp_path / "heap.duckdb"), {}, tmp_path / "feeds", {})


def courier(folder: Path, entities: list[Any], operations: dict[str, Any] | None) -> Courier:
    (folder / "entities.json").write_text(json.dumps(entities))
    if operations is not None:
        (folder / "operations.json").write_text(json.dumps(operations))
    path = None if operations is None else folder / "operations.json"
    return Courier("Heap", DefaultCredential(), "bucket", "", None, None, folder / "entities.json", path)


def test_operations_refer_to_feeds_by_id(project: Project) -> None:
    write_feed(USERS, project.feeds / "users.yaml")

    work_plan = read_work_plan(project, courier(project.folder, [FILE], {"df-users001": LOAD}))

    assert work_plan.feeds == {"df-users001": USERS}
    assert work_plan.unknown_feeds == []
    work_plan.expect_known_feeds()


def test_unknown_feeds_are_reported_in_the_documented_words(project: Project) -> None:
    write_feed(USERS, project.feeds / "users.yaml")
    work_plan = read_work_plan(project, courier(project.folder, [FILE], {"df-xxxxxx": LOAD, "df-yyyyyy": LOAD}))

    with pytest.raises(MissingFeedsError) as missing:
        work_plan.expect_known_feeds("Files are kept.")
    assert str(missing.value).splitlines() == [
        "Error running load-operations task",
        'Cannot find required feeds: "df-xxxxxx", "df-yyyyyy"',
        "Files are kept.",
        "Feeds of this project: df-users001 (Heap:Users).",
    ]


def test_a_feed_must_be_active_in_its_current_form(project: Project, tmp_path: Path) -> None:
    write_feed(USERS, project.feeds / "users.yaml")
    work_plan = read_work_plan(project, courier(project.folder, [FILE], {"df-users001": LOAD}))
    warehouse = DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)
    from_now_on = {"now": datetime(2026, 11, 21, tzinfo=timezone.utc), "truncate": False, "workers": 1}

    with pytest.raises(SetupError, match=r"is not active yet: run `heap-courier feed activate Heap:Users`"):
        work_plan.expect_active_feeds(warehouse)
    activate(warehouse, replace(USERS, fields=(*USERS.fields, Field("more", INTEGER, "more"))), None, **from_now_on)
    with pytest.raises(SetupError, match="has changed since it was activated"):
        work_plan.expect_active_feeds(warehouse)
    activate(warehouse, USERS, None, **from_now_on)
    work_plan.expect_active_feeds(warehouse)
    warehouse.close()


def test_operations_refer_to_tags_of_the_entities(project: Project) -> None:
    with pytest.raises(SetupError, match="usres"):
        read_work_plan(project, courier(project.folder, [FILE], {"df-users001": [{"type": "load", "file": "usres"}]}))


def test_a_courier_for_files_needs_load_operations(project: Project) -> None:
    with pytest.raises(SetupError, match=r"has no `load-operations` in heap-courier\.yaml"):
        read_work_plan(project, courier(project.folder, [FILE], None))


def test_a_courier_for_heap_connect_has_no_load_operations(project: Project) -> None:
    assert read_work_plan(project, courier(project.folder, [CONNECT], None)).heap_connect
    with pytest.raises(SetupError, match="remove its `load-operations`"):
        read_work_plan(project, courier(project.folder, [CONNECT], {}))


def test_a_feed_and_heap_connect_do_not_share_a_source(project: Project) -> None:
    write_feed(replace(USERS, source="HEAP"), project.feeds / "users.yaml")

    with pytest.raises(SetupError, match=r"The feed `HEAP:Users` and the courier `Heap` both load tables of"):
        read_work_plan(project, courier(project.folder, [CONNECT], None))
