"""Which days a run loads, and which missing days it no longer retries. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta, timezone
from typing import Final

from heap_courier.files.days import Days
from heap_courier.groups.slots import Since
from heap_courier.project.model import Group

LATE: Final = timedelta(days=7)  # how long a day with missing files is retried


def days_of(group: Group, offset: timedelta, slot: datetime, since: Since | None) -> Days:
    """The days that a run has to load.

    The last one is the day of the slot minus the offset. The first one follows the last day of the last successful
    run, or is that day itself if it was not over at the slot of that run, because files may have arrived later. If no
    run has succeeded yet, it is the last day of the first run, so that its days are not lost. If there was no run, or
    with `past_day_only`, only the last day is loaded.

    Days are in UTC, or with `dates_in_time_zone` in the group's zone, where an offset of 24 hours is one day even when
    clocks change.
    """
    zone = group.time_zone if group.dates_in_time_zone else timezone.utc
    last = (slot.astimezone(zone) - offset).date()
    first = last
    if since and not group.past_day_only:
        seen = since.slot.astimezone(zone)
        first = (seen - offset).date()
        if since.succeeded and first < seen.date():
            first += timedelta(days=1)
    return Days(min(first, last), last + timedelta(days=1))


def with_late_days(group: Group, required: Days, missing: Collection[date]) -> Days:
    """The required days, preceded by the missing days that are still retried.

    The days in between are loaded again, so that rows are loaded in the order of their days.
    """
    if group.past_day_only:
        return required
    late = [day for day in missing if required.start - LATE <= day < required.start]
    return Days(min([required.start, *late]), required.end)


def too_late(required: Days, missing: Collection[date]) -> list[date]:
    """The missing days that are no longer retried, in order."""
    return sorted(day for day in missing if day < required.start - LATE)
