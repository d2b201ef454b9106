"""The load operations of a courier, as a form or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.responses import Response

from heap_courier.console.editing.project_edit import expect_unchanged, write_json
from heap_courier.console.editing.versioned_file import version_of
from heap_courier.console.visit import Form, Visit
from heap_courier.couriers.load_operations import operations_of
from heap_courier.couriers.work_plan import tags_of
from heap_courier.documents.strict_json import parse_json, read_json
from heap_courier.errors import CourierError, SetupError
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.files.entities import HeapConnectEntity, read_entities
from heap_courier.project.model import Courier


class FeedRow(NamedTuple):
    """A feed in the form.

    Attributes:
        id: its id in the load operations.
        table: its domain table; empty if there is no such feed.
        truncate: whether its table is emptied first.
        tags: the tags of the files that are loaded into it.
    """

    id: str
    table: str
    truncate: bool
    tags: tuple[str, ...]


def operations(visit: Visit) -> Response:
    """The screen: shows the load operations, or saves them."""
    context = visit.console.context()
    courier = context.courier(visit.part("name"))
    if courier.operations is None:
        raise SetupError(f"The courier `{courier.name}` follows Heap Connect and has no load operations.")
    feeds = read_feeds(context.project.feeds)
    tags = sorted(tags_of(each for each in read_entities(courier.entities) if not isinstance(each, HeapConnectEntity)))
    if visit.posted:
        return _posted(visit, courier, feeds, tags)
    problem = ""
    try:
        document = read_json(courier.operations) if courier.operations.exists() else {}
    except CourierError as error:
        document, problem = {}, str(error)
    return _page(visit, courier, feeds, tags, document, mode="form" if _is_plain(document) else "json", problem=problem)


def _posted(visit: Visit, courier: Courier, feeds: Iterable[Feed], tags: list[str]) -> Response:
    if courier.operations is None:
        raise SetupError(f"The courier `{courier.name}` follows Heap Connect and has no load operations.")
    mode = "json" if visit.form.get("mode") == "json" else "form"
    text = visit.form.get("text")
    document: Any = {}
    try:
        document = parse_json(text, courier.operations) if mode == "json" else _document(visit.form)
        operations_of(document, courier.operations, tags)
        expect_unchanged(visit.form.get("version"), version_of(courier.operations), "The list of load operations")
        write_json(courier.operations, document, version_of(courier.operations))
    except CourierError as error:
        return _page(
            visit, courier, feeds, tags, document, mode=mode, problem=str(error), text=text or None, status=409
        )
    return visit.to(said=f"The load operations of {courier.name} were saved.")


def _page(
    visit: Visit,
    courier: Courier,
    feeds: Iterable[Feed],
    tags: list[str],
    document: Any,
    *,
    mode: str,
    problem: str,
    text: str | None = None,
    status: int = 200,
) -> Response:
    rows = _rows(document, feeds)
    return visit.page(
        "operations.html",
        status,
        courier=courier,
        rows=rows,
        tags=tags,
        mode=mode,
        text=text if text is not None else json.dumps(document, indent=2, ensure_ascii=False),
        problem=problem,
        version=version_of(courier.operations) if courier.operations else "",
        feeds=list(feeds),
    )


def _rows(document: Any, feeds: Iterable[Feed]) -> list[FeedRow]:
    """The feeds of the load operations in their order, then the project's other feeds."""
    feeds = list(feeds)
    by_name = {feed.id: feed for feed in feeds} | {feed.domain_table.lower(): feed for feed in feeds}
    rows = []
    named = set()
    for key, listed in (document if isinstance(document, dict) else {}).items():
        feed = by_name.get(key) or by_name.get(key.lower())
        items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        loads = dict.fromkeys(str(item["file"]) for item in items if item.get("type") == "load" and "file" in item)
        truncate = any(item.get("type") == "truncate" for item in items)
        rows.append(FeedRow(key, feed.domain_table if feed else "", truncate, tuple(loads)))
        if feed:
            named.add(feed.id)
    return [
        *rows,
        *(FeedRow(feed.id, feed.domain_table, truncate=False, tags=()) for feed in feeds if feed.id not in named),
    ]


def _document(form: Form) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for row in form.rows("feed"):
        operations: list[dict[str, str]] = [{"type": "load", "file": tag} for tag in dict.fromkeys(row.all("tag"))]
        if row.has("truncate"):
            operations.insert(0, {"type": "truncate"})
        if operations:
            document[row.get("id")] = operations
    return document


def _is_plain(document: Any) -> bool:
    """Whether the form can show all of a document."""
    return isinstance(document, dict) and all(
        isinstance(listed, list)
        and all(
            isinstance(item, dict) and (item == {"type": "truncate"} or ({"type", "file"} == set(item)))
            for item in listed
        )
        for listed in document.values()
    )
