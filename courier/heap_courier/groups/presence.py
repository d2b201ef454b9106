"""Whether `heap-courier group serve` keeps the schedules of a project: a lock that it holds while its process lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

_PATIENCE: Final = 1.0  # seconds that a daemon waits for someone who looks
_GLANCE: Final = 0.03  # seconds to wait for someone else who looks
_LOOKING: Final = threading.Lock()  # two that look at the same time would take each other for a daemon


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that runs now.

    Attributes:
        since: when it started; None: it does not say.
    """

    since: datetime | None


@contextmanager
def present(folder: Path, now: datetime) -> Iterator[Callable[[], None]]:
    """Makes a daemon visible for the length of a block.

    What it yields is called now and then: another daemon of the same project may have been there first, and end. One
    that cannot write in the folder is not seen.

    Args:
        folder: of the project.
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
    """The daemon of a project on this machine, or another one that shares its folder; None: there is none."""
    path = _lock_of(folder)
    with _LOOKING:
        if not path.exists():
            return None
        try:
            with FileLock(path, timeout=_GLANCE, poll_interval=_GLANCE / 3):
                return None
        except Timeout:
            pass
        except OSError:  # such as a folder in which nobody may write, so that no daemon can have the lock
            return None
    with suppress(OSError, ValueError):
        return Daemon(datetime.fromisoformat(_since_of(folder).read_text(encoding="utf-8")))
    return Daemon(None)


def _lock_of(folder: Path) -> Path:
    """Beside the folders of the couriers, whose names do not begin like this."""
    return folder / ".heap-courier" / "_daemon.lock"


def _since_of(folder: Path) -> Path:
    return folder / ".heap-courier" / "_daemon.since"
