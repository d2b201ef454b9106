"""Metrics for Prometheus, counted from notices. They start at zero with each process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from heap_courier.notices.notice import Notice
from heap_courier.version import VERSION


class Metrics:
    """Metrics about what this process has done.

    Attributes:
        registry: for other metrics to register with.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would be a second series per counter
        self.registry = CollectorRegistry()
        self._runs = self._counter("runs", "Finished runs of couriers.", "courier", "outcome")
        self._seconds = Summary(
            "heap_courier_run_duration_seconds", "Duration of runs.", ["courier"], registry=self.registry
        )
        self._last = Gauge(
            "heap_courier_run_last_completed_timestamp_seconds",
            "When this process last completed a run of the courier.",
            ["courier"],
            registry=self.registry,
        )
        self._rows = self._counter("rows_read", "Rows read from files.", "courier", "table")
        self._rejected = self._counter("rows_rejected", "Rows that were rejected.", "courier", "table")
        self._groups = self._counter("group_runs", "Finished runs of courier groups.", "group", "outcome")
        self._undelivered = self._counter("notifications_failed", "Notifications that could not be sent.")
        self._reloads = self._counter("reloads_failed", "Changes to the project that could not be loaded.")
        Gauge("heap_courier_info", "The version.", ["version"], registry=self.registry).labels(VERSION).set(1)

    def __call__(self, notice: Notice) -> None:
        """Counts a notice."""
        details = notice.details
        match notice.event:
            case "run-completed" | "run-failed" | "run-interrupted":
                self._runs.labels(notice.courier, notice.event.removeprefix("run-")).inc()
                self._seconds.labels(notice.courier).observe(float(details["seconds"]))
                if notice.event == "run-completed":
                    self._last.labels(notice.courier).set_to_current_time()
            case "run-refused":
                self._runs.labels(notice.courier, "refused").inc()
            case "table-loaded" | "table-failed":
                self._rows.labels(notice.courier, details["table"]).inc(float(details["rows"]))
                self._rejected.labels(notice.courier, details["table"]).inc(float(details["rejected"]))
            case "group-succeeded" | "group-failed" | "group-interrupted" | "group-aborted":
                self._groups.labels(notice.group, notice.event.removeprefix("group-")).inc()
            case "notification-failed":
                self._undelivered.inc()
            case "reload-failed":
                self._reloads.inc()

    def exposed(self) -> tuple[str, bytes]:
        """The content type and the text of `/metrics`."""
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"heap_courier_{name}", help_text, labels, registry=self.registry)
