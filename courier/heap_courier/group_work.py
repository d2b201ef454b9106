"""Connects the runs of courier groups with the rest: couriers, the warehouse, Stitch, publication, notifications."""

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
    """Receives the progress of runs of groups, from several threads. This base class ignores it."""

    bar: Bar = NoBar()
    """The progress bar of each courier and of Stitch; none by default, because couriers run at the same time."""

    def began(self, what: str) -> None:
        """A courier, Stitch or the publication has started."""

    def loaded(self, courier: str, result: RunResult) -> None:
        """A courier has finished."""

    def stitched(self, result: StitchResult, seconds: float) -> None:
        """Stitch has finished."""

    def published(self, tables: Sequence[Published]) -> None:
        """The tables have been published."""

    def heard(self, notice: Notice) -> None:
        """A notice about a run of a courier: for the log only, because people get the notices of the group."""


def group_context(context: Context, audience: Audience, pause: Callable[[float], None]) -> GroupContext:
    """What runs of groups depend on.

    Args:
        context: the context of the project whose groups run.
        audience: receives the progress of the runs.
        pause: waits for a number of seconds; raises InterruptedRunError as soon as the runs are to stop.
    """

    def hear(notice: Notice) -> None:
        if notice.run:  # a run that could not start is retried, and the group reports its final failure
            audience.heard(notice)

    silent = replace(context, bar=audience.bar, report=hear)

    def run_courier(name: str, days: Days, required: Days, skip_missing: bool) -> Collection[date]:  # noqa: FBT001
        from heap_courier.couriers import run  # noqa: PLC0415  (slow to import)

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
