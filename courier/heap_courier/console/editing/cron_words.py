"""A schedule in words."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

from cronsim import CronSim

from heap_courier.project.cron import check_schedule

_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ORDINALS: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
_LAST: Final = -1000  # cronsim's internal value for `L`
_LAST_WEEKDAY: Final = -1001  # and for `LW`
_MOST_TIMES: Final = 6  # listed one by one


def in_words(schedule: str) -> str:
    """Describes a cron schedule of five fields, such as `at 08:30 every day`.

    Raises:
        SetupError: the schedule is invalid.
    """
    check_schedule(schedule)
    cron = CronSim(schedule, datetime(2000, 1, 1))  # noqa: DTZ001  (local time)
    minutes, hours, months = sorted(cron.minutes), sorted(cron.hours), sorted(cron.months)
    words = f"{_times(minutes, hours)} {_dates(cron)}"
    return words if len(months) == 12 else f"{words} in {_list([month_name[month] for month in months])}"  # noqa: PLR2004


def _times(minutes: Sequence[int], hours: Sequence[int]) -> str:
    if len(minutes) * len(hours) <= _MOST_TIMES:
        return f"at {_list([f'{hour:02d}:{minute:02d}' for hour in hours for minute in minutes])}"
    step = _step(minutes, 60)
    if step == 1:
        within = "every minute"
    elif step and step < 60:  # noqa: PLR2004  (minutes of an hour)
        within = f"every {step} minutes"
    else:
        unit = "minute" if minutes == [1] else "minutes"
        within = f"at {_list(list(map(str, minutes)))} {unit} past the hour"
    if len(hours) == 24:  # noqa: PLR2004
        return within
    if _step(hours, 24) and len(hours) > 1:
        return f"{within}, in every {_nth(_step(hours, 24) or 1)} hour from 00:00,"
    return f"{within}, in the hours from {_list(_ranges(hours, lambda hour: f'{hour:02d}:00'))},"


def _dates(cron: CronSim) -> str:
    weekdays = _weekdays(cron.weekdays)
    days = _days(cron.days)
    if days and weekdays:
        return f"{days} {'if it is' if cron.day_and else 'and'} {weekdays}"
    return days or weekdays or "every day"


def _days(days: Collection[int]) -> str:
    if len(days) >= 31:  # noqa: PLR2004
        return ""
    plain = [str(day) for day in sorted(days) if day > 0]
    said = []
    if plain:
        said.append(f"on {'days' if len(plain) > 1 else 'day'} {_list(plain)} of the month")
    if _LAST in days:
        said.append("on the last day of the month")
    if _LAST_WEEKDAY in days:
        said.append("on the last weekday of the month")
    return " and ".join(said)


def _weekdays(weekdays: Collection[int | tuple[int, int]]) -> str:
    plain = sorted({day % 7 for day in weekdays if isinstance(day, int)})
    special = sorted(day for day in weekdays if isinstance(day, tuple))
    if len(plain) == 7:  # noqa: PLR2004
        return ""
    said = []
    if plain:
        # a week begins on Monday, so that Saturday and Sunday are adjacent
        ordered = sorted(plain, key=lambda day: (day - 1) % 7)
        numbers = [(day - 1) % 7 for day in ordered]
        said.append(f"on {_list(_ranges(numbers, lambda day: _DAYS[(day + 1) % 7]))}")
    for day, which in special:
        word = "last" if which == _LAST else _ORDINALS[which]
        said.append(f"on the {word} {_DAYS[day % 7]} of the month")
    return " and ".join(said)


def _step(numbers: Sequence[int], whole: int) -> int | None:
    """The step of numbers that cover the whole range from 0 in equal steps; None if they do not."""
    step = whole // len(numbers)
    return step if list(numbers) == list(range(0, whole, step)) and whole % step == 0 else None


def _ranges(numbers: Sequence[int], name: Callable[[int], str]) -> list[str]:
    """The names of numbers; three or more in a row become a range."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = []
    for run in runs:
        names = [name(number) for number in run]
        said += [f"{names[0]} to {names[-1]}"] if len(run) > 2 else names  # noqa: PLR2004
    return said


def _nth(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
