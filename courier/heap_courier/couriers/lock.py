"""The locks of a courier: only one process at a time can run it, and only one can check it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from heap_courier.couriers.context import Context
from heap_courier.errors import BusyCourierError, SetupError
from heap_courier.files.fileset import UNPACKED
from heap_courier.files.work_folder import create
from heap_courier.project.model import Courier


@contextmanager
def locked(context: Context, courier: Courier) -> Iterator[None]:
    """Holds the lock for runs of a courier; the system releases it if the process dies.

    Raises:
        BusyCourierError: another run holds it.
        SetupError: the project folder is not writable.
    """
    folder = context.work(courier)
    with _alone(folder / "lock", f"run of the courier `{courier.name}`"):
        try:
            yield
        finally:
            shutil.rmtree(folder / "files" / UNPACKED, ignore_errors=True)


@contextmanager
def checked(context: Context, courier: Courier) -> Iterator[Path]:
    """Holds the lock for checks of a courier, even during a run; yields a folder for files, removed at the end.

    Raises:
        BusyCourierError: another check holds it.
        SetupError: the project folder is not writable.
    """
    folder = context.work(courier) / "check"
    with _alone(folder.with_name("check.lock"), f"check of the courier `{courier.name}`"):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(path: Path, what: str) -> Iterator[None]:
    create(path.parent)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BusyCourierError(f"Another {what} is in progress: try again when it has finished.") from None
    except OSError as fault:
        raise SetupError(f"The file `{path}` cannot be opened: {fault.strerror}.") from None
    try:
        yield
    finally:
        lock.release()
