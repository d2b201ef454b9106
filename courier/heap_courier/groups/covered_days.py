"""The days whose files a run looks at, and those that it no longer looks for. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta, timezone
from typing import Final

from heap_courier.files.days import Days
from heap_courier.groups.slots import Since
from heap_courier.project.model import Group

LATE: Final = timedelta(days=7)  # how long a day with missing files is retried


def days_of(group: Group, offset: timedelta, slot: datetime, since: Since | None) -> Days:
    """The days whose files a run looks at.

    The last one is the day of the slot less the offset. The first one is the day after the one that the last run that
    succeeded ended with, but that day itself if it was not over then, since files may have come later. If none
    succeeded yet, the first run that was tried is the measure, so that its days are not lost. If none was tried, or
    with `past_day_only`, it is the last day alone.

    Days are those of UTC, or with `dates_in_time_zone` those of the group's zone, where an offset of 24 hours is a day
    also when clocks are changed.
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
    """The days to load: from the first of the missing ones that is still retried.

    The days in between are loaded again, so that rows are loaded in the order of their days.
    """
    if group.past_day_only:
        return required
    late = [day for day in missing if required.start - LATE <= day < required.start]
    return Days(min([required.start, *late]), required.end)


def too_late(required: Days, missing: Collection[date]) -> list[date]:
    """Those of the missing days that are no longer retried, in order."""
    return sorted(day for day in missing if day < required.start - LATE)
