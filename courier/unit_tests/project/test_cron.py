"""Schedules as instants, especially when clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heap_courier.errors import SetupError
from heap_courier.project.cron import check_schedule, instants, latest, warnings

UTC = ZoneInfo("UTC")
LOS_ANGELES = ZoneInfo("America/Los_Angeles")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # clocks are set by 30 minutes
CAIRO = ZoneInfo("Africa/Cairo")  # clocks are set at midnight
ZONES = [UTC, LOS_ANGELES, LORD_HOWE, CAIRO, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Santiago")]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def between(schedule: str, zone: ZoneInfo, start: str, end: str) -> list[datetime]:
    """The instants later than `start`, up to `end`, in UTC."""
    return list(takewhile(lambda instant: instant <= at(end), instants(schedule, zone, at(start))))


def local(found: list[datetime], zone: ZoneInfo) -> list[str]:
    return [f"{instant.astimezone(zone):%m-%d %H:%M %z}" for instant in found]


def test_instants_are_later_than_the_given_one() -> None:
    assert between("0 17 * * 1-5", UTC, "2026-11-20 17:00", "2026-11-24 17:00") == [
        at("2026-11-23 17:00"),  # Monday
        at("2026-11-24 17:00"),
    ]


def test_a_schedule_is_in_the_local_time_of_its_zone() -> None:
    assert between("0 17 * * *", LOS_ANGELES, "2026-07-01 00:00", "2026-07-02 00:00") == [at("2026-07-02 00:00")]


@pytest.mark.parametrize(
    ("day", "around"),
    [
        ("2026-03-08", ["03-07 02:30 -0800", "03-09 02:30 -0700"]),
        ("2027-03-14", ["03-13 02:30 -0800", "03-15 02:30 -0700"]),
    ],
)
def test_a_time_that_does_not_exist_is_skipped(day: str, around: list[str]) -> None:
    start = at(day) - timedelta(days=1)
    assert local(list(islice(instants("30 2 * * *", LOS_ANGELES, start), 2)), LOS_ANGELES) == around


@pytest.mark.parametrize(
    ("day", "twice"),
    [
        ("2026-11-01", ["11-01 01:30 -0700", "11-01 01:30 -0800", "11-02 01:30 -0800"]),
        ("2027-11-07", ["11-07 01:30 -0700", "11-07 01:30 -0800", "11-08 01:30 -0800"]),
    ],
)
def test_a_time_that_occurs_twice_is_two_instants(day: str, twice: list[str]) -> None:
    assert local(list(islice(instants("30 1 * * *", LOS_ANGELES, at(day)), 3)), LOS_ANGELES) == twice


def test_half_past_two_in_los_angeles_occurs_only_once_in_autumn() -> None:
    found = between("30 2 * * *", LOS_ANGELES, "2026-01-01 00:00", "2028-01-01 00:00")
    assert len(found) == 365 * 2 - 2  # one day is skipped each spring
    assert len({instant.astimezone(LOS_ANGELES).date() for instant in found}) == len(found)


@pytest.mark.parametrize("zone", [LOS_ANGELES, LORD_HOWE], ids=str)
@pytest.mark.parametrize(("start", "end"), [("2026-03-01", "2026-04-10"), ("2026-10-01", "2026-11-05")])
def test_a_schedule_of_every_half_hour_keeps_its_pace(zone: ZoneInfo, start: str, end: str) -> None:
    found = between("0,30 * * * *", zone, start, end)
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=30)}


def test_an_hourly_schedule_has_23_and_25_instants_on_the_days_of_change() -> None:
    assert len(between("0 * * * *", LOS_ANGELES, "2026-03-08 07:59", "2026-03-09 06:59")) == 23
    assert len(between("0 * * * *", LOS_ANGELES, "2026-11-01 06:59", "2026-11-02 07:59")) == 25


def test_instants_ascend_if_half_an_hour_occurs_twice() -> None:
    assert local(between("45,55 1 * * *", LORD_HOWE, "2026-04-04 00:00", "2026-04-05 00:00"), LORD_HOWE) == [
        "04-05 01:45 +1100",
        "04-05 01:55 +1100",
        "04-05 01:45 +1030",
        "04-05 01:55 +1030",
    ]


def test_only_the_half_hour_that_does_not_exist_is_skipped() -> None:
    assert local(between("15,45 2 * * *", LORD_HOWE, "2026-10-03 00:00", "2026-10-04 00:00"), LORD_HOWE) == [
        "10-04 02:45 +1100"
    ]


def test_a_leap_day_comes_every_four_years() -> None:
    found = islice(instants("0 6 29 2 *", LOS_ANGELES, at("2026-01-01")), 3)
    assert local(list(found), LOS_ANGELES) == ["02-29 06:00 -0800"] * 3
    assert [instant.year for instant in islice(instants("0 6 29 2 *", UTC, at("2026-01-01")), 3)] == [2028, 2032, 2036]


def test_from_between_two_instants_of_a_local_time_the_second_one_is_found() -> None:
    half_past_one = at("2026-11-01 08:30")
    assert next(instants("10 1 * * *", LOS_ANGELES, half_past_one)) == at("2026-11-01 09:10")


def by_the_clock(zone: ZoneInfo, start: datetime, minutes: int) -> Iterator[tuple[datetime, datetime]]:
    """Each minute, and what a wall clock shows then."""
    for number in range(1, minutes + 1):
        instant = start + timedelta(minutes=number)
        yield instant, instant.astimezone(zone)


@settings(max_examples=60)
@given(
    zone=st.sampled_from(ZONES),
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=4),
    day=st.sampled_from(
        ["2026-03-07", "2026-10-31", "2026-04-04", "2026-10-03", "2026-04-23", "2026-10-29", "2026-09-05"]
    ),
)
def test_instants_are_the_minutes_at_which_a_wall_clock_shows_the_schedule(
    zone: ZoneInfo, minutes: set[int], hours: set[int], day: str
) -> None:
    schedule = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    wanted = [
        instant
        for instant, wall in by_the_clock(zone, at(day), 3 * 24 * 60)
        if wall.minute in minutes and wall.hour in hours
    ]
    found = list(takewhile(lambda instant: instant <= at(day) + timedelta(days=3), instants(schedule, zone, at(day))))
    assert found == wanted


def test_the_latest_instant_is_the_last_one_that_has_passed() -> None:
    assert latest("0 17 * * *", UTC, at("2026-11-01"), at("2026-11-21 16:59")) == at("2026-11-20 17:00")
    assert latest("0 17 * * *", UTC, at("2026-11-01"), at("2026-11-21 17:00")) == at("2026-11-21 17:00")
    assert latest("* * * * *", UTC, at("2000-01-01"), at("2026-11-21 17:00:30")) == at("2026-11-21 17:00")
    assert latest("0 0 29 2 *", UTC, at("2021-01-01"), at("2026-11-21")) == at("2024-02-29")


def test_there_is_no_latest_instant_if_none_has_passed() -> None:
    assert latest("0 17 * * *", UTC, at("2026-11-20 17:00"), at("2026-11-21 16:59")) is None


def test_a_warning_has_the_dates_that_are_skipped() -> None:
    assert warnings("30 2 * * *", LOS_ANGELES, at("2026-01-01 12:00"), timedelta(days=730)) == [
        f'The schedule "30 2 * * *" is skipped on {day}, because 02:30 does not exist in America/Los_Angeles: '
        "choose another time, or UTC."
        for day in ("2026-03-08", "2027-03-14")
    ]


def test_a_warning_has_the_dates_that_run_twice() -> None:
    (sentence,) = warnings("0,30 1 * * *", LOS_ANGELES, at("2026-11-01 00:00"))
    assert "runs twice on 2026-11-01, because 01:00 or 01:30 occurs twice in America/Los_Angeles" in sentence


def test_warnings_cover_one_year_ahead() -> None:
    assert warnings("30 2 * * *", LOS_ANGELES, at("2026-03-09 12:00"), timedelta(days=364)) == []


@pytest.mark.parametrize(
    ("schedule", "zone", "warned"),
    [
        ("0 * * * *", LOS_ANGELES, 0),  # each hour that there is
        ("0 * * * *", LORD_HOWE, 1),  # 02:00 does not exist, and the hour lasts one and a half
        ("*/30 * * * *", LORD_HOWE, 0),
        ("45 1 * * *", LORD_HOWE, 1),
        ("15 2 * * *", LORD_HOWE, 1),
        ("0 */2 * * *", LOS_ANGELES, 1),
        ("0 0 * * *", CAIRO, 1),
        ("30 23 * * *", CAIRO, 1),
        ("30 2 * * *", UTC, 0),
        ("30 2 * * 1-5", LOS_ANGELES, 0),  # clocks are set on Sundays
        ("30 12 * * *", LOS_ANGELES, 0),
    ],
)
def test_a_warning_is_given_if_a_schedule_loses_its_pace(schedule: str, zone: ZoneInfo, warned: int) -> None:
    assert len(warnings(schedule, zone, at("2026-01-01 12:00"))) == warned


@pytest.mark.parametrize(
    "schedule", ["0 17 * * 1-5", "*/15 * * * *", "0 0 29 2 *", "0 0 L * *", "0 9 * JAN MON#1", "0 0 * * 7"]
)
def test_cron_expressions_are_schedules(schedule: str) -> None:
    check_schedule(schedule)


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("", "does not have five fields"),
        ("@daily", "does not have five fields"),
        ("0 0 17 * * *", "does not have five fields"),  # six fields: seconds are not supported
        ("0 24 * * *", "is not valid (bad hour)"),
        ("60 * * * *", "is not valid (bad minute)"),
        ("0 17 * * 8", "is not valid (bad day-of-week)"),
        ("0 0 30 2 *", "is not valid (bad day-of-month)"),  # never
        ("0 17 * * mondays", "is not valid (bad day-of-week)"),
    ],
)
def test_an_invalid_schedule_is_reported_in_a_sentence(schedule: str, why: str) -> None:
    with pytest.raises(SetupError) as raised:
        check_schedule(schedule)
    assert str(raised.value) == (
        f'The schedule "{schedule}" {why}: write minute, hour, day of month, month and day of week, '
        'as in "0 17 * * 1-5".'
    )


@settings(max_examples=500)
@given(st.lists(st.text("0123456789*/,-LW#?MONJA", max_size=6), min_size=5, max_size=5).map(" ".join))
def test_any_text_is_a_schedule_or_refused_with_a_sentence(schedule: str) -> None:
    with suppress(SetupError):
        check_schedule(schedule)
