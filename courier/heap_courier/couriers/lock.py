"""The lock of a courier: one process at a time works with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from heap_courier.couriers.context import Context
from heap_courier.errors import BusyCourierError, SetupError
from heap_courier.files.fileset import UNPACKED
from heap_courier.files.work_folder import create
from heap_courier.project.model import Courier


@contextmanager
def locked(context: Context, courier: Courier) -> Iterator[None]:
    """One run of a courier at a time; the lock goes with the process, however that ends.

    Raises:
        BusyCourierError: another run has it.
        SetupError: the project folder cannot be written.
    """
    folder = context.work(courier)
    create(folder)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BusyCourierError(
            f"Another run of the courier `{courier.name}` is in progress: try again when it has finished."
        ) from None
    except OSError as fault:
        raise SetupError(f"The file `{folder / 'lock'}` cannot be opened: {fault.strerror}.") from None
    try:
        yield
    finally:
        shutil.rmtree(folder / "files" / UNPACKED, ignore_errors=True)
        lock.release()
