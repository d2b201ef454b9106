"""Deadlines of groups: when they are, and what is reported about them, by a simulated clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.unit_tests.groups.examples import DAILY, at
from courier.unit_tests.groups.test_scheduler import Trial
from heap_courier.groups import slots
from heap_courier.groups.deadline import DeadlineWatch, deadline_of, last_deadline
from heap_courier.groups.slots import Outcome
from heap_courier.project.model import Group

PARIS = ZoneInfo("Europe/Paris")
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Paris", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Apia")]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("done_by", "slot", "deadline"),
    [
        ("07:00", "2026-03-04 00:30", "2026-03-04 06:00"),
        ("07:00", "2026-03-04 06:00", "2026-03-05 06:00"),  # a slot at the time itself has until the next day
        ("07:00", "2026-03-04 22:00", "2026-03-05 06:00"),
        ("07:00", "2026-03-28 23:30", "2026-03-29 05:00"),  # clocks are set forward in between
        ("02:30", "2026-03-28 23:30", "2026-03-29 01:30"),  # which skips it: when it would have been
        ("07:00", "2026-10-24 22:30", "2026-10-25 06:00"),  # clocks are set back in between
        ("02:30", "2026-10-24 22:30", "2026-10-25 00:30"),  # it occurs twice: the first time counts
        ("02:30", "2026-10-25 00:45", "2026-10-25 01:30"),  # or the second time, after that
    ],
)
def test_the_deadline_is_the_next_such_time_in_the_zone(done_by: str, slot: str, deadline: str) -> None:
    assert deadline_of(time.fromisoformat(done_by), PARIS, utc(slot)) == utc(deadline)


@given(
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.sampled_from(ZONES),
    st.floats(1324771200, 1830211200).map(lambda seconds: datetime.fromtimestamp(seconds, timezone.utc)),
)
def test_each_instant_lies_between_two_deadlines_about_a_day_apart(
    done_by: time, zone: ZoneInfo, now: datetime
) -> None:
    """The last one and the next one, with none in between; Apia skipped a whole day in 2011."""
    before, after = last_deadline(done_by, zone, now), deadline_of(done_by, zone, now)
    assert before <= now < after
    assert timedelta(0) < after - before <= timedelta(hours=49)
    assert deadline_of(done_by, zone, before) == after
    assert last_deadline(done_by, zone, after) == after


# What is reported

GROUP = replace(DAILY, done_by=time(18, 0))  # its slot is at 17:00
HOUR = timedelta(hours=1)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    trial = Trial(tmp_path)
    with trial.open_warehouse():  # opening it again is quick then
        yield trial


def ran(trial: Trial, slot: datetime, start: datetime, minutes: float, outcome: Outcome = "succeeded") -> None:
    with trial.open_warehouse() as warehouse:
        claim = slots.claim(warehouse, "daily", slot, start, by_hand=False)
        assert claim
        slots.finish(warehouse, claim, start + timedelta(minutes=minutes), outcome, "")


def kept(trial: Trial, *minutes: float) -> None:
    """As if a daemon had kept the schedule since the day before, with successful runs of these durations."""
    trial.time = at(19, 19)
    with trial.open_warehouse() as warehouse:
        slots.kept_since(warehouse, GROUP, trial.time)
    for day, took in enumerate(minutes, 11):
        ran(trial, at(day), at(day), took)


def watched(trial: Trial, *times: datetime, group: Group = GROUP) -> list[str]:
    """The first lines of what a watch reports that checks at these times."""
    trial.time = times[0]
    trial.said.clear()
    watch = DeadlineWatch(group, trial.context)
    for when in times:
        trial.time = when
        watch.look()
    return [text.partition("\n")[0].removeprefix("Group `daily`, slot 2026-11-20 17:00 UTC ") for text in trial.said]


LATE = "is late: it was due by 18:00 UTC (2026-11-20 18:00 UTC)."


def foreseen(end: str, usual: str) -> str:
    return (
        "will probably be late: it is due by 18:00 UTC (2026-11-20 18:00 UTC), but expected to finish at about "
        f"{end} UTC (2026-11-20 {end} UTC), because runs take {usual} (median)."
    )


LOOKS = [at(20, 17, minute) for minute in (0, 1, 10, 30, 40, 41, 45, 55)] + [
    at(20, 18, minute) for minute in (0, 1, 30)
]


@pytest.mark.parametrize(
    ("earlier", "run", "reports"),
    [
        pytest.param((20, 20, 20), (0, 30, "succeeded"), [], id="done in time"),
        pytest.param((20, 20, 20), (0, 60, "succeeded"), [], id="done in the last moment"),
        pytest.param((20, 20, 20), (0, 60.1, "succeeded"), [LATE], id="late by seconds, between two looks"),
        pytest.param((), (0, 90, "succeeded"), [LATE], id="nothing is known that could be foreseen"),
        pytest.param((20, 20), (0, 90, "succeeded"), [LATE], id="too little is known"),
        pytest.param((90, 20, 90), (0, 30, "succeeded"), [foreseen("18:30", "1 hour 30 minutes")], id="at once"),
        pytest.param((20, 20, 20), (0, 10, "failed"), [foreseen("18:01", "20 minutes"), LATE], id="failed"),
        pytest.param((20, 20, 20), None, [foreseen("18:01", "20 minutes"), LATE], id="never started"),
        pytest.param((20, 20, 20), (45, 10, "succeeded"), [foreseen("18:01", "20 minutes")], id="late, but quick"),
    ],
)
def test_a_slot_that_is_late_or_expected_to_be_is_reported_once(
    trial: Trial, earlier: tuple[float, ...], run: tuple[float, float, Outcome] | None, reports: list[str]
) -> None:
    """With checks from the slot on; each sees the run as it was at that time."""
    kept(trial, *earlier)
    began = at(20) + timedelta(minutes=run[0]) if run else None
    trial.said.clear()
    watch = None
    claim = None
    for trial.time in LOOKS:
        with trial.open_warehouse() as warehouse:
            if run and began and claim is None and trial.time >= began:
                claim = slots.claim(warehouse, "daily", at(20), began, by_hand=False)
            if run and began and claim and trial.time >= began + timedelta(minutes=run[1]):
                slots.finish(warehouse, claim, began + timedelta(minutes=run[1]), run[2], "")
        watch = watch or DeadlineWatch(GROUP, trial.context)
        watch.look()
    said = [text.partition("\n")[0].removeprefix("Group `daily`, slot 2026-11-20 17:00 UTC ") for text in trial.said]
    assert said == reports


def test_neither_a_restarted_nor_a_second_daemon_repeats_a_report(trial: Trial) -> None:
    kept(trial, 90, 90, 90)
    assert len(watched(trial, at(20, 17, 1), at(20, 17, 2))) == 1
    assert watched(trial, at(20, 17, 3), at(20, 17, 59)) == []
    assert watched(trial, at(20, 18, 1), at(20, 18, 2)) == [LATE]
    assert watched(trial, at(20, 18, 3), at(21, 16)) == []


def test_a_deadline_that_passed_without_a_daemon_is_reported_if_its_slot_is_not_done_by_now(trial: Trial) -> None:
    kept(trial)
    assert watched(trial, at(20, 19)) == [LATE]
    ran(trial, at(21), at(21, 18), 30)
    assert watched(trial, at(21, 19)) == []  # it was late, but is done: nobody has to act


def test_a_later_slot_that_is_done_in_time_covers_an_earlier_one(trial: Trial) -> None:
    kept(trial)
    often = replace(GROUP, schedule="0 15,17 * * *")
    ran(trial, at(20, 15), at(20, 15), 1, "failed")
    ran(trial, at(20, 17), at(20, 17), 1)
    assert watched(trial, at(20, 17, 30), at(20, 18, 30), group=often) == []


def test_slots_before_the_schedule_was_kept_are_not_late(trial: Trial) -> None:
    trial.time = at(20, 17, 30)
    with trial.open_warehouse() as warehouse:
        slots.kept_since(warehouse, GROUP, trial.time)
    assert watched(trial, at(20, 17, 40), at(20, 18, 1)) == []


def test_before_the_schedule_is_kept_nothing_is_late(trial: Trial) -> None:
    """The watch of a new group may check before its keeper has recorded when the schedule was first kept."""
    trial.time = at(20, 18, 1)
    watch = DeadlineWatch(GROUP, trial.context)
    watch.look()
    with trial.open_warehouse() as warehouse:
        slots.kept_since(warehouse, GROUP, trial.time)
    watch.look()
    assert trial.said == []
    trial.time = at(21, 18)
    watch.look()
    assert len(trial.said) == 1


def test_the_warehouse_is_not_queried_once_the_slot_is_done(trial: Trial) -> None:
    kept(trial, 20, 20, 20)
    ran(trial, at(20), at(20), 1)
    watch = DeadlineWatch(GROUP, trial.context)
    trial.time = at(20, 17, 30)
    watch.look()
    opened = trial.opened
    for trial.time in (at(20, 17, 31), at(20, 18), at(20, 23), at(21, 16, 59)):
        watch.look()
    assert trial.opened == opened


def test_an_error_is_reported_once_and_does_not_stop_the_watch(trial: Trial) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    kept(trial)
    context = replace(trial.context, open_warehouse=fail)  # type: ignore[arg-type]
    trial.said.clear()
    trial.time = at(20, 17, 30)
    watch = DeadlineWatch(GROUP, context)
    for _ in range(2):
        watch.look()
    assert len(trial.said) == 1
    assert trial.said[0].startswith("Group `daily`: Internal error: ZeroDivisionError in ")
