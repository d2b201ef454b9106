"""How schedules are kept, by a simulated clock; real processes are in integration_tests/test_daemon.py."""

from __future__ import annotations

import os
import signal
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
from heap_courier.errors import InterruptedRunError, LaterError, SetupError
from heap_courier.files.days import Days
from heap_courier.groups import slots
from heap_courier.groups.run import GroupContext, run_by_hand
from heap_courier.groups.scheduler import Change, Keeper, next_run, serve, upcoming
from heap_courier.notices.notice import Notice
from heap_courier.project.model import Group
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

MINUTE = timedelta(minutes=1)
SECONDS = 120


class Trial:
    """What a daemon depends on: a clock, a warehouse, couriers."""

    def __init__(self, folder: Path) -> None:
        self.time = at(20, 12)
        self.said: list[str] = []
        self.stop = threading.Event()
        self.opened = 0
        self.answer: Callable[[], None] = lambda: None
        self.context = GroupContext(self.run_courier, self.open_warehouse, self.report, lambda: self.time, self.pause)
        self._path = folder / "heap.duckdb"
        with self.open_warehouse() as warehouse:
            slots.prepare(warehouse)

    def run_courier(self, _courier: str, _days: Days, _required: Days, _skip_missing: bool) -> Collection[date]:
        self.answer()
        return ()

    def open_warehouse(self) -> AbstractContextManager[Warehouse]:
        self.opened += 1
        return self._open()

    def report(self, notice: Notice) -> None:
        self.said.append(notice.text)

    @contextmanager
    def _open(self) -> Iterator[Warehouse]:
        warehouse = DuckDBWarehouse(self._path, wait=time.sleep)
        try:
            yield warehouse
        finally:
            warehouse.close()

    def pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise InterruptedRunError("The run was stopped.")

    def keeper(self, group: Group = DAILY) -> Keeper:
        """A daemon that has just started."""
        keeper = Keeper(group, self.context)
        keeper.look()
        return keeper

    def looks(self, keeper: Keeper, at: datetime) -> None:
        self.time = at
        keeper.look()

    def noted(self, group: Group = DAILY) -> list[tuple[datetime, str | None]]:
        with self.open_warehouse() as warehouse:
            return [(run.slot, run.outcome) for run in slots.history(warehouse, group.name, 10)]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_a_slot_is_run_when_it_is_due(trial: Trial) -> None:
    keeper = trial.keeper()
    trial.looks(keeper, at(20, 16, 59))
    assert trial.noted() == []
    trial.looks(keeper, at(20))
    assert trial.noted() == [(at(20), "succeeded")]
    assert trial.said == [
        "Group `daily`, slot 2026-11-20 17:00 UTC started.",
        "Group `daily`, slot 2026-11-20 17:00 UTC succeeded.",
        "Group `daily` runs next on Saturday 2026-11-21 at 17:00 UTC (17:00 UTC).",
    ]


def test_a_slot_is_run_once(trial: Trial) -> None:
    keeper = trial.keeper()
    for minute in range(3):
        trial.looks(keeper, at(20, 17, minute))
    trial.looks(trial.keeper(), at(20, 17, 5))
    assert trial.noted() == [(at(20), "succeeded")]


def test_the_warehouse_is_not_queried_while_nothing_is_due(trial: Trial) -> None:
    keeper = trial.keeper()
    before = trial.opened
    for hour in (13, 14, 16):
        trial.looks(keeper, at(20, hour))
    assert trial.opened == before

    trial.looks(keeper, at(20))
    before = trial.opened
    trial.looks(keeper, at(20, 18))
    assert trial.opened == before


def test_what_passed_before_a_daemon_first_kept_the_schedule_is_not_run(trial: Trial) -> None:
    trial.keeper()
    assert trial.noted() == []


def test_a_slot_that_passed_while_no_daemon_was_there_is_run_late(trial: Trial) -> None:
    trial.keeper()
    trial.time = at(20, 19)
    trial.keeper()
    assert trial.noted() == [(at(20), "succeeded")]
    assert trial.said[0] == "Group `daily`, slot 2026-11-20 17:00 UTC was missed: running it now."


def test_only_the_last_of_several_missed_slots_is_run(trial: Trial) -> None:
    trial.looks(trial.keeper(), at(20))
    trial.time = at(25, 12)
    keeper = trial.keeper()
    trial.looks(keeper, at(25, 13))
    assert trial.noted() == [(at(24), "succeeded"), (at(20), "succeeded")]


def test_a_slot_that_failed_is_not_run_again(trial: Trial) -> None:
    def refuse() -> None:
        raise SetupError("The bucket is gone.")

    trial.answer = refuse
    keeper = trial.keeper()
    trial.looks(keeper, at(20))
    trial.looks(keeper, at(20, 18))
    assert trial.noted() == [(at(20), "failed")]
    assert trial.said[1:] == [
        "Group `daily`, slot 2026-11-20 17:00 UTC failed.\nCourier `heap`: The bucket is gone.",
        "Group `daily` runs next on Saturday 2026-11-21 at 17:00 UTC (17:00 UTC).",
    ]


def test_a_run_that_died_is_marked_and_reported_and_its_slot_not_run_again(trial: Trial) -> None:
    trial.keeper()
    with trial.open_warehouse() as warehouse:
        slots.claim(warehouse, "daily", at(20), at(20), by_hand=False)  # by a process that was killed then
    trial.time = at(20, 17, 1)
    keeper = trial.keeper()
    assert trial.noted() == [(at(20), None)]  # it may still be alive

    trial.looks(keeper, at(20, 17, 3))

    assert trial.noted() == [(at(20), "interrupted")]
    (sentence,) = trial.said
    assert sentence.startswith("Group `daily`, slot 2026-11-20 17:00 UTC: The run was aborted")
    assert sentence.endswith("The next run covers its days.")


def test_a_slot_waits_while_the_group_runs_elsewhere(trial: Trial) -> None:
    keeper = trial.keeper()
    trial.time = at(20, 16, 59)
    with trial.open_warehouse() as warehouse:
        run = slots.claim(warehouse, "daily", trial.time, trial.time, by_hand=True)
    trial.looks(keeper, at(20))
    assert trial.noted() == [(at(20, 16, 59), None)]

    with trial.open_warehouse() as warehouse:
        assert run
        slots.finish(warehouse, run, at(20), "succeeded", "")
    trial.looks(keeper, at(20, 17, 1))

    assert trial.noted() == [(at(20), "succeeded"), (at(20, 16, 59), "succeeded")]


def test_a_manual_run_does_not_fill_the_slot(trial: Trial) -> None:
    keeper = trial.keeper()
    trial.time = at(20)
    run_by_hand(DAILY, trial.context, at(20))
    trial.looks(keeper, at(20))
    assert trial.noted() == [(at(20), "succeeded")] * 2


def test_two_daemons_run_a_slot_once(trial: Trial) -> None:
    keepers = [trial.keeper(), trial.keeper()]
    for keeper in keepers:
        trial.looks(keeper, at(20))
    assert trial.noted() == [(at(20), "succeeded")]


def test_a_problem_is_reported_once_and_a_slot_is_run_when_it_is_over(trial: Trial) -> None:
    def refused() -> AbstractContextManager[Warehouse]:
        raise LaterError("The warehouse is open in another process.")

    keeper = trial.keeper()
    good = keeper._context
    keeper._context = replace(good, open_warehouse=refused)
    for minute in range(3):
        trial.looks(keeper, at(20, 17, minute))
    assert trial.said == ["Group `daily`: The warehouse is open in another process."]

    keeper._context = good
    trial.looks(keeper, at(20, 17, 3))
    assert trial.noted() == [(at(20), "succeeded")]


def test_an_internal_error_is_reported_without_its_message_and_does_not_stop_the_keeper(trial: Trial) -> None:
    def fail() -> None:
        raise ZeroDivisionError("the content of a row")

    trial.answer = fail
    keeper = trial.keeper()
    trial.looks(keeper, at(20))
    assert trial.noted() == [(at(20), "failed")]
    assert trial.said[-1].startswith("Group `daily`: Internal error: ZeroDivisionError in ")
    assert "the content of a row" not in "".join(trial.said)

    trial.answer = lambda: None
    trial.looks(keeper, at(21))
    assert trial.noted()[0] == (at(21), "succeeded")


def test_the_next_run_is_shown_in_the_zone_of_the_group() -> None:
    there = replace(DAILY, time_zone=ZoneInfo("America/Los_Angeles"))
    assert upcoming(there, at(20)) == at(21, 1)
    assert next_run(there, at(20)) == (
        "Group `daily` runs next on Friday 2026-11-20 at 17:00 America/Los_Angeles (01:00 UTC)."
    )


@pytest.mark.parametrize("group", [replace(DAILY, schedule=None), replace(DAILY, enabled=False)])
def test_without_a_schedule_or_not_enabled_a_group_runs_only_manually(group: Group) -> None:
    assert upcoming(group, at(20)) is None
    assert next_run(group, at(20)) == "Group `daily` has no schedule in effect; run it by hand."


# The whole daemon


def test_it_logs_what_it_does_runs_what_is_due_and_stops_on_request(trial: Trial) -> None:
    trial.keeper()
    trial.time = at(20, 17, 1)
    trial.answer = trial.stop.set
    serve([DAILY, replace(DAILY, name="idle", enabled=False)], trial.context, trial.stop)
    assert trial.noted() == [(at(20), "succeeded")]
    assert trial.said[0] == "Group `daily` runs next on Saturday 2026-11-21 at 17:00 UTC (17:00 UTC)."


def test_it_warns_of_a_schedule_that_clock_changes_affect(trial: Trial) -> None:
    trial.stop.set()
    disturbed = replace(DAILY, schedule="30 2 * * *", time_zone=ZoneInfo("America/Los_Angeles"))
    serve([disturbed], trial.context, trial.stop)
    assert trial.said[0].startswith('Group `daily`: The schedule "30 2 * * *" is skipped on 2027-03-14')


def test_without_a_scheduled_group_it_refuses_to_start(trial: Trial) -> None:
    with pytest.raises(SetupError, match="no group is enabled and has a `schedule`"):
        serve([replace(DAILY, enabled=False)], trial.context, trial.stop)


def test_it_can_wait_for_a_group_to_be_enabled(trial: Trial) -> None:
    def changed(_asked: bool) -> Change:
        trial.stop.set()
        return [DAILY], trial.context

    idle = replace(DAILY, enabled=False)
    context = replace(trial.context, lease=timedelta(seconds=0.1))
    serve([idle], context, trial.stop, changed, wait=True)
    assert trial.said[0] == "Nothing is scheduled: no group is enabled and has a `schedule`."
    assert trial.said[1].startswith("Group `daily` runs next on ")


def test_it_waits_for_a_warehouse_that_does_not_respond_at_the_start(trial: Trial) -> None:
    refusals = iter(range(2))
    opened = trial.open_warehouse

    def open_warehouse() -> AbstractContextManager[Warehouse]:
        for _ in refusals:
            raise LaterError("Not now.")
        return opened()

    trial.keeper()
    trial.time = at(20)
    trial.answer = trial.stop.set
    context = replace(trial.context, open_warehouse=open_warehouse, lease=timedelta(seconds=0.1))
    serve([DAILY], context, trial.stop)
    assert trial.said[:2] == ["Not now."] * 2
    assert trial.noted() == [(at(20), "succeeded")]


def test_the_daemon_can_be_stopped_while_waiting(trial: Trial) -> None:
    def refused() -> AbstractContextManager[Warehouse]:
        trial.stop.set()
        raise LaterError("Not now.")

    serve([DAILY], replace(trial.context, open_warehouse=refused), trial.stop)
    assert trial.said == ["Not now."]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_restores_the_signal_handlers(trial: Trial, number: signal.Signals) -> None:
    def wait() -> None:
        os.kill(os.getpid(), number)
        trial.pause(SECONDS)

    before = signal.getsignal(number)
    trial.keeper()
    trial.time = at(20)
    trial.answer = wait
    serve([DAILY], trial.context, trial.stop)
    assert trial.noted() == [(at(20), "interrupted")]
    assert "Shutting down after the current run; press Ctrl-C again to stop now." in trial.said
    assert signal.getsignal(number) == before


# A clock that was ahead


def test_a_clock_that_was_ahead_for_one_slot_does_not_silence_the_schedule(trial: Trial) -> None:
    keeper = trial.keeper()
    trial.looks(keeper, at(20))
    trial.looks(keeper, at(20) + timedelta(days=3650))
    trial.looks(keeper, at(21))
    assert (at(21), "succeeded") in trial.noted()

    trial.time = at(22)
    trial.keeper()  # in a new process
    assert (at(22), "succeeded") in trial.noted()
    assert sum("ran early because the clock was ahead" in sentence for sentence in trial.said) == 1


def test_a_changed_project_takes_effect_without_a_restart(trial: Trial) -> None:
    """Even if it disables the only group; slots due after the change follow the new schedule."""
    hourly = replace(DAILY, name="hourly", schedule="0 * * * *")
    context = replace(trial.context, lease=timedelta(seconds=0.01))
    changes = iter([([hourly], context), ([replace(hourly, enabled=False)], context)])

    def changed(_asked: bool) -> Change | None:
        change = next(changes, None)
        if change is None:
            trial.stop.set()
        return change

    serve([DAILY], context, trial.stop, changed)
    said = "\n".join(trial.said)
    assert said.index("`daily` runs next") < said.index("`hourly` runs next") < said.index("Nothing is scheduled")


def test_a_run_in_progress_finishes_when_the_project_is_changed(trial: Trial) -> None:
    """Once, with the settings it started with; and a disabled group runs no past slots when enabled again."""
    trial.keeper()
    trial.time = at(20)
    entered, released = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert released.wait(SECONDS)

    trial.answer = wait
    context = replace(trial.context, lease=timedelta(seconds=0.1))
    changes = iter([([replace(DAILY, enabled=False)], context)])

    def changed(_asked: bool) -> Change | None:
        assert entered.wait(SECONDS)
        change = next(changes, None)
        if change is None:
            released.set()
            trial.stop.set()
        return change

    serve([DAILY], context, trial.stop, changed)
    assert trial.noted() == [(at(20), "succeeded")]
