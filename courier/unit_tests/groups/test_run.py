"""Runs of groups, by a simulated clock that each pause advances."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from courier.unit_tests.groups.examples import DAILY, at
from heap_courier.errors import InterruptedRunError, LaterError, MissingFeedsError, MissingFilesError, SetupError
from heap_courier.files.days import Days
from heap_courier.groups import slots
from heap_courier.groups.run import GroupContext, GroupResult, carry_out, run_by_hand
from heap_courier.groups.slots import Claim
from heap_courier.notices.notice import Notice
from heap_courier.project.model import Constraint, Group, GroupCourier
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NONE = timedelta()
LOS_ANGELES = ZoneInfo("America/Los_Angeles")
SECONDS = 120


def courier(
    name: str = "heap", wait: timedelta = NONE, offset: timedelta = NONE, missing: str = "stop"
) -> GroupCourier:
    return GroupCourier(name, wait, offset, missing)  # type: ignore[arg-type]


def group(*couriers: GroupCourier, name: str = "daily", constraints: tuple[Constraint, ...] = ()) -> Group:
    return replace(DAILY, name=name, couriers=couriers or DAILY.couriers, constraints=constraints)


class Trial:
    """What a group depends on: a clock, a warehouse, couriers that follow a script."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.time = now
        self.runs: list[tuple[str, date, date, bool]] = []
        self.notices: list[str] = []
        self.stop = threading.Event()
        self.answers: dict[str, Callable[[bool], None]] = {}
        self.missing: Callable[[Days], Collection[date]] = lambda _days: ()
        self.given_up: list[tuple[str, str]] = []
        self.context = GroupContext(
            self.run_courier,
            self.open_warehouse,
            self.report,
            lambda: self.time,
            self.pause,
            give_up=lambda courier, _days, error: self.given_up.append((courier, str(error))),
        )
        self._path = folder / "heap.duckdb"
        self._lock = threading.Lock()
        with self.open_warehouse() as warehouse:
            slots.prepare(warehouse)

    def run_courier(self, courier: str, days: Days, _required: Days, skip_missing: bool) -> Collection[date]:
        with self._lock:
            self.runs.append((courier, days.start, days.end, skip_missing))
        if courier in self.answers:
            self.answers[courier](skip_missing)
        return self.missing(days)

    def report(self, notice: Notice) -> None:
        if notice.kind in ("warning", "error"):
            self.notices.append(notice.text)

    @contextmanager
    def _open(self) -> Iterator[Warehouse]:
        warehouse = DuckDBWarehouse(self._path, wait=time.sleep)
        try:
            yield warehouse
        finally:
            warehouse.close()

    def open_warehouse(self) -> AbstractContextManager[Warehouse]:
        return self._open()

    def pause(self, seconds: float) -> None:
        if self.stop.is_set():
            raise InterruptedRunError("The run was stopped.")
        with self._lock:
            self.time += timedelta(seconds=seconds)

    def claim(self, group: Group, slot: datetime) -> Claim:
        with self.open_warehouse() as warehouse:
            claim = slots.claim(warehouse, group.name, slot, self.time, by_hand=False)
        assert claim
        return claim

    def run(self, group: Group, slot: datetime) -> GroupResult:
        """Runs a scheduled slot."""
        self.time = max(self.time, slot)
        return carry_out(group, self.claim(group, slot), self.context)

    def noted(self, group: Group) -> list[tuple[datetime, int, str | None]]:
        with self.open_warehouse() as warehouse:
            return [(run.slot, run.attempt, run.outcome) for run in slots.history(warehouse, group.name, 10)]

    def misses_until(self, instant: datetime | None) -> Callable[[bool], None]:
        """A courier whose files arrive at a given time, or never."""

        def answer(skip_missing: bool) -> None:
            if not skip_missing and (instant is None or self.time < instant):
                raise MissingFilesError("There is no users.avro.")

        return answer


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path, at(20))


def raises(error: BaseException) -> Callable[[bool], None]:
    def answer(_skip_missing: bool) -> None:
        raise error

    return answer


# Days


def test_each_courier_has_its_own_days(trial: Trial) -> None:
    two = group(courier("users"), courier("events", offset=2 * DAY))
    trial.run(two, at(20))
    trial.runs.clear()

    trial.run(two, at(22))

    assert sorted(trial.runs) == [
        ("events", date(2026, 11, 19), date(2026, 11, 21), False),
        ("users", date(2026, 11, 20), date(2026, 11, 23), False),
    ]


def test_the_next_run_loads_the_days_of_a_failed_run(trial: Trial) -> None:
    daily = group(courier(offset=DAY))
    trial.run(daily, at(20))
    trial.answers["heap"] = raises(SetupError("The bucket is gone."))
    trial.run(daily, at(21))
    del trial.answers["heap"]
    trial.runs.clear()

    trial.run(daily, at(22))

    assert trial.runs == [("heap", date(2026, 11, 20), date(2026, 11, 22), False)]


# Couriers


def test_a_run_succeeds_when_all_couriers_do(trial: Trial) -> None:
    two = group(courier("users"), courier("events"))
    assert trial.run(two, at(20)) == GroupResult("succeeded", "")
    assert trial.noted(two) == [(at(20), 0, "succeeded")]
    assert trial.notices == []


def test_couriers_run_at_the_same_time(trial: Trial) -> None:
    together = threading.Barrier(2)
    trial.answers = dict.fromkeys(["users", "events"], lambda _skip: together.wait(SECONDS) and None)
    assert trial.run(group(courier("users"), courier("events")), at(20)).outcome == "succeeded"


def test_a_courier_that_fails_does_not_stop_the_others_but_fails_the_run(trial: Trial) -> None:
    trial.answers["users"] = raises(MissingFeedsError(["df-1"]))
    two = group(courier("users"), courier("events"))

    end = trial.run(two, at(20))

    assert end == GroupResult(
        "failed", 'Courier `users`: Error running load-operations task\nCannot find required feeds: "df-1"'
    )
    assert sorted(name for name, *_ in trial.runs) == ["events", "users"]
    assert trial.noted(two) == [(at(20), 0, "failed")]
    assert trial.notices == [f"Group `daily`, slot 2026-11-20 17:00 UTC failed.\n{end.message}"]


def test_without_a_wait_files_are_checked_once(trial: Trial) -> None:
    trial.answers["heap"] = trial.misses_until(None)
    assert trial.run(group(), at(20)).outcome == "failed"
    assert len(trial.runs) == 1


def test_files_are_polled_until_they_arrive(trial: Trial) -> None:
    trial.answers["heap"] = trial.misses_until(at(20, 18))
    assert trial.run(group(courier(wait=2 * HOUR)), at(20)) == GroupResult("succeeded", "")
    assert trial.time == at(20, 18)
    assert len(trial.runs) == 61
    assert trial.given_up == []


def test_a_bucket_that_does_not_respond_is_retried_within_the_wait(trial: Trial) -> None:
    answers = iter([LaterError("The bucket says 503.")])

    def answer(_skip_missing: bool) -> None:
        for error in answers:
            raise error

    trial.answers["heap"] = answer
    assert trial.run(group(courier(wait=HOUR)), at(20)).outcome == "succeeded"


def test_files_that_do_not_arrive_within_the_wait_stop_the_run(trial: Trial) -> None:
    trial.answers["heap"] = trial.misses_until(at(20, 19, 1))
    end = trial.run(group(courier(wait=2 * HOUR)), at(20))
    assert trial.time == at(20, 19)
    assert end == GroupResult(
        "failed",
        "Courier `heap`: There is no users.avro.\n"
        "To continue without them: `heap-courier group run daily --slot 2026-11-20T17:00 --skip-missing`.",
    )
    assert len(trial.notices) == 1
    assert trial.given_up == [("heap", "There is no users.avro.")]


def test_files_that_do_not_arrive_within_the_wait_can_be_skipped_with_a_notice(trial: Trial) -> None:
    trial.answers["heap"] = trial.misses_until(None)

    end = trial.run(group(courier(wait=timedelta(seconds=90), missing="notify")), at(20))

    assert end == GroupResult("succeeded", "Courier `heap`: There is no users.avro. Continued without them.")
    assert [skip_missing for *_, skip_missing in trial.runs] == [False, False, False, True]
    assert trial.notices == [
        "Group `daily`, slot 2026-11-20 17:00 UTC continues without files.\nCourier `heap`: There is no users.avro."
    ]


def test_a_courier_that_still_waits_gives_up_when_another_one_stops_the_run(trial: Trial) -> None:
    waits = threading.Event()
    trial.answers["late"] = lambda _skip: waits.set() or trial.misses_until(None)(False)

    def stop(_skip_missing: bool) -> None:
        waits.wait(SECONDS)
        raise MissingFilesError("There is no users.avro.")

    trial.answers["heap"] = stop
    end = trial.run(group(courier(), courier("late", wait=100 * DAY, missing="notify")), at(20))

    assert end.outcome == "failed"
    assert "Courier `late`: Stopped waiting because the run of the group has already failed." in end.message
    assert not any(skip_missing for *_, skip_missing in trial.runs)


def test_an_internal_error_is_recorded_and_raised(trial: Trial) -> None:
    trial.answers["heap"] = raises(ZeroDivisionError("a row's content"))
    with pytest.raises(ZeroDivisionError):
        trial.run(group(), at(20))
    with trial.open_warehouse() as warehouse:
        (run,) = slots.history(warehouse, "daily", 5)
    assert (run.outcome, run.message[:36]) == ("failed", "Internal error: ZeroDivisionError in")


def test_a_run_that_is_asked_to_stop_is_interrupted(trial: Trial) -> None:
    trial.answers["heap"] = trial.misses_until(None)
    trial.stop.set()
    end = trial.run(group(courier(wait=HOUR)), at(20))
    assert end == GroupResult("interrupted", "Courier `heap`: The run was stopped.\nThe next run covers its days.")
    assert trial.notices == []


def test_an_interrupted_run_with_past_day_only_says_how_to_retry_its_day(trial: Trial) -> None:
    trial.answers["heap"] = raises(InterruptedRunError("The run was stopped."))
    end = trial.run(replace(group(), past_day_only=True), at(20))
    assert end.message.endswith(
        "Its day is not retried automatically. To retry it: `heap-courier group run daily --slot 2026-11-20T17:00`."
    )


# Time


@pytest.mark.parametrize(("takes", "warned"), [(HOUR, 0), (HOUR + timedelta(seconds=1), 1)])
def test_a_run_that_takes_too_long_is_reported_once(trial: Trial, takes: timedelta, warned: int) -> None:
    def answer(_skip_missing: bool) -> None:
        trial.time += takes

    trial.answers["heap"] = answer
    trial.run(replace(group(), warn_after=HOUR), at(20))
    assert trial.notices == ["Group `daily`, slot 2026-11-20 17:00 UTC is taking longer than 1 hour."] * warned


def test_a_long_run_is_reported_before_it_ends(trial: Trial) -> None:
    def answer(_skip_missing: bool) -> None:
        trial.time += 2 * HOUR
        until(lambda: trial.notices)

    trial.answers["heap"] = answer
    trial.context = replace(trial.context, lease=timedelta(milliseconds=40))
    assert trial.run(replace(group(), warn_after=HOUR), at(20)).outcome == "succeeded"
    assert len(trial.notices) == 1


def test_a_run_sends_heartbeats(trial: Trial) -> None:
    def seen() -> datetime:
        with trial.open_warehouse() as warehouse:
            (run,) = slots.history(warehouse, "daily", 5)
        return run.seen

    def answer(_skip_missing: bool) -> None:
        trial.time += HOUR
        until(lambda: seen() == at(20, 18))

    trial.answers["heap"] = answer
    trial.context = replace(trial.context, lease=timedelta(milliseconds=40))
    assert trial.run(group(), at(20)) == GroupResult("succeeded", "")


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


def test_the_end_of_a_run_is_recorded_when_the_warehouse_responds_again(trial: Trial) -> None:
    refusals = iter(range(3))
    opened = trial.open_warehouse

    def open_warehouse() -> AbstractContextManager[Warehouse]:
        for _ in refusals:
            raise LaterError("The warehouse is open in another process.")
        return opened()

    claim = trial.claim(group(), at(20))
    carry_out(group(), claim, replace(trial.context, open_warehouse=open_warehouse))
    assert trial.noted(group()) == [(at(20), 0, "succeeded")]


# Other groups


def after(name: str = "daily", wait: timedelta = NONE, offset: timedelta = NONE) -> Group:
    return group(name="reports", constraints=(Constraint(name, wait, offset),))


def test_a_group_starts_when_the_other_one_has_succeeded(trial: Trial) -> None:
    trial.run(group(), at(20))
    assert trial.run(after(), at(20)).outcome == "succeeded"


def test_a_group_waits_until_the_other_one_has_succeeded(trial: Trial) -> None:
    pause = trial.pause

    def meanwhile(seconds: float) -> None:
        pause(seconds)
        if trial.time == at(20, 18):
            trial.run(group(), at(20))

    trial.context = replace(trial.context, pause=meanwhile)
    assert trial.run(after(wait=2 * HOUR), at(20)).outcome == "succeeded"
    assert trial.time == at(20, 18)


def test_it_fails_after_the_wait_and_runs_no_courier(trial: Trial) -> None:
    trial.run(group(), at(19))  # another slot
    trial.answers["heap"] = raises(SetupError("No."))
    trial.run(group(), at(20))
    trial.runs.clear()

    end = trial.run(after(wait=2 * HOUR), at(20))

    assert end == GroupResult(
        "failed",
        "Group `daily`, which this one waits for, has no successful run for 2026-11-20 17:00 UTC: fix it, "
        "then run `heap-courier group run daily --slot 2026-11-20T17:00` "
        "and `heap-courier group run reports --slot 2026-11-20T17:00`.",
    )
    assert trial.time == at(20, 19)
    assert trial.runs == []


@pytest.mark.parametrize(("offset", "outcome"), [(DAY, "succeeded"), (DAY - timedelta(seconds=1), "failed")])
def test_with_an_offset_an_older_slot_of_the_other_one_counts(trial: Trial, offset: timedelta, outcome: str) -> None:
    trial.run(group(), at(19))
    assert trial.run(after(offset=offset), at(20)).outcome == outcome


def test_a_later_slot_of_the_other_one_does_not_count(trial: Trial) -> None:
    trial.run(group(), at(21))
    assert trial.run(after(offset=DAY), at(20)).outcome == "failed"


def test_the_wait_for_files_begins_when_the_wait_for_the_other_group_is_over(trial: Trial) -> None:
    trial.answers["heap"] = trial.misses_until(at(20, 19, 30))
    pause = trial.pause

    def meanwhile(seconds: float) -> None:
        pause(seconds)
        if trial.time == at(20, 19):
            with trial.open_warehouse() as warehouse:
                claim = slots.claim(warehouse, "daily", at(20), trial.time, by_hand=False)
                assert claim
                slots.finish(warehouse, claim, trial.time, "succeeded", "")

    trial.context = replace(trial.context, pause=meanwhile)
    waits = replace(after(wait=3 * HOUR), couriers=(courier(wait=HOUR),))
    assert trial.run(waits, at(20)).outcome == "succeeded"


# By hand


def test_a_manual_run_is_for_this_minute(trial: Trial) -> None:
    trial.time = at(20, 10, 42) + timedelta(seconds=7)
    assert run_by_hand(group(), trial.context).outcome == "succeeded"
    assert trial.noted(group()) == [(at(20, 10, 42), 1, "succeeded")]


def test_a_manual_run_leaves_the_slot_to_the_schedule(trial: Trial) -> None:
    run_by_hand(group(), trial.context, at(20))
    assert trial.run(group(), at(20)).outcome == "succeeded"
    assert trial.noted(group()) == [(at(20), 1, "succeeded"), (at(20), 0, "succeeded")]


def test_a_manual_run_repairs_a_slot_for_groups_that_wait_for_it(trial: Trial) -> None:
    trial.answers["heap"] = raises(SetupError("No."))
    trial.run(group(), at(20))
    del trial.answers["heap"]
    trial.time = at(21, 9)

    run_by_hand(group(), trial.context, at(20))

    assert run_by_hand(after(), trial.context, at(20)).outcome == "succeeded"


def test_a_manual_run_for_now_waits_for_no_other_group(trial: Trial) -> None:
    assert run_by_hand(after(), trial.context).outcome == "succeeded"
    assert run_by_hand(after(), trial.context, at(20)).outcome == "failed"


def test_a_manual_run_can_continue_without_files_at_once(trial: Trial) -> None:
    trial.answers["heap"] = trial.misses_until(None)
    assert run_by_hand(group(courier(wait=HOUR)), trial.context, skip_missing=True).outcome == "succeeded"
    assert trial.time == at(20)


def test_a_future_slot_is_refused(trial: Trial) -> None:
    with pytest.raises(SetupError, match="The slot 2026-11-20 17:01 UTC is in the future"):
        run_by_hand(group(), trial.context, at(20, 17, 1))


def test_a_group_runs_once_at_a_time(trial: Trial) -> None:
    trial.claim(group(), at(20))
    with pytest.raises(LaterError, match="Group `daily` is already running"):
        run_by_hand(group(), trial.context)


def test_a_run_whose_process_is_gone_is_reported_and_blocks_nothing(trial: Trial) -> None:
    trial.claim(group(), at(20))
    trial.time = at(20, 17, 3)

    assert run_by_hand(group(), trial.context).outcome == "succeeded"

    (notice,) = trial.notices
    assert notice.startswith("Group `daily`, slot 2026-11-20 17:00 UTC: The run was aborted")
    assert notice.endswith("The next run covers its days.")
    assert trial.noted(group()) == [(at(20, 17, 3), 1, "succeeded"), (at(20), 0, "interrupted")]


# Files that arrive late


def lacking(day: int, until: datetime | None = None) -> Callable[[Trial], Callable[[Days], Collection[date]]]:
    """A courier without the files of one day until a given time, or for ever."""

    def of(trial: Trial) -> Callable[[Days], Collection[date]]:
        return lambda looked_at: {date(2026, 11, day)} & set(looked_at) if not until or trial.time < until else ()

    return of


def goes_without(trial: Trial, missing: Callable[[Days], Collection[date]], first: datetime) -> Group:
    """A group whose courier continues without a file that is missing at `first`; `missing` gives the days without."""

    def answer(skip_missing: bool) -> None:
        if trial.time == first and not skip_missing:
            raise MissingFilesError("There is no users.avro.")

    trial.answers["heap"] = answer
    trial.missing = missing
    return group(courier(offset=DAY, missing="notify"))


def runs_daily(trial: Trial, daily: Group, *slots_of: int) -> list[tuple[int, int]]:
    """The first and the last day that each run loaded."""
    for day in slots_of:
        assert trial.run(daily, at(day)).outcome == "succeeded"
    return [(start.day, end.day - 1) for _, start, end, skip in trial.runs if not skip]


def test_a_day_that_a_run_skipped_is_checked_again(trial: Trial) -> None:
    daily = goes_without(trial, lacking(20, until=at(22, 9))(trial), at(21))
    assert runs_daily(trial, daily, 21, 22, 23) == [(20, 20), (20, 21), (22, 22)]


def test_a_day_whose_files_never_arrive_is_given_up_after_a_week_and_reported(trial: Trial) -> None:
    trial.time = at(2)
    daily = goes_without(trial, lacking(1)(trial), at(2))

    looked_at = runs_daily(trial, daily, *range(2, 12))

    assert looked_at == [(1, day) for day in range(1, 9)] + [(9, 9), (10, 10)]
    (given_up,) = [notice for notice in trial.notices if "no longer looks for" in notice]
    assert "files of 2026-11-01" in given_up
    assert "`heap-courier run heap --day 2026-11-01`" in given_up


def test_with_past_day_only_a_day_is_not_checked_again(trial: Trial) -> None:
    daily = replace(goes_without(trial, lacking(20)(trial), at(21)), past_day_only=True)
    assert runs_daily(trial, daily, 21, 22) == [(20, 20), (21, 21)]


def test_customers_are_linked_once_all_couriers_have_succeeded(trial: Trial) -> None:
    calls: list[str] = []
    trial.context = replace(trial.context, stitch=lambda: calls.append("stitch"))

    assert trial.run(replace(group(), stitch=True), at(20)).outcome == "succeeded"
    assert trial.run(group(), at(21)).outcome == "succeeded"
    assert calls == ["stitch"]

    trial.answers["heap"] = raises(SetupError("The bucket is gone."))
    result = trial.run(replace(group(), stitch=True), at(22))

    assert (result.outcome, calls) == ("failed", ["stitch"])
    assert result.message.endswith("Stitch did not run because not all couriers succeeded.")


def test_a_group_fails_if_linking_fails(trial: Trial) -> None:
    def fail() -> None:
        raise SetupError("No table takes part in Stitch.")

    trial.context = replace(trial.context, stitch=fail)

    result = trial.run(replace(group(), stitch=True), at(20))

    assert result == ("failed", "Stitch: No table takes part in Stitch.")
