"""Courier groups: schedules, couriers with waits and offsets, constraints, pausing, manual runs, and history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from shlex import quote
from typing import Any, Final
from zoneinfo import available_timezones

from starlette.responses import Response

from heap_courier.console.editing.cron_words import in_words
from heap_courier.console.editing.group_form import GroupForm, Member, form_of_fields, form_of_section
from heap_courier.console.editing.project_edit import ProjectEdit, about_the_form, expect_unchanged
from heap_courier.console.jobs import Job
from heap_courier.console.visit import BUSY, Visit, looking
from heap_courier.couriers.context import Context
from heap_courier.errors import BusyWarehouseError, CourierError, InterruptedRunError, SetupError
from heap_courier.group_work import Audience, group_context
from heap_courier.groups import slots
from heap_courier.groups.presence import daemon_of
from heap_courier.groups.run import GroupContext, GroupResult, run_by_hand
from heap_courier.groups.scheduler import upcoming
from heap_courier.groups.slots import SlotRun
from heap_courier.notices.notice import Notice, Report
from heap_courier.progress import NoBar
from heap_courier.project.cron import instants, warnings
from heap_courier.project.model import Group

_NEXT: Final = 5  # scheduled runs shown
_HISTORY: Final = 50
_UNNAMED: Final = "New group"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group as the screen lists it."""

    group: Group
    words: str
    next: datetime | None
    last: SlotRun | None
    running: bool


def groups(visit: Visit) -> Response:
    """The groups of the project."""
    context = visit.console.context()
    last_runs: dict[str, SlotRun] = {}
    trouble = []
    known, busy = False, ""
    try:
        last_runs = _last_runs(context)
        known = True
    except BusyWarehouseError:
        busy = f"{BUSY} The last runs appear here as soon as it is free."
    except CourierError as error:
        trouble.append(str(error))
    rows = [_row(context, group, last_runs.get(group.name)) for group in context.project.groups.values()]
    return visit.page(
        "groups.html",
        rows=rows,
        trouble=trouble,
        busy=busy,
        known=known,
        daemon=daemon_of(visit.console.folder),
        scheduled=any(row.next for row in rows),
        command=f"heap-courier --project {quote(str(visit.console.folder.resolve()))} group serve --wait",
        is_shared=not context.project.warehouse.path,
        said=visit.said,
        drawing=_drawing(context.project.groups),
    )


def new_group(visit: Visit) -> Response:
    """Create Courier Group: shows the form, or saves it."""
    if visit.posted:
        return _posted(visit, None)
    return _form_page(visit, GroupForm(), None, "")


def edit_group(visit: Visit) -> Response:
    """Edit a group: shows the form and the runs of the group, or saves the form."""
    group = visit.console.context().group(visit.part("name"))
    if visit.posted:
        return _posted(visit, group)
    edit = ProjectEdit(visit.console.folder)
    form = form_of_section(group.name, edit.section("groups", group.name))
    return _form_page(visit, form, group, edit.version("groups", group.name))


def preview(visit: Visit) -> Response:
    """The schedule of the form in words, its next runs, and warnings: requested while the user types.

    Other errors of the form, such as a missing courier, are shown below the schedule, and do not replace it.
    """
    form = form_of_fields(visit.form)
    name = form.name or _UNNAMED
    words, problem = "", ""
    upcoming_runs: list[tuple[datetime, datetime]] = []
    sentences: Iterable[str] = ()
    try:
        edit = ProjectEdit(visit.console.folder)
        section = form.section(edit.section("groups", name))
        try:
            group = edit.validated({("groups", name): section}).groups[name]
        except CourierError as error:
            problem = _plainly(str(error), name)
            group = _by_schedule(edit, section)
        words, upcoming_runs, sentences = _foreseen(group, visit.console.now())
    except CourierError as error:
        problem = _plainly(str(error), _UNNAMED)
    return visit.page("schedule.html", problem=problem, words=words, runs=upcoming_runs, warnings=sentences)


def _by_schedule(edit: ProjectEdit, section: Mapping[str, Any]) -> Group:
    """A group with only the schedule of a section. Raises SetupError if the schedule is invalid."""
    kept = {key: value for key, value in section.items() if key in ("schedule", "time-zone", "status")}
    couriers = edit.names("couriers")
    if not couriers:
        raise SetupError("A group runs couriers, and there are none yet: add one on the screen Sources first.")
    return edit.validated({("groups", _UNNAMED): kept | {"couriers": [{"courier": couriers[0]}]}}).groups[_UNNAMED]


def _foreseen(group: Group, now: datetime) -> tuple[str, list[tuple[datetime, datetime]], Iterable[str]]:
    """The schedule of a group in words, its next runs in its time zone and in UTC, and warnings."""
    zone = group.time_zone
    if not group.schedule:
        return "It runs by hand only.", [], ()
    words = f"It runs {in_words(group.schedule)}, in the time zone {zone.key}."
    found = islice(instants(group.schedule, zone, now), _NEXT)
    return words, [(instant.astimezone(zone), instant) for instant in found], warnings(group.schedule, zone, now)


def switch(visit: Visit) -> Response:
    """Pauses or resumes a group."""
    group = visit.console.context().group(visit.part("name"))
    edit = ProjectEdit(visit.console.folder)
    enabled = visit.form.get("status") == "enabled"
    section = edit.section("groups", group.name) | {"status": "enabled" if enabled else "disabled"}
    edit.write({("groups", group.name): section})
    word = "resumed" if enabled else "paused"
    return visit.to("groups", said=f"The group {group.name} is {word}. {_soon(visit)}")


def run_now(visit: Visit) -> Response:
    """Runs a group now, enabled or not."""
    context = visit.console.context()
    group = context.group(visit.part("name"))
    skip_missing = visit.form.has("skip-missing")

    def work(job: Job) -> GroupResult:
        with visit.console.reporting(context) as reported:
            return run_by_hand(group, _group_context(reported, job, visit.console.log), skip_missing=skip_missing)

    return visit.to("jobs", visit.console.jobs.start("group", group.name, "now", work).id)


def _soon(visit: Visit) -> str:
    if daemon_of(visit.console.folder):
        return "`heap-courier group serve` picks up the change within a minute."
    return "Scheduled runs do not start yet, because `heap-courier group serve` is not running."


class _Watcher(Audience):
    """Shows in a job which courier started last, and stops all couriers with the job.

    Couriers run in parallel, but a job has only one progress bar.
    """

    def __init__(self, job: Job, log: Report) -> None:
        self._job = job
        self._log = log
        self.bar = _Stoppable(job)

    def began(self, what: str) -> None:
        self._job.stage(what)

    def heard(self, notice: Notice) -> None:
        self._log(notice)


def _group_context(context: Context, job: Job, log: Report) -> GroupContext:
    def pause(seconds: float) -> None:
        if job.stop.wait(seconds):
            raise InterruptedRunError("The run was stopped from the console.")

    return group_context(context, _Watcher(job, log), pause)


class _Stoppable(NoBar):
    """Shows no progress, but stops the courier when the job is stopped."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def stage(self, what: str, total_bytes: int | None = None) -> None:  # noqa: ARG002
        """Begins a stage."""
        self._job.heed()

    def advance(self, amount: int) -> None:  # noqa: ARG002
        """Advances the stage."""
        self._job.heed()


def _last_runs(context: Context) -> dict[str, SlotRun]:
    with looking(context) as warehouse:
        if not warehouse:
            return {}
        slots.prepare(warehouse)
        return {name: run for name in context.project.groups for run in slots.history(warehouse, name, 1)}


def _row(context: Context, group: Group, last: SlotRun | None) -> GroupRow:
    words = in_words(group.schedule) if group.schedule else "by hand only"
    running = last is not None and last.outcome is None
    return GroupRow(group, words, upcoming(group, context.now()), last, running)


def _posted(visit: Visit, group: Group | None) -> Response:
    form = form_of_fields(visit.form)
    if group:
        form = replace(form, name=group.name)
    version = visit.form.get("version")
    do, _, number = visit.form.get("do", "save").partition(":")
    index = int(number) if number.isdecimal() else -1
    changed = {
        "add-courier": lambda: replace(form, couriers=(*form.couriers, Member())),
        "add-constraint": lambda: replace(form, constraints=(*form.constraints, Member())),
        "remove-courier": lambda: replace(form, couriers=_without(form.couriers, index)),
        "remove-constraint": lambda: replace(form, constraints=_without(form.constraints, index)),
    }.get(do)
    if changed:
        return _form_page(visit, changed(), group, version)
    edit = ProjectEdit(visit.console.folder)
    try:
        if not form.name:
            raise SetupError("The group has no name: enter one, such as Heap.")
        if group:
            expect_unchanged(version, edit.version("groups", group.name), f"The group {group.name}")
        else:
            edit.expect_new("groups", form.name)
        edit.write({("groups", form.name): form.section(edit.section("groups", form.name))})
    except CourierError as error:
        version = edit.version("groups", group.name) if group else ""
        return _form_page(visit, form, group, version, str(error), status=409)
    return visit.to("groups", said=f"The group {form.name} was saved. {_soon(visit)}")


def _without(members: tuple[Member, ...], index: int) -> tuple[Member, ...]:
    return tuple(member for number, member in enumerate(members) if number != index)


def _form_page(
    visit: Visit, form: GroupForm, group: Group | None, version: str, problem: str = "", *, status: int = 200
) -> Response:
    context = visit.console.context()
    history: list[SlotRun] | None = []
    if group:
        try:
            with looking(context) as warehouse:
                if warehouse:
                    slots.prepare(warehouse)
                    history = slots.history(warehouse, group.name, _HISTORY)
        except BusyWarehouseError:  # editing does not need the warehouse
            history = None
    return visit.page(
        "group.html",
        status,
        form=form,
        group=group,
        version=version,
        problem=_plainly(problem, form.name),
        couriers=list(context.project.couriers),
        others=[name for name in context.project.groups if name != form.name],
        zones=sorted(available_timezones()),
        history=history,
        limit=_HISTORY,
    )


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing of which group waits for which: boxes by name with their positions, and lines between them."""

    boxes: Mapping[str, tuple[int, int]]
    lines: tuple[tuple[int, int, int, int], ...]
    sentences: tuple[str, ...]
    width: int
    height: int


_BOX: Final = (190, 40)
_GAP: Final = (70, 16)


def _drawing(groups: Mapping[str, Group]) -> Drawing | None:
    """Places each group to the right of all groups that it waits for. None without constraints."""
    if not any(group.constraints for group in groups.values()):
        return None
    columns: dict[str, int] = {}

    def column(name: str) -> int:
        if name not in columns:
            columns[name] = max((column(each.group) + 1 for each in groups[name].constraints), default=0)
        return columns[name]

    taken: dict[int, int] = {}
    boxes = {}
    for name in groups:
        at = column(name)
        boxes[name] = (at * (_BOX[0] + _GAP[0]), taken.get(at, 0) * (_BOX[1] + _GAP[1]))
        taken[at] = taken.get(at, 0) + 1
    waits = [(each.group, group.name) for group in groups.values() for each in group.constraints]
    lines = tuple(
        (boxes[first][0] + _BOX[0], boxes[first][1] + _BOX[1] // 2, boxes[then][0], boxes[then][1] + _BOX[1] // 2)
        for first, then in waits
    )
    width = max(x for x, _ in boxes.values()) + _BOX[0]
    height = max(y for _, y in boxes.values()) + _BOX[1]
    return Drawing(boxes, lines, tuple(_in_sentences(waits)), width, height)


def _in_sentences(waits: Iterable[tuple[str, str]]) -> Iterable[str]:
    return (f"{then} waits for {first}." for first, then in waits)


_MEMBER: Final = re.compile(r"`(courier|constraint)s\[(\d+)\]\.(\w+)`")
_FIELDS: Final = {
    "`sla.done-by`": "SLA: done by",
    'a time of day in quotes, such as `"07:00"`': "a time of day, such as 07:00",
    "`warn-after`": "Warn after",
    "`time-zone`": "Time zone",
}
_LABELS: Final = {"courier": "the name", "group": "the name", "wait": "the wait time", "offset": "the offset"}


def _plainly(sentence: str, name: str) -> str:
    """Rephrases a message about the project file in terms of the form."""
    sentence = about_the_form(sentence).replace(f"groups.{name}.", "").replace(f"groups.{name}: ", "")

    def label(found: re.Match[str]) -> str:
        kind, number, setting = found.groups()
        return f"{kind.capitalize()} {int(number) + 1}: {_LABELS.get(setting, setting)}"

    for setting, words in _FIELDS.items():
        sentence = sentence.replace(setting, words)
    return _MEMBER.sub(label, sentence).replace(": the name must not be empty", ": choose one from the list")
