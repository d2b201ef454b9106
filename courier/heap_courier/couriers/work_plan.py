"""The work plan of a courier: its entities, its load operations and their feeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from heap_courier.couriers.load_operations import Operations, read_operations
from heap_courier.errors import CourierError, MissingFeedsError, SetupError
from heap_courier.feeds.active import ActiveFeeds
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.files.entities import FileEntity, HeapConnectEntity, read_entities
from heap_courier.files.fileset import FilesEntity
from heap_courier.project.model import Courier, Project
from heap_courier.warehouse.base import Warehouse


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """The work plan of a courier.

    Attributes:
        entities: the files that it fetches; none with Heap Connect.
        heap_connect: set if it follows the manifests of Heap Connect instead.
        operations: how the files are loaded; if empty, they are kept as samples.
        feeds: all feeds of the project, by id.
    """

    entities: tuple[FilesEntity, ...]
    heap_connect: HeapConnectEntity | None
    operations: tuple[Operations, ...]
    feeds: Mapping[str, Feed]

    def limited_to(self, tables: Collection[str] | None) -> WorkPlan:
        """The plan with only the operations of these domain tables; None: with all."""
        if tables is None:
            return self
        kept = [each for each in self.operations if each.feed_id in self.feeds]
        return replace(self, operations=tuple(each for each in kept if self.feeds[each.feed_id].domain_table in tables))

    @property
    def unknown_feeds(self) -> list[str]:
        """Feeds of operations that do not exist."""
        return [operation.feed_id for operation in self.operations if operation.feed_id not in self.feeds]

    def expect_known_feeds(self, hint: str = "") -> None:
        """Raises MissingFeedsError if a feed of an operation does not exist; `hint` is added as a line."""
        if not self.unknown_feeds:
            return
        there = ", ".join(f"{feed.id} ({feed.domain_table})" for feed in self.feeds.values())
        raise MissingFeedsError(
            self.unknown_feeds, *filter(None, [hint, f"Feeds of this project: {there}." if there else ""])
        )

    def expect_active_feeds(self, warehouse: Warehouse) -> None:
        """Raises SetupError if a feed of an operation is not active in its current form."""
        active = ActiveFeeds(warehouse)
        active.make()
        for operation in self.operations:
            feed = self.feeds[operation.feed_id]
            if not active.has(feed):
                state = "has changed since it was activated" if active.definition(feed) else "is not active yet"
                raise SetupError(
                    f"The feed `{feed.domain_table}` {state}: run `heap-courier feed activate {feed.domain_table}`."
                )


def read_work_plan(project: Project, courier: Courier) -> WorkPlan:
    """Reads the work plan of a courier.

    Raises:
        SetupError: one of the files is not valid, or they contradict each other.
    """
    entities = read_entities(courier.entities)
    feeds = read_feeds(project.feeds)
    by_id = {feed.id: feed for feed in feeds}
    if isinstance(entities[0], HeapConnectEntity):
        _expect_no_rival(courier, entities[0], feeds)
        _expect_no_twin(project, courier, entities[0])
        return WorkPlan((), entities[0], (), by_id)
    files = tuple(entity for entity in entities if not isinstance(entity, HeapConnectEntity))
    if courier.operations is None:
        raise SetupError(
            f"The courier `{courier.name}` has no `load-operations` in heap-courier.yaml: set it to a file, which may "
            "contain just {}."
        )
    operations = read_operations(courier.operations, tags_of(files))
    return WorkPlan(files, None, _with_ids(operations, feeds, courier.operations), by_id)


def problems_of(project: Project) -> list[str]:
    """What would make runs of the project's couriers fail: entities, load operations or feeds that are not valid."""
    return [problem for courier in project.couriers.values() for problem in _problem_of(project, courier)]


def _problem_of(project: Project, courier: Courier) -> list[str]:
    try:
        read_work_plan(project, courier).expect_known_feeds()
    except CourierError as error:
        return [f"Courier `{courier.name}`: {error}"]
    return []


def _with_ids(operations: Iterable[Operations], feeds: Iterable[Feed], path: Path) -> tuple[Operations, ...]:
    """The operations with the ids of their feeds, which may be given by their domain tables, in any case."""
    by_name = {feed.domain_table.lower(): feed.id for feed in feeds}
    written: dict[str, str] = {}
    found = []
    for operation in operations:
        feed_id = by_name.get(operation.feed_id.lower(), operation.feed_id)
        if feed_id in written:
            raise SetupError(
                f"`{path}`: `{written[feed_id]}` and `{operation.feed_id}` are the same feed: merge their operations."
            )
        written[feed_id] = operation.feed_id
        found.append(replace(operation, feed_id=feed_id))
    return tuple(found)


def _expect_no_rival(courier: Courier, entity: HeapConnectEntity, feeds: Iterable[Feed]) -> None:
    if courier.operations:
        raise SetupError(
            f"The courier `{courier.name}` follows Heap Connect, whose manifests define the tables: remove its "
            "`load-operations` from heap-courier.yaml."
        )
    for feed in feeds:
        if feed.source.lower() == entity.source.lower():
            raise SetupError(
                f"The feed `{feed.domain_table}` and the courier `{courier.name}` both load tables of the source "
                f"`{feed.source}`: set another `heap-connect/source` in `{courier.entities}`."
            )


def _expect_no_twin(project: Project, courier: Courier, entity: HeapConnectEntity) -> None:
    for other in project.couriers.values():
        if other.name == courier.name or other.operations or not other.entities.exists():
            continue
        for rival in read_entities(other.entities):
            if isinstance(rival, HeapConnectEntity) and rival.source.lower() == entity.source.lower():
                raise SetupError(
                    f"The couriers `{courier.name}` and `{other.name}` both load tables of the source "
                    f"`{entity.source}`: set another `heap-connect/source` in `{courier.entities}`."
                )


def tags_of(entities: Iterable[FilesEntity]) -> set[str]:
    """The tags of all files of the entities."""
    tags = set()
    for entity in entities:
        tags.update([entity.tag] if isinstance(entity, FileEntity) else [member.tag for member in entity.members])
    return tags


def couriers_that_load(project: Project, feed_id: str) -> list[str]:
    """The couriers that load a feed, without those whose load operations cannot be read."""
    names = []
    for courier in project.couriers.values():
        with suppress(CourierError):
            if any(operation.feed_id == feed_id for operation in read_work_plan(project, courier).operations):
                names.append(courier.name)
    return names
