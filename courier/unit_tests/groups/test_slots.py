"""What the warehouse records about runs of groups, on both engines."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from courier.unit_tests.groups.examples import DAILY, at
from heap_courier.files.days import Days
from heap_courier.groups import slots
from heap_courier.groups.slots import Claim, Outcome, Since
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def prepared(warehouse: Warehouse) -> None:
    slots.prepare(warehouse)


def claimed(warehouse: Warehouse, slot: datetime, *, by_hand: bool = False, group: str = "daily") -> Claim:
    claim = slots.claim(warehouse, group, slot, slot, by_hand=by_hand)
    assert claim
    return claim


def ended(warehouse: Warehouse, slot: datetime, outcome: Outcome, *, by_hand: bool = False) -> None:
    slots.finish(warehouse, claimed(warehouse, slot, by_hand=by_hand), slot + HOUR, outcome, "")


def test_making_the_tables_again_changes_nothing(warehouse: Warehouse) -> None:
    claimed(warehouse, at(20))
    slots.prepare(warehouse)
    assert slots.running(warehouse, "daily")


def test_a_slot_is_claimed_once(warehouse: Warehouse) -> None:
    assert slots.claim(warehouse, "daily", at(20), at(20), by_hand=False) == Claim("daily", at(20), 0, None)
    assert slots.claim(warehouse, "daily", at(20), at(21), by_hand=False) is None


def test_a_finished_slot_is_not_claimed_again(warehouse: Warehouse) -> None:
    ended(warehouse, at(20), "failed")
    assert slots.claim(warehouse, "daily", at(20), at(21), by_hand=False) is None


def test_another_group_and_another_slot_are_free(warehouse: Warehouse) -> None:
    claimed(warehouse, at(20))
    claimed(warehouse, at(20), group="weekly")
    claimed(warehouse, at(21))


def test_manual_runs_do_not_claim_the_slot_of_the_schedule(warehouse: Warehouse) -> None:
    assert [claimed(warehouse, at(20), by_hand=True).attempt for _ in range(2)] == [1, 2]
    assert claimed(warehouse, at(20)).attempt == 0


def test_a_run_is_shown_as_recorded(warehouse: Warehouse) -> None:
    claim = claimed(warehouse, at(20))
    slots.beat(warehouse, claim, at(20, 18))

    run = slots.running(warehouse, "daily")
    assert run == slots.SlotRun("daily", at(20), 0, at(20), at(20, 18), None, None, "")

    slots.finish(warehouse, claim, at(20, 19), "failed", "It rained.\nIt poured.")
    assert slots.running(warehouse, "daily") is None
    assert slots.history(warehouse, "daily", 5) == [
        slots.SlotRun("daily", at(20), 0, at(20), at(20, 19), at(20, 19), "failed", "It rained.\nIt poured.")
    ]


def test_history_is_that_of_the_group_newest_first(warehouse: Warehouse) -> None:
    for day in (18, 20, 19):
        ended(warehouse, at(day), "succeeded")
    claimed(warehouse, at(21), group="weekly")
    assert [run.slot for run in slots.history(warehouse, "daily", 2)] == [at(20), at(19)]


def test_a_silent_run_is_stopped(warehouse: Warehouse) -> None:
    claimed(warehouse, at(20))
    assert slots.mark_aborted(warehouse, "daily", at(20), "gone", no_later_than=at(22)) == []
    assert slots.mark_aborted(warehouse, "weekly", at(20, 18), "gone", no_later_than=at(22)) == []

    assert slots.mark_aborted(warehouse, "daily", at(20, 18), "gone", no_later_than=at(22)) == [at(20)]

    (run,) = slots.history(warehouse, "daily", 5)
    assert (run.outcome, run.ended, run.message) == ("interrupted", at(20), "gone")
    assert slots.mark_aborted(warehouse, "daily", at(21), "gone", no_later_than=at(22)) == []


def test_a_run_that_was_mistaken_for_dead_keeps_its_own_result(warehouse: Warehouse) -> None:
    claim = claimed(warehouse, at(20))
    slots.mark_aborted(warehouse, "daily", at(21), "gone", no_later_than=at(22))
    slots.finish(warehouse, claim, at(21), "succeeded", "")
    assert [run.outcome for run in slots.history(warehouse, "daily", 5)] == ["succeeded"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_success_counts_for_its_slot_and_within_a_time(warehouse: Warehouse, by_hand: bool) -> None:
    ended(warehouse, at(20), "succeeded", by_hand=by_hand)
    assert slots.has_succeeded(warehouse, "daily", at(20), at(20))
    assert slots.has_succeeded(warehouse, "daily", at(20), at(21))
    assert slots.has_succeeded(warehouse, "daily", at(19), at(20))
    assert not slots.has_succeeded(warehouse, "daily", at(20, 18), at(21))
    assert not slots.has_succeeded(warehouse, "weekly", at(20), at(20))


def test_neither_a_failure_nor_a_run_in_progress_is_a_success(warehouse: Warehouse) -> None:
    ended(warehouse, at(20), "failed")
    claimed(warehouse, at(20), by_hand=True)
    assert not slots.has_succeeded(warehouse, "daily", at(1), at(25))


def test_since_is_the_last_success_before_the_slot(warehouse: Warehouse) -> None:
    ended(warehouse, at(16), "succeeded")
    ended(warehouse, at(17), "succeeded", by_hand=True)
    ended(warehouse, at(18), "failed")
    ended(warehouse, at(20), "succeeded")
    assert claimed(warehouse, at(19)).since == Since(at(17), succeeded=True)


def test_since_is_the_first_run_if_none_succeeded(warehouse: Warehouse) -> None:
    ended(warehouse, at(17), "failed")
    ended(warehouse, at(18), "interrupted")
    assert claimed(warehouse, at(19)).since == Since(at(17), succeeded=False)


def test_slots_are_due_from_when_a_daemon_first_kept_the_schedule(warehouse: Warehouse) -> None:
    assert slots.kept_since(warehouse, DAILY, at(18)) == at(18)
    assert slots.kept_since(warehouse, DAILY, at(20)) == at(18)


def test_slots_are_due_from_the_last_one_that_the_schedule_ran(warehouse: Warehouse) -> None:
    slots.kept_since(warehouse, DAILY, at(18))
    ended(warehouse, at(19), "failed")
    ended(warehouse, at(20), "succeeded", by_hand=True)
    assert slots.kept_since(warehouse, DAILY, at(21)) == at(19)


@pytest.mark.parametrize("change", [{"schedule": "0 9 * * *"}, {"time_zone": ZoneInfo("Asia/Tokyo")}])
def test_a_changed_schedule_runs_no_past_slots(warehouse: Warehouse, change: dict[str, str | ZoneInfo]) -> None:
    slots.kept_since(warehouse, DAILY, at(18))
    changed = replace(DAILY, **change)  # type: ignore[arg-type]
    assert slots.kept_since(warehouse, changed, at(20)) == at(20)
    assert slots.kept_since(warehouse, changed, at(21)) == at(20)


def test_a_group_that_is_enabled_again_runs_no_past_slots(warehouse: Warehouse) -> None:
    slots.kept_since(warehouse, DAILY, at(18))
    slots.forget_others(warehouse, ["daily", "weekly"])
    assert slots.kept_since(warehouse, DAILY, at(19)) == at(18)
    slots.forget_others(warehouse, ["weekly"])
    assert slots.kept_since(warehouse, DAILY, at(20)) == at(20)


def test_only_one_of_many_simultaneous_claims_of_a_slot_succeeds(postgresql: str) -> None:
    count = 8
    start = threading.Barrier(count)

    def claim(_number: int) -> Claim | None:
        warehouse = PostgreSQLWarehouse(postgresql)
        try:
            start.wait(60)
            slots.prepare(warehouse)
            return slots.claim(warehouse, "daily", at(20), at(20), by_hand=False)
        finally:
            warehouse.close()

    with ThreadPoolExecutor(count) as threads:
        claims = list(threads.map(claim, range(count)))
    assert len([claim for claim in claims if claim]) == 1


def test_a_heartbeat_from_a_clock_that_was_ahead_does_not_count(warehouse: Warehouse) -> None:
    claimed(warehouse, datetime(2036, 1, 1, tzinfo=timezone.utc))
    assert slots.mark_aborted(warehouse, "daily", at(20), "gone", no_later_than=at(21)) != []


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "interrupted", None])
def test_a_slot_that_ran_while_the_clock_was_ahead_is_free_at_its_own_time(
    warehouse: Warehouse, outcome: Outcome | None
) -> None:
    ended(warehouse, at(19), "succeeded")
    early = claimed(warehouse, at(21))
    if outcome:
        slots.finish(warehouse, early, at(21), outcome, "")

    assert slots.release_early(warehouse, "weekly", at(20)) == []
    assert slots.release_early(warehouse, "daily", at(20)) == [at(21)]
    assert slots.release_early(warehouse, "daily", at(20)) == []

    assert slots.kept_since(warehouse, DAILY, at(20)) == at(20)
    assert not slots.has_succeeded(warehouse, "daily", at(21), at(21))
    assert slots.running(warehouse, "daily") is None
    assert claimed(warehouse, at(21)).since == Since(at(19), succeeded=True)
    assert claimed(warehouse, at(22)).since == Since(at(19), succeeded=True)


def test_a_slot_of_a_daemon_whose_clock_is_a_little_ahead_stays_taken(warehouse: Warehouse) -> None:
    claimed(warehouse, at(20))
    assert slots.release_early(warehouse, "daily", at(20) - timedelta(minutes=1)) == []


def test_a_schedule_recorded_as_kept_since_a_future_time_is_kept_from_now_on(warehouse: Warehouse) -> None:
    slots.kept_since(warehouse, DAILY, datetime(2036, 1, 1, tzinfo=timezone.utc))
    assert slots.kept_since(warehouse, DAILY, at(20)) == at(20)
    assert slots.kept_since(warehouse, DAILY, at(21)) == at(20)


def test_the_next_claim_of_the_group_has_the_days_with_missing_files(warehouse: Warehouse) -> None:
    week = Days(date(2026, 11, 14), date(2026, 11, 21))
    slots.note_missing_days(warehouse, "daily", "heap", week, {date(2026, 11, 18), date(2026, 11, 15)})
    slots.note_missing_days(warehouse, "daily", "other", week, {date(2026, 11, 16)})
    slots.note_missing_days(warehouse, "weekly", "heap", week, {date(2026, 11, 17)})
    slots.note_missing_days(warehouse, "daily", "heap", Days(date(2026, 11, 17), date(2026, 11, 19)), ())

    assert claimed(warehouse, at(20)).missing == {"heap": [date(2026, 11, 15)], "other": [date(2026, 11, 16)]}
