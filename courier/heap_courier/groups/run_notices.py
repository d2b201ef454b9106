"""Notices about runs of groups, and how messages refer to a run, its slot and the command that repeats it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from shlex import quote
from typing import Final

from heap_courier.documents.wording import duration
from heap_courier.groups.covered_days import LATE
from heap_courier.groups.slots import Outcome
from heap_courier.notices.notice import Kind, Notice
from heap_courier.project.model import Group

_ENDINGS: Final[Mapping[Outcome, tuple[Kind, str]]] = {
    "succeeded": ("completed", "succeeded."),
    "failed": ("error", "failed."),
    "interrupted": ("trouble", "was interrupted."),  # the person who stopped it knows
}


def title(group: Group, slot: datetime) -> str:
    """How messages refer to a run."""
    return f"Group `{group.name}`, slot {in_words(slot)}"


def in_words(slot: datetime) -> str:
    """How messages refer to a slot."""
    return f"{slot.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def by_hand(group: str, slot: datetime, *, skip_missing: bool = False) -> str:
    """The command that runs a group for a slot, in backticks."""
    option = " --skip-missing" if skip_missing else ""
    return f"`heap-courier group run {quote(group)} --slot {slot.astimezone(timezone.utc):%Y-%m-%dT%H:%M}{option}`"


def what_follows(group: Group, slot: datetime) -> str:
    """What happens to the days of a run that did not finish."""
    if group.past_day_only:
        return f"Its day is not retried automatically. To retry it: {by_hand(group.name, slot)}."
    return "The next run covers its days."


def notice(kind: Kind, event: str, group: Group, slot: datetime, text: str, **details: str | float) -> Notice:
    """A notice about a run of a group."""
    return Notice(kind, event, text, group=group.name, slot=slot, details=details)


def started(group: Group, slot: datetime, *, late: bool) -> Notice:
    """A run has started; `late`: long after its slot."""
    begins = "was missed: running it now." if late else "started."
    return notice("running", "group-started", group, slot, f"{title(group, slot)} {begins}")


def finished(group: Group, slot: datetime, outcome: Outcome, message: str, took: timedelta) -> Notice:
    """The outcome of a run, and notes about it."""
    kind, sentence = _ENDINGS[outcome]
    text = "\n".join(filter(None, [f"{title(group, slot)} {sentence}", message]))
    details = {"outcome": outcome, "seconds": round(took.total_seconds(), 3)}
    return notice(kind, f"group-{outcome}", group, slot, text, **details)


def aborted(group: Group, slot: datetime, message: str) -> Notice:
    """A run whose process is gone."""
    return notice("error", "group-aborted", group, slot, f"{title(group, slot)}: {message} {what_follows(group, slot)}")


def slow(group: Group, slot: datetime, limit: timedelta) -> Notice:
    """A run is taking longer than the group's `warn-after`."""
    text = f"{title(group, slot)} is taking longer than {duration(limit.total_seconds())}."
    return notice("warning", "group-slow", group, slot, text)


def continues(group: Group, slot: datetime, courier: str, why: str) -> Notice:
    """A run continues without missing files of a courier."""
    text = f"{title(group, slot)} continues without files.\n{why}"
    return replace(notice("warning", "group-continues", group, slot, text), courier=courier)


def files_given_up(group: Group, slot: datetime, courier: str, days: Sequence[date]) -> Notice:
    """Days whose missing files a courier no longer looks for, in ascending order."""
    text = (
        f"{title(group, slot)}: courier `{courier}` no longer looks for the files of {', '.join(map(str, days))}, "
        f"which have been missing for {LATE.days} days. If they arrive: "
        f"`heap-courier run {quote(courier)} --day {days[0]}`."
    )
    return replace(notice("warning", "files-given-up", group, slot, text), courier=courier)
