"""Runs work on several cores, with results in order and bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

WORKERS: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""The number of threads that decode: one for each available core."""

_SIGNAL_SECONDS: Final = 0.5
"""How long to wait at a time: a signal that arrives just as Python starts to wait is handled only after that wait."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int | None = None
) -> Iterator[Result]:
    """Applies a function to items in threads and yields the results in the items' order.

    At most `ahead` results (by default twice the workers) are in progress or waiting. An exception from an item or the
    function is raised at its position in the order, after the threads have finished. After Ctrl-C, or if the caller
    stops iterating, the threads are abandoned, because one may be waiting for a bucket that does not respond.
    """
    ahead = ahead or 2 * workers
    under_way: deque[Future[Result]] = deque()
    patient = True
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for future in _submitted(pool, function, items):
            under_way.append(future)
            if len(under_way) >= ahead:
                yield result_of(under_way.popleft())
        while under_way:
            yield result_of(under_way.popleft())
    except (KeyboardInterrupt, GeneratorExit):
        patient = False
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)


def result_of(future: Future[Result]) -> Result:
    """`Future.result`, but Ctrl-C and SIGTERM interrupt the wait."""
    while not future.done():
        wait((future,), timeout=_SIGNAL_SECONDS)
    return future.result()


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Future[Result]]:
    try:
        for item in items:
            yield pool.submit(function, item)
    except Exception as error:  # noqa: BLE001  (raised at its position, after the results before it)
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed
