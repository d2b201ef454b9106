"""What runs of a project's courier groups work with: its couriers, its warehouse, Stitch and its notifications."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from heap_courier.couriers.context import Context
from heap_courier.delta.after_runs import is_due, publish_after_group
from heap_courier.errors import CourierError, FeedError
from heap_courier.files.days import Days
from heap_courier.groups.run import GroupContext
from heap_courier.notices.notice import Notice
from heap_courier.progress import Bar, NoBar

if TYPE_CHECKING:
    from heap_courier.couriers.logged_run import RunResult
    from heap_courier.delta.publication import Published
    from heap_courier.stitch.run import StitchResult


class Audience:
    """Who watches runs of groups; called from several threads. This one is not interested."""

    bar: Bar = NoBar()
    """Of each courier and of Stitch: they run side by side."""

    def began(self, what: str) -> None:
        """A courier, or Stitch, begins."""

    def loaded(self, courier: str, result: RunResult) -> None:
        """A courier has finished."""

    def stitched(self, result: StitchResult, seconds: float) -> None:
        """Stitch has finished."""

    def published(self, tables: Sequence[Published]) -> None:
        """The tables have been published."""

    def heard(self, notice: Notice) -> None:
        """A run of a courier began or ended: for the log, because its group's notices are for people."""


def group_context(context: Context, audience: Audience, pause: Callable[[float], None]) -> GroupContext:
    """Connects groups with what their runs do.

    Args:
        context: with the project whose groups run.
        audience: who watches.
        pause: waits for a number of seconds; raises InterruptedRunError as soon as the runs are to stop.
    """

    def hear(notice: Notice) -> None:
        if notice.run:  # a run that could not begin is tried again, and the group reports it in the end
            audience.heard(notice)

    silent = replace(context, bar=audience.bar, report=hear)

    def run_courier(name: str, days: Days, required: Days, skip_missing: bool) -> Collection[date]:  # noqa: FBT001
        from heap_courier.couriers import run  # noqa: PLC0415  (what reads buckets and files takes long to import)

        audience.began(name)
        courier = context.project.couriers[name]
        result = run.run_courier(silent, courier, days, required=required, skip_missing=skip_missing, is_retried=True)
        audience.loaded(name, result)
        if result.failed:
            error = FeedError("; ".join(f"{table.domain_table} not loaded: {table.message}" for table in result.failed))
            error.is_logged = True
            raise error
        return result.missing_days

    def give_up(name: str, days: Days, error: CourierError) -> None:
        from heap_courier.couriers.logged_run import record_refusal  # noqa: PLC0415  (as above)

        if not error.is_logged:
            record_refusal(context, context.project.couriers[name], days, context.now(), error)

    def stitch() -> None:
        from heap_courier.stitch.extra import require_extra  # noqa: PLC0415  (an extra)

        require_extra()
        from heap_courier.stitch.run import StitchContext, stitch  # noqa: PLC0415  (as above)

        audience.began("Stitch")
        started = context.now()
        result = stitch(StitchContext(silent.project, silent.warehouse, silent.now, silent.bar))
        audience.stitched(result, (context.now() - started).total_seconds())

    def publish() -> None:
        if is_due(context.project):
            audience.began("Publication")
            audience.published(publish_after_group(silent))

    return GroupContext(
        run_courier=run_courier,
        open_warehouse=context.warehouse,
        report=context.report,
        now=context.now,
        pause=pause,
        stitch=stitch,
        give_up=give_up,
        publish=publish,
    )
