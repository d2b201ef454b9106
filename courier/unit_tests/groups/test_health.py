"""/health and /metrics of the daemon, over HTTP, and SIGHUP."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import replace
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from courier.unit_tests.groups.examples import DAILY, at
from courier.unit_tests.groups.test_scheduler import Trial
from heap_courier.errors import SetupError
from heap_courier.groups.group_metrics import GroupMetrics
from heap_courier.groups.health import Health, health_served
from heap_courier.groups.scheduler import Change, serve
from heap_courier.notices.notice import Notice
from heap_courier.project.model import Group


def asked(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request(method, path)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content


def test_health_reports_whether_the_schedules_are_kept() -> None:
    released = threading.Event()
    thread = threading.Thread(target=released.wait, name="group daily")
    thread.start()
    health = Health([thread])
    with health_served("127.0.0.1", 0, health, lambda: ("text/plain", b"a 1\n")) as address:
        assert asked(address, "/health") == (200, "The daemon is running.\n")
        assert asked(address, "/health", "HEAD") == (200, "")
        assert asked(address, "/metrics?x") == (200, "a 1\n")
        assert asked(address, "/")[0] == 404
        assert asked(address, "/health", "POST")[0] == 501
        released.set()
        thread.join()
        assert asked(address, "/health") == (
            503,
            "Stopped unexpectedly: group daily. Restart the daemon.\n",
        )
        health.is_stopping = True
        assert asked(address, "/health") == (503, "The daemon is stopping.\n")


def test_a_port_in_use_is_reported_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(SetupError, match="Choose another --health-port"),
            health_served("127.0.0.1", port, Health(), lambda: ("", b"")),
        ):
            pass


PARIS = replace(DAILY, name="paris", schedule="30 2 * * *", time_zone=ZoneInfo("Europe/Paris"))


@pytest.mark.parametrize(
    ("group", "succeeded", "hours", "late"),
    [
        (DAILY, None, 0, 0),  # nothing was due since the daemon began
        (DAILY, None, 4.5, 0),
        (DAILY, None, 5, 0),  # due this instant
        (DAILY, None, 6, 1),
        (DAILY, None, 30, 25),  # of two, the first one
        (DAILY, at(20), 6, 0),
        (DAILY, at(20), 30, 1),
        (DAILY, at(18), 0, 19),  # from before this process
        (replace(DAILY, enabled=False), at(18), 6, None),
        (PARIS, at(20, 1, 30), 24, 10.5),
    ],
)
def test_a_group_is_late_since_its_first_slot_without_a_successful_run(
    group: Group, succeeded: object, hours: float, late: float | None
) -> None:
    times = iter([at(20, 12), at(20, 12) + timedelta(hours=hours)])
    metrics = GroupMetrics(lambda: next(times))
    metrics.follow([group])
    if succeeded:
        metrics.seed({group.name: succeeded})  # type: ignore[dict-item]
    families = {family.name: family.samples for family in metrics.collect()}
    assert [sample.value for sample in families["heap_courier_group_lateness_seconds"]] == (
        [] if late is None else [late * 3600]
    )
    assert len(families["heap_courier_group_next_slot_timestamp_seconds"]) == (0 if late is None else 1)


def test_a_run_of_a_group_is_shown_while_in_progress_and_its_success_ends_the_lateness() -> None:
    metrics = GroupMetrics(lambda: at(21, 18))
    metrics.follow([DAILY])
    metrics.seed({"daily": at(20)})

    def values() -> list[float]:
        found = {family.name.removeprefix("heap_courier_group_"): family.samples for family in metrics.collect()}
        return [found[name][0].value for name in ("lateness_seconds", "last_success_slot_timestamp_seconds", "running")]

    assert values() == [3600, at(20).timestamp(), 0]
    metrics(Notice("running", "group-started", "", group="daily", slot=at(21)))
    assert values() == [3600, at(20).timestamp(), 1]
    metrics(Notice("completed", "group-succeeded", "", group="daily", slot=at(21)))
    assert values() == [0, at(21).timestamp(), 0]
    metrics(Notice("completed", "group-succeeded", "", group="daily", slot=at(19)))  # a manual run, an older one
    assert values() == [0, at(21).timestamp(), 0]


@pytest.fixture
def trial(tmp_path: object) -> Trial:
    return Trial(tmp_path)  # type: ignore[arg-type]


def test_sighup_reloads_the_project_and_interrupts_nothing(trial: Trial) -> None:
    """Even if its file has not changed, and whether or not it is valid."""
    before = signal.getsignal(signal.SIGHUP)
    calls: list[bool] = []
    context = replace(trial.context, lease=timedelta(days=1))  # so that nothing else makes it check
    hourly = replace(DAILY, name="hourly", schedule="0 * * * *")

    def changed(is_asked: bool) -> Change | None:
        calls.append(is_asked)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGHUP)
            return None  # not valid
        trial.stop.set()
        return [hourly], context

    def report(notice: Notice) -> None:
        if notice.event == "group-scheduled" and not calls:
            os.kill(os.getpid(), signal.SIGHUP)

    serve([DAILY], replace(context, report=report), trial.stop, changed)
    assert calls == [True, True]
    assert signal.getsignal(signal.SIGHUP) == before
