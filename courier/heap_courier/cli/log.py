"""The log of this process, on standard error: `--log-format`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from heap_courier.cli.terminal import say
from heap_courier.notices.log import Log
from heap_courier.notices.notice import Notice
from heap_courier.progress import NoBar

if TYPE_CHECKING:  # commands that only print their help do not import what reads a project
    from heap_courier.couriers.context import Context
    from heap_courier.notices.notifier import Notifier

LOG: Final = Log(lambda line: say(line, err=True), lambda: datetime.now(timezone.utc))
"""The only log of a process, because it has one standard error. Its format is set before a command starts."""


def _always(_notice: Notice) -> bool:
    return True


@contextmanager
def reporting(context: Context, is_logged: Callable[[Notice], bool] = _always) -> Iterator[Context]:
    """The context, whose notices are logged, and sent as the project configures; on exit, waits until all are sent."""
    with reporting_until_replaced(is_logged) as replaced:
        yield replaced(context)


@contextmanager
def reporting_until_replaced(
    is_logged: Callable[[Notice], bool] = _always,
) -> Iterator[Callable[[Context], Context]]:
    """`reporting` for a project that may change: each context sends notices by the settings of its own project."""
    from heap_courier.notices.notifier import Notifier  # noqa: PLC0415  (as above)

    def log(notice: Notice) -> None:
        if is_logged(notice):
            LOG(notice)

    notifiers: list[Notifier] = []

    def replaced(context: Context) -> Context:
        notifiers.append(Notifier(context.project.notify, context.environment, log, context.now))
        return replace(context, report=notifiers[-1], bar=NoBar() if LOG.is_json else context.bar)

    try:
        yield replaced
    finally:
        for notifier in notifiers:
            notifier.close()
