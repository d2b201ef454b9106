"""Whether `heap-courier group serve` is running for a project: a lock that the daemon holds while its process lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

_PATIENCE: Final = 1.0  # seconds that a daemon waits for processes that only check the lock
_GLANCE: Final = 0.03  # seconds that a check waits for another check
_LOOKING: Final = threading.Lock()  # two checks at the same time would mistake each other for a daemon


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon.

    Attributes:
        since: when it started, or None if that is not recorded.
    """

    since: datetime | None


@contextmanager
def present(folder: Path, now: datetime) -> Iterator[Callable[[], None]]:
    """Makes this daemon visible to `daemon_of` while the block runs.

    Yields a function to call from time to time: it takes the lock over if another daemon of the same project held it
    first and has stopped. A daemon that cannot write to the folder stays invisible.

    Args:
        folder: the project's folder.
        now: when the daemon started.
    """
    lock = FileLock(_lock_of(folder), thread_local=False)

    def hold() -> None:
        if lock.is_locked:
            return
        with suppress(OSError):  # Timeout is one: another daemon holds it
            _lock_of(folder).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=_PATIENCE)
            _since_of(folder).write_text(now.isoformat(), encoding="utf-8")

    hold()
    try:
        yield hold
    finally:
        lock.release()


def daemon_of(folder: Path) -> Daemon | None:
    """The daemon of a project, on this machine or one that shares the folder; None if there is none."""
    path = _lock_of(folder)
    with _LOOKING:
        if not path.exists():
            return None
        try:
            with FileLock(path, timeout=_GLANCE, poll_interval=_GLANCE / 3):
                return None
        except Timeout:
            pass
        except OSError:  # such as a read-only folder, in which no daemon can hold the lock
            return None
    with suppress(OSError, ValueError):
        return Daemon(datetime.fromisoformat(_since_of(folder).read_text(encoding="utf-8")))
    return Daemon(None)


def _lock_of(folder: Path) -> Path:
    """Next to the couriers' folders, whose names cannot start with an underscore."""
    return folder / ".heap-courier" / "_daemon.lock"


def _since_of(folder: Path) -> Path:
    return folder / ".heap-courier" / "_daemon.since"
