"""When a schedule is due: five cron fields in a time zone, as instants.

A schedule is in local time. Unlike a cron daemon, which has rules of its own for changes of the clocks, this module
takes them literally: a local time that occurs twice, because clocks are set back, is two instants; one that does not
exist, because they are set forward, is skipped.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from heap_courier.errors import SetupError

FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
YEAR: Final = timedelta(days=365)
_DAY: Final = timedelta(days=1)
_HOURS: Final = 24
_REACHES: Final = (timedelta(hours=2), timedelta(days=2), timedelta(days=64))  # how far to look back, at first


def check_schedule(schedule: str) -> None:
    """Raises SetupError, without the location of the schedule, if it is not valid or never due."""
    _from(schedule, datetime(2000, 1, 1))  # noqa: DTZ001  (local time)


def instants(schedule: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The instants of a schedule after `after`, in UTC, ascending.

    The iteration ends if the schedule is not due for 50 years.
    """
    # Clocks are set back by less than a day, so starting a day earlier misses none. Local times that occur twice are
    # held back until it is the turn of their second instant.
    again: list[datetime] = []
    for local in _from(schedule, after.astimezone(zone).replace(tzinfo=None) - _DAY):
        found = instants_of(local, zone)
        while found and again and again[0] < found[0]:
            yield heapq.heappop(again)
        for instant in found:
            if instant > after:
                heapq.heappush(again, instant)
    while again:
        yield heapq.heappop(again)


def latest(schedule: str, zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """The last instant that is later than `after`, and not later than `until`."""
    for start in (*(until - reach for reach in _REACHES), after):
        newest: deque[datetime] = deque(maxlen=1)
        for instant in instants(schedule, zone, max(start, after)):
            if instant > until:
                break
            newest.append(instant)
        if newest:
            return newest[0]
    return None


def warnings(schedule: str, zone: ZoneInfo, start: datetime, reach: timedelta = YEAR) -> list[str]:
    """Sentences with the dates on which the schedule is skipped or runs twice because clocks change.

    Empty if it is due at the same minutes of every hour, including the hours that clocks skip or repeat: it keeps its
    pace then, and nothing is missed.

    Args:
        schedule: a valid schedule.
        zone: its time zone.
        start: the first day to check.
        reach: how far ahead to check.
    """
    said = []
    for noon in _changes(zone, start, reach):
        skipped, twice = [], []
        for local in _from(schedule, noon - timedelta(minutes=1)):
            if local >= noon + _DAY:
                break
            if _keeps_pace(schedule, local, zone):
                continue
            match len(instants_of(local, zone)):
                case 0:
                    skipped.append(local)
                case 2:
                    twice.append(local)
        said += [
            f'The schedule "{schedule}" is skipped on {day:%Y-%m-%d}, because {times} does not exist in {zone.key}: '
            "choose another time, or UTC."
            for day, times in _by_day(skipped)
        ]
        said += [
            f'The schedule "{schedule}" runs twice on {day:%Y-%m-%d}, because {times} occurs twice in {zone.key}: '
            "choose another time, or UTC."
            for day, times in _by_day(twice)
        ]
    return said


def _from(schedule: str, local: datetime) -> Iterator[datetime]:
    """The local times of a schedule after the given one, including those that do not exist in a zone."""
    fields = schedule.split()
    wrong = "does not have five fields"
    if len(fields) == len(FIELDS):
        try:
            return CronSim(schedule, local)
        except (CronSimError, ValueError, AssertionError) as error:
            wrong = f"is not valid ({str(error)[:1].lower()}{str(error)[1:]})" if str(error) else "is not valid"
    raise SetupError(
        f'The schedule "{schedule}" {wrong}: write {", ".join(FIELDS[:-1])} and {FIELDS[-1]}, as in "0 17 * * 1-5".'
    )


def instants_of(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """The instants at which it is this local time in the zone: one, two or none."""
    found = []
    for fold in (0, 1):
        instant = local.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)
        if instant not in found and instant.astimezone(zone).replace(tzinfo=None) == local:
            found.append(instant)
    return found


def _changes(zone: ZoneInfo, start: datetime, reach: timedelta) -> Iterator[datetime]:
    """The last local noons before clocks change; no zone changes them at noon."""
    noon = datetime.combine(start.astimezone(zone).date(), time(12)) - _DAY
    for _ in range(reach.days + 1):
        if noon.replace(tzinfo=zone).utcoffset() != (noon + _DAY).replace(tzinfo=zone).utcoffset():
            yield noon
        noon += _DAY


def _keeps_pace(schedule: str, local: datetime, zone: ZoneInfo) -> bool:
    """Whether a schedule is unaffected by the change of the clocks at this time."""
    cron = CronSim(schedule, local)
    before, after = (local.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1))
    moved = {(minute + (after - before) // timedelta(minutes=1)) % 60 for minute in cron.minutes}
    return len(cron.hours) == _HOURS and moved == cron.minutes


def _by_day(times: list[datetime]) -> list[tuple[date, str]]:
    days: dict[date, list[str]] = {}
    for local in times:
        days.setdefault(local.date(), []).append(f"{local:%H:%M}")
    return [(day, " or ".join(texts)) for day, texts in days.items()]
