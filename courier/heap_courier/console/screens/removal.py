"""Removal of couriers, credentials, feeds and groups: a page lists what is removed and what stays, to be confirmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from heap_courier.console.editing.credentials import CredentialRow, credentials_of
from heap_courier.console.editing.feed_form import find_feed
from heap_courier.console.editing.project_edit import ProjectEdit, expect_unchanged
from heap_courier.console.editing.versioned_file import remove_file, version_of
from heap_courier.console.visit import Visit
from heap_courier.couriers.work_plan import couriers_that_load
from heap_courier.documents.wording import named
from heap_courier.errors import CourierError
from heap_courier.files.entities import HeapConnectEntity, read_entities
from heap_courier.project.model import Courier, Project
from heap_courier.project.reader import FILE_NAME


@dataclass(frozen=True, slots=True)
class Removal:
    """A removal to be confirmed.

    Attributes:
        what: the kind and the name of what is removed, such as `courier Heap`.
        removed: what is removed, in sentences.
        stays: what is not removed, in sentences.
        blockers: what prevents the removal, in sentences; empty if nothing does.
        version: the current version of what is removed.
        back: the address to return to.
    """

    what: str
    removed: tuple[str, ...]
    stays: tuple[str, ...]
    blockers: tuple[str, ...]
    version: str
    back: tuple[str, ...]


def courier(visit: Visit) -> Response:
    """Removes a courier, with its lists unless another courier uses them."""
    context = visit.console.context()
    chosen = context.courier(visit.part("name"))
    edit = ProjectEdit(visit.console.folder)
    lists = _lists(context.project, chosen)
    stays = [
        "Its domain tables with all rows, its samples, and its runs in the list of runs.",
        f"The credential `{chosen.credential.name}`, which other couriers may use." if chosen.credential.name else "",
        "Its position in the dumps of Heap Connect: a new courier with the same name resumes from there."
        if _follows_heap(chosen)
        else "",
    ]
    groups = [
        group.name
        for group in context.project.groups.values()
        if any(each.courier == chosen.name for each in group.couriers)
    ]
    removal = Removal(
        f"courier {chosen.name}",
        (
            f"The courier `{chosen.name}` in `heap-courier.yaml`.",
            *(f"`{path.relative_to(context.project.folder)}`." for path in lists),
        ),
        tuple(filter(None, stays)),
        tuple(f"The group `{name}` runs it: remove it from the group first, or remove the group." for name in groups),
        edit.version("couriers", chosen.name, *lists),
        ("couriers", chosen.name, "edit"),
    )

    def remove() -> None:
        edit.remove("couriers", chosen.name)
        for path in lists:
            remove_file(path, version_of(path))

    return _page(visit, removal, remove)


def credential(visit: Visit) -> Response:
    """Removes a credential."""
    visit.console.context()  # fails if the project is not valid
    name = visit.part("name")
    edit = ProjectEdit(visit.console.folder)
    known = {each.name: each for each in credentials_of(edit, visit.console.environment)}
    chosen: CredentialRow = named(known, name, f"`{FILE_NAME}`", "credential")
    blockers = [f"The courier `{each}` uses it: choose another credential for it first." for each in chosen.couriers]
    blockers += [f"The credential `{each}` assumes its role with it: remove that one first." for each in chosen.roles]
    removal = Removal(
        f"credential {name}",
        (f"The credential `{name}` in `{FILE_NAME}`.",),
        (f"What it refers to, which is not part of the project: {chosen.source[0].lower()}{chosen.source[1:]}.",),
        tuple(blockers),
        edit.version("credentials", name),
        (),
    )
    return _page(visit, removal, lambda: edit.remove("credentials", name))


def feed(visit: Visit) -> Response:
    """Removes a feed."""
    context = visit.console.context()
    path, chosen = find_feed(context.project.feeds, visit.part("id"))
    removal = Removal(
        f"feed {chosen.domain_table}",
        (f"`{path.relative_to(context.project.folder)}`.",),
        (
            f"The domain table `{chosen.domain_table}` with all rows, if the feed was active.",
            "The sample that the feed was created from.",
        ),
        tuple(
            f"The load operations of the courier `{name}` refer to it: remove it there first."
            for name in couriers_that_load(context.project, chosen.id)
        ),
        version_of(path),
        ("feeds", chosen.id),
    )
    return _page(visit, removal, lambda: remove_file(path, visit.form.get("version")))


def group(visit: Visit) -> Response:
    """Removes a courier group."""
    context = visit.console.context()
    chosen = context.group(visit.part("name"))
    edit = ProjectEdit(visit.console.folder)
    waiting = [
        each.name
        for each in context.project.groups.values()
        if any(constraint.group == chosen.name for constraint in each.constraints)
    ]
    removal = Removal(
        f"group {chosen.name}",
        (f"The group `{chosen.name}` in `heap-courier.yaml`, with its schedule.",),
        (
            "Its couriers and their domain tables.",
            "Its runs, in the warehouse: a new group with the same name continues after the last one.",
        ),
        tuple(f"The group `{name}` waits for it: remove that constraint first." for name in waiting),
        edit.version("groups", chosen.name),
        ("groups", chosen.name, "edit"),
    )
    return _page(visit, removal, lambda: edit.remove("groups", chosen.name))


def _page(visit: Visit, removal: Removal, remove: Callable[[], None]) -> Response:
    problem = ""
    if visit.posted and not removal.blockers:
        try:
            expect_unchanged(visit.form.get("version"), removal.version, f"The {removal.what}", removing=True)
            remove()
        except CourierError as error:
            problem = str(error)
        else:
            home = ("groups",) if removal.back[:1] == ("groups",) else ()
            return visit.to(*home, said=f"The {removal.what} was removed.")
    status = 409 if visit.posted else 200
    return visit.page("removal.html", status, removal=removal, problem=problem)


def _lists(project: Project, chosen: Courier) -> list[Path]:
    """Its lists of entities and load operations that no other courier uses."""
    others = {
        path
        for each in project.couriers.values()
        if each.name != chosen.name
        for path in (each.entities, each.operations)
    }
    own = [path for path in (chosen.entities, chosen.operations) if path]
    return [path for path in own if path not in others and path.exists() and path.is_relative_to(project.folder)]


def _follows_heap(chosen: Courier) -> bool:
    try:
        return any(isinstance(each, HeapConnectEntity) for each in read_entities(chosen.entities))
    except CourierError:
        return False
