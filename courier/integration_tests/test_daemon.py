"""The daemon as a process: fired by its schedule, killed, ended, and beside another one."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from courier.integration_tests.served import serve_days
from courier.unit_tests.forked import forked
from fork_server import Fork
from heap_courier.groups import slots
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

DAILY = "0 17 * * *"
SECONDS = 120


def at(day: int, hour: int = 17, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=timezone.utc)


def until(condition: Callable[[], object], pause: float = 0.1) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(pause)


class Place:
    """A folder and a warehouse, and the daemons that share them."""

    def __init__(self, folder: Path, warehouse: str) -> None:
        self.folder = folder
        self._warehouse = warehouse
        self._processes: list[Fork] = []

    def start(self, now: datetime, schedule: str = DAILY, lease: float = 6) -> Fork:
        """Starts a daemon; `lease` is the seconds without a heartbeat after which it takes a run for broken."""
        arguments = [str(self.folder), self._warehouse, now.isoformat(), schedule, str(lease)]
        process = forked(
            arguments, folder=self.folder, environment={"PATH": "/usr/bin:/bin"}, program=serve_days, merged=True
        )
        self._processes.append(process)
        return process

    def end(self, process: Fork, number: signal.Signals = signal.SIGTERM) -> str:
        """Stops a daemon; returns its output."""
        process.send_signal(number)
        return process.communicate(timeout=SECONDS)[0]

    def end_all(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def open(self) -> Warehouse:
        if self._warehouse.startswith("postgresql:"):
            return PostgreSQLWarehouse(self._warehouse)
        return DuckDBWarehouse(Path(self._warehouse), wait=time.sleep)

    def kept_since(self, instant: datetime) -> None:
        """As if a daemon had kept the schedule before."""
        warehouse = self.open()
        slots.prepare(warehouse)
        warehouse.execute(
            "INSERT INTO heap_courier.schedules VALUES ('daily', $1, 'UTC', $2)", (DAILY, instant.replace(tzinfo=None))
        )
        warehouse.close()

    def noted(self) -> list[tuple[datetime, str | None]]:
        """Slots and outcomes, oldest first, read beside the daemon."""
        warehouse = self.open()
        try:
            slots.prepare(warehouse)
            return [(run.slot, run.outcome) for run in reversed(slots.history(warehouse, "daily", 100))]
        finally:
            warehouse.close()

    def runs(self) -> list[str]:
        """What the courier wrote down: each run's first day, and the day after its last."""
        path = self.folder / "runs"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [" ".join(line.split()[1:3]) for line in lines]

    def hold(self) -> Path:
        path = self.folder / "hold"
        path.touch()
        return path

    def looked(self, process: Fork) -> bool:
        """Whether a daemon has looked for slots: it has been at the warehouse twice."""
        return self.visits(process) > 1

    def visits(self, process: Fork) -> int:
        """How often a daemon has closed the warehouse."""
        path = self.folder / f"closed-{process.pid}"
        return path.stat().st_size if path.exists() else 0


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    duckdb = request.param == "duckdb"
    place = Place(tmp_path, str(tmp_path / "heap.duckdb") if duckdb else request.getfixturevalue("postgresql"))
    yield place
    place.end_all()


@pytest.fixture
def shared(tmp_path: Path, postgresql: str) -> Iterator[Place]:
    place = Place(tmp_path, postgresql)
    yield place
    place.end_all()


def test_it_runs_the_slot_that_comes_and_ends_when_asked_to(place: Place) -> None:
    daemon = place.start(at(20, 16, 59, 59))  # so it looks before the slot, and again at the slot
    until(place.runs)
    until(lambda: place.noted() == [(at(20), "succeeded")])
    out = place.end(daemon)
    assert daemon.returncode == 0
    assert place.runs() == ["2026-11-20 2026-11-21"]
    assert out.splitlines()[0] == "Group `daily` runs next on Friday 2026-11-20 at 17:00 UTC (17:00 UTC)."
    assert "Group `daily` runs next on Saturday 2026-11-21 at 17:00 UTC (17:00 UTC)." in out
    assert "Traceback" not in out


def test_killed_in_a_run_it_reports_that_after_a_restart_and_catches_up_on_the_days(place: Place) -> None:
    place.kept_since(at(19))
    hold = place.hold()
    daemon = place.start(at(20, 17, 0, 1))
    until(place.runs)
    place.end(daemon, signal.SIGKILL)
    assert place.noted() == [(at(20), None)]
    hold.unlink()

    daemon = place.start(at(21, 16, 59, 59))
    until(lambda: place.noted() == [(at(20), "interrupted"), (at(21), "succeeded")])
    out = place.end(daemon)

    assert "Group `daily`, slot 2026-11-20 17:00 UTC: The run was aborted" in out
    assert place.runs() == ["2026-11-20 2026-11-21", "2026-11-20 2026-11-22"]


def test_started_again_at_once_it_notices_the_broken_run_when_its_heartbeats_stop(place: Place) -> None:
    place.kept_since(at(19))
    hold = place.hold()
    started = place.start(at(20, 17, 0, 1))
    until(place.runs)
    place.end(started, signal.SIGKILL)
    hold.unlink()

    daemon = place.start(at(20, 17, 0, 2), lease=2)
    until(lambda: place.noted() == [(at(20), "interrupted")])
    place.end(daemon)
    assert len(place.runs()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_in_a_run_it_notes_that_and_ends(place: Place, number: signal.Signals) -> None:
    place.kept_since(at(19))
    place.hold()
    daemon = place.start(at(20, 17, 0, 1))
    until(place.runs)
    assert place.noted() == [(at(20), None)]  # the file is free while a courier is at work
    out = place.end(daemon, number)
    assert daemon.returncode == 0
    assert place.noted() == [(at(20), "interrupted")]
    assert "Group `daily`, slot 2026-11-20 17:00 UTC was interrupted." in out
    assert "The next run covers its days." in out


def test_asked_twice_it_ends_at_once(place: Place) -> None:
    (place.folder / "deaf").touch()
    place.kept_since(at(19))
    place.hold()
    daemon = place.start(at(20, 17, 0, 1))
    until(place.runs)
    daemon.send_signal(signal.SIGTERM)
    assert any("press Ctrl-C again to stop now" in line for line in iter(daemon.stdout.readline, ""))

    def ended() -> bool:
        daemon.send_signal(signal.SIGTERM)  # the message is printed a moment before a second signal counts
        return daemon.poll() is not None

    until(ended)
    assert daemon.returncode == 143


def test_a_slot_that_passed_while_no_daemon_was_there_is_run_once(place: Place) -> None:
    daemon = place.start(at(20, 12))
    until(lambda: place.looked(daemon))
    place.end(daemon, signal.SIGKILL)

    for hour in (18, 19):
        daemon = place.start(at(23, hour))
        until(lambda: place.noted() == [(at(23), "succeeded")])
        place.end(daemon)
    assert len(place.runs()) == 1


def test_daemons_that_share_a_warehouse_run_each_slot_once(shared: Place) -> None:
    shared.kept_since(at(19))
    for day in (20, 21):
        daemons = [shared.start(at(day, 17, 0, 1)) for _ in range(3)]
        until(lambda daemons=daemons: all(shared.looked(daemon) for daemon in daemons))
        until(lambda day=day: shared.noted()[-1:] == [(at(day), "succeeded")])
        for daemon in daemons:
            shared.end(daemon)
    assert [slot for slot, _ in shared.noted()] == [at(20), at(21)]
    assert len(shared.runs()) == 2


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.thorough)])
def test_killed_at_any_moment_it_runs_no_slot_twice_and_continues(place: Place, kills: int) -> None:
    place.kept_since(at(19))
    chance = random.Random(17)
    for day in (20, 21):
        for kill in range(kills):
            daemon = place.start(at(day, 17, 0, 1))
            visits = 1 + kill % 2  # before it claims the slot, or when it has: however slow the machine is
            until(lambda daemon=daemon, visits=visits: place.visits(daemon) >= visits, pause=0.002)
            time.sleep(chance.uniform(0, 0.1))
            place.end(daemon, signal.SIGKILL)

    daemon = place.start(at(22, 17, 0, 1))
    until(lambda: place.noted()[-1:] == [(at(22), "succeeded")])
    place.end(daemon)

    noted = [slot for slot, _ in place.noted()]
    assert len(noted) == len(set(noted))
    assert len(place.runs()) <= len(noted)
    last = place.runs()[-1].split()
    assert last[1] == "2026-11-23"
    assert timedelta(days=1) <= datetime.fromisoformat(last[1]) - datetime.fromisoformat(last[0]) <= timedelta(days=3)
