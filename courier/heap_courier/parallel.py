"""Work on several cores, results in order, memory bounded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

WORKERS: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Threads that decode: one for each core that may be used."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int | None = None
) -> Iterator[Result]:
    """Applies a function to items by threads and yields the results in the items' order.

    At most `ahead` results (twice the workers, where it is not given) are under way or waiting. An exception of an
    item or of the function passes at its place in the order; the threads have ended then. After Ctrl-C, or when nobody
    takes results any more, they are left to themselves: one may wait for a bucket that does not answer.
    """
    ahead = ahead or 2 * workers
    under_way: deque[Future[Result]] = deque()
    patient = True
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for future in _submitted(pool, function, items):
            under_way.append(future)
            if len(under_way) >= ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except (KeyboardInterrupt, GeneratorExit):
        patient = False
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Future[Result]]:
    try:
        for item in items:
            yield pool.submit(function, item)
    except Exception as error:  # noqa: BLE001  (it passes when its turn comes, after the results before it)
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed
