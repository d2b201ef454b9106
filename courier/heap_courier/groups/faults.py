"""Errors in the daemon's own work: each is reported once while it repeats, and none stops the daemon."""

from __future__ import annotations

from collections.abc import Callable

from heap_courier.errors import CourierError, internal_error
from heap_courier.notices.notice import Notice, Report
from heap_courier.project.model import Group


class Faults:
    """The errors of one kind of work for a group, such as looking for slots that are due."""

    def __init__(self, group: Group, report: Report) -> None:
        self._group = group
        self._report = report
        self._last = ""

    def guard(self, work: Callable[[], None]) -> None:
        """Does some work, and reports an error that differs from that of the last time."""
        fault = ""
        try:
            work()
        except CourierError as error:
            fault = f"Group `{self._group.name}`: {error}"
        except Exception as error:  # noqa: BLE001  (later work must still be done)
            fault = f"Group `{self._group.name}`: {internal_error(error)}"
        if fault and fault != self._last:
            self._report(Notice("trouble", "group-trouble", fault, group=self._group.name))
        self._last = fault
