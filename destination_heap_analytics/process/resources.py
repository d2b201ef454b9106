"""Failures of the machine that no setting can fix: no file descriptor, thread or memory is left."""

from __future__ import annotations

import errno
from typing import Final

from destination_heap_analytics.errors import SyncStoppedError, TransientError

_REMEDIES: Final = {
    errno.EMFILE: "this process has too many open files. Raise its limit (`ulimit -n`)",
    errno.ENFILE: "this machine has too many open files. Close some, or raise its limit",
    errno.ENOMEM: "this machine is out of memory. Free some, or run fewer processes at a time",
    errno.EAGAIN: "this machine cannot start another thread or process. Raise the limit (`ulimit -u`), or run fewer",
}


def as_stop(failure: BaseException) -> SyncStoppedError | None:
    """The error to report for a failure; None if it is a bug in the connector."""
    if isinstance(failure, SyncStoppedError):
        return failure
    number = failure.errno if isinstance(failure, OSError) else None
    if isinstance(failure, MemoryError):
        number = errno.ENOMEM
    elif isinstance(failure, RuntimeError) and str(failure) == "can't start new thread":
        number = errno.EAGAIN
    remedy = _REMEDIES.get(number) if number else None
    return TransientError(f"Out of resources: {remedy}, and run the command again.") if remedy else None
