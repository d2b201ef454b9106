"""Which days a run of a group loads."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from courier.unit_tests.groups.examples import DAILY, at
from heap_courier.files.days import Days
from heap_courier.groups.covered_days import days_of, too_late, with_late_days
from heap_courier.groups.slots import Since

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NONE = timedelta()
LOS_ANGELES = ZoneInfo("America/Los_Angeles")


def days(start: int, last: int) -> Days:
    return Days(date(2026, 11, start), date(2026, 11, last + 1))


def success(day: int, hour: int = 17) -> Since:
    return Since(at(day, hour), succeeded=True)


def failure(day: int, hour: int = 17) -> Since:
    return Since(at(day, hour), succeeded=False)


@pytest.mark.parametrize(
    ("offset", "slot", "since", "wanted"),
    [
        pytest.param(NONE, at(20), None, days(20, 20), id="the first run: its own day"),
        pytest.param(DAY, at(20), None, days(19, 19), id="the first run, a day older"),
        pytest.param(DAY, at(20), success(19), days(19, 19), id="daily, of the day before"),
        pytest.param(DAY, at(20), success(13), days(13, 19), id="weekly: each day since"),
        pytest.param(NONE, at(20), success(19), days(19, 20), id="daily: the rest of the day before came later"),
        pytest.param(NONE, at(20), success(20, 11), days(20, 20), id="several a day: the day is not over"),
        pytest.param(NONE, at(21, 5), success(20, 23), days(20, 21), id="several a day: past midnight"),
        pytest.param(DAY, at(20), success(20, 11), days(19, 19), id="several a day, of the day before: one at least"),
        pytest.param(3 * HOUR, at(20, 1), success(19, 1), days(19, 19), id="at one: the day that ended"),
        pytest.param(DAY, at(20), failure(17), days(16, 19), id="none succeeded: from the first that was tried"),
        pytest.param(NONE, at(20), failure(20, 11), days(20, 20), id="none succeeded, this day"),
        pytest.param(7 * DAY, at(20), success(19), days(13, 13), id="a week older"),
    ],
)
def test_days_are_those_that_no_successful_run_has_completely_covered(
    offset: timedelta, slot: datetime, since: Since | None, wanted: Days
) -> None:
    assert days_of(DAILY, offset, slot, since) == wanted


def test_with_past_day_only_only_the_last_day_is_loaded() -> None:
    alone = replace(DAILY, past_day_only=True)
    assert days_of(alone, DAY, at(20), success(13)) == days(19, 19)
    assert days_of(alone, DAY, at(20), failure(13)) == days(19, 19)


def test_days_are_in_utc_unless_the_group_uses_its_own_zone() -> None:
    there = replace(DAILY, time_zone=LOS_ANGELES)
    evening = at(21, 1)  # 17:00 on the 20th in Los Angeles
    assert days_of(there, NONE, evening, None) == days(21, 21)
    assert days_of(replace(there, dates_in_time_zone=True), NONE, evening, None) == days(20, 20)


def test_a_day_in_a_zone_is_over_at_midnight_of_that_zone() -> None:
    there = replace(DAILY, time_zone=LOS_ANGELES, dates_in_time_zone=True)
    assert days_of(there, NONE, at(21, 1), success(20, 1)) == days(19, 20)
    assert days_of(there, DAY, at(21, 1), success(20, 1)) == days(19, 19)


@pytest.mark.parametrize(
    "slot", [datetime(2026, 3, 9, 0, 30, tzinfo=LOS_ANGELES), datetime(2026, 11, 2, 23, 30, tzinfo=LOS_ANGELES)]
)
def test_an_offset_of_a_day_is_the_day_before_even_when_clocks_change(slot: datetime) -> None:
    there = replace(DAILY, time_zone=LOS_ANGELES, dates_in_time_zone=True)
    assert days_of(there, DAY, slot.astimezone(timezone.utc), None) == Days.of(slot.date() - DAY)


def november(*numbers: int) -> list[date]:
    return [date(2026, 11, number) for number in numbers]


@pytest.mark.parametrize(
    ("missing", "wanted", "given_up"),
    [
        pytest.param([], days(19, 20), [], id="none"),
        pytest.param([17], days(17, 20), [], id="one: the days in between as well"),
        pytest.param([18, 15, 17], days(15, 20), [], id="from the first of several"),
        pytest.param([12], days(12, 20), [], id="seven days before the first required one"),
        pytest.param([11], days(19, 20), [11], id="eight days before it"),
        pytest.param([16, 11, 9], days(16, 20), [9, 11], id="some retried, some not"),
        pytest.param([19, 20], days(19, 20), [], id="required anyway"),
        pytest.param([21], days(19, 20), [], id="after them"),
    ],
)
def test_a_missing_day_is_retried_for_a_week(missing: list[int], wanted: Days, given_up: list[int]) -> None:
    """It is loaded again together with the days after it; after a week it is given up."""
    assert with_late_days(DAILY, days(19, 20), november(*missing)) == wanted
    assert too_late(days(19, 20), november(*missing)) == november(*given_up)


def test_with_past_day_only_no_missing_day_is_retried() -> None:
    """Only the required day is loaded."""
    alone = replace(DAILY, past_day_only=True)
    assert with_late_days(alone, days(19, 19), november(17)) == days(19, 19)
