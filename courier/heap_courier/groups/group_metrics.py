"""Metrics about the schedules of groups: when each is due, how late it is, and when it last succeeded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from heap_courier.groups.deadline import deadline_of
from heap_courier.groups.scheduler import upcoming
from heap_courier.notices.notice import Notice
from heap_courier.project.cron import instants
from heap_courier.project.model import Group


class GroupMetrics(Collector):
    """The state of the enabled groups at the time of a request.

    The lateness of a group is the time since its first slot after the last success.

    Args:
        now: returns the current time.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._began = now()
        self._groups: tuple[Group, ...] = ()
        self._succeeded: dict[str, datetime] = {}
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()

    def follow(self, groups: Iterable[Group]) -> None:
        """Reports on these groups of the project from now on."""
        self._groups = tuple(group for group in groups if group.enabled and group.schedule)

    def seed(self, succeeded: Mapping[str, datetime]) -> None:
        """Sets, by group, the slot of the last success before this process started."""
        with self._lock:
            self._succeeded = {**succeeded, **self._succeeded}

    def __call__(self, notice: Notice) -> None:
        """Updates the metrics with a notice about a run of a group."""
        with self._lock:
            match notice.event:
                case "group-started":
                    self._running[notice.group] = self._running.get(notice.group, 0) + 1
                case "group-succeeded" | "group-failed" | "group-interrupted":
                    self._running[notice.group] = max(0, self._running.get(notice.group, 0) - 1)
            if notice.event == "group-succeeded" and notice.slot:
                self._succeeded[notice.group] = max(notice.slot, self._succeeded.get(notice.group, notice.slot))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        now = self._now()
        due = _gauge("next_slot_timestamp_seconds", "When a group is due next.")
        late = _gauge("lateness_seconds", "Time since the first slot without a successful run; 0 if there is none.")
        deadline = _gauge("deadline_timestamp_seconds", "The deadline of the first slot without a successful run.")
        succeeded = _gauge("last_success_slot_timestamp_seconds", "The latest slot with a successful run.")
        running = _gauge("running", "1 while a run is in progress, otherwise 0.")
        with self._lock:
            last, active = dict(self._succeeded), dict(self._running)
        for group in self._groups:
            if slot := upcoming(group, now):
                due.add_metric([group.name], slot.timestamp())
            first = next(instants(str(group.schedule), group.time_zone, last.get(group.name, self._began)), None)
            late.add_metric([group.name], max(0.0, (now - first).total_seconds()) if first else 0.0)
            if first and group.done_by:
                deadline.add_metric([group.name], deadline_of(group.done_by, group.time_zone, first).timestamp())
            if group.name in last:
                succeeded.add_metric([group.name], last[group.name].timestamp())
            running.add_metric([group.name], min(1, active.get(group.name, 0)))
        yield from (due, late, deadline, succeeded, running)


def _gauge(name: str, help_text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"heap_courier_group_{name}", help_text, labels=["group"])
