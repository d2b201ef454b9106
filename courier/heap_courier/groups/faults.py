"""What goes wrong while a schedule is kept: reported, once as long as it is the same, and never the end of it."""

from __future__ import annotations

from collections.abc import Callable

from heap_courier.errors import CourierError, internal_error
from heap_courier.notices.notice import Notice, Report
from heap_courier.project.model import Group


class Faults:
    """Those of one kind of work for a group."""

    def __init__(self, group: Group, report: Report) -> None:
        self._group = group
        self._report = report
        self._last = ""

    def guard(self, work: Callable[[], None]) -> None:
        """Does some work."""
        fault = ""
        try:
            work()
        except CourierError as error:
            fault = f"Group `{self._group.name}`: {error}"
        except Exception as error:  # noqa: BLE001  (what is due next must still be done)
            fault = f"Group `{self._group.name}`: {internal_error(error)}"
        if fault and fault != self._last:
            self._report(Notice("trouble", "group-trouble", fault, group=self._group.name))
        self._last = fault
