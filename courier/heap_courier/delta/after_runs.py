"""Publishes after runs, if the project is set up to. A run counts as completed even if publishing its rows fails."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from heap_courier.couriers.context import Context
from heap_courier.delta.extra import require_extra
from heap_courier.errors import CourierError, FeedError
from heap_courier.notices.notice import Notice
from heap_courier.project.model import Project

if TYPE_CHECKING:
    from heap_courier.delta.publication import Published

LATER: Final = "The rows are in the warehouse; the next run, or `heap-courier publish`, publishes them."


class Afterwards(NamedTuple):
    """What was published after a run; `failure` is the error message, or empty."""

    tables: tuple[Published, ...] = ()
    failure: str = ""


def is_due(project: Project) -> bool:
    """Whether the project's runs publish."""
    return project.delta is not None and project.delta.after_runs


def publish_after_group(context: Context) -> tuple[Published, ...]:
    """Publishes after the run of a group.

    Raises:
        FeedError: a table was not published.
        CourierError: nothing could be published.
    """
    tables = _published(context)
    if failure := _failure(tables):
        raise FeedError(failure)
    return tables


def publish_after_run(context: Context, who: str) -> Afterwards:
    """Publishes after a manual run of the courier `who`. Reports failures as a notice instead of raising them."""
    if not is_due(context.project):
        return Afterwards()
    tables: tuple[Published, ...] = ()
    try:
        tables = _published(context)
        failure = _failure(tables)
    except CourierError as error:
        failure = str(error)
    if failure:
        failure = f"Not published: {failure} {LATER}"
        context.report(Notice("error", "publication-failed", failure, courier=who))
    return Afterwards(tables, failure)


def _published(context: Context) -> tuple[Published, ...]:
    require_extra()
    from heap_courier.delta.publication import publish  # noqa: PLC0415  (an extra)

    return publish(context)


def _failure(tables: Iterable[Published]) -> str:
    return "; ".join(f"{table.table}: {table.message}" for table in tables if table.how == "failed")
