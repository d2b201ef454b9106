"""The folder of a courier's files on their way from the bucket to the tables."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from heap_courier.errors import SetupError


def create(folder: Path) -> None:
    """Creates a folder, unless it is there already. Raises SetupError if it cannot be created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SetupError(f"The folder `{folder}` cannot be created: {fault.strerror}.") from None


def clear(folder: Path, kept: Collection[str] = ()) -> None:
    """Creates a folder, or removes what earlier runs left in it, except files of these names.

    Raises:
        SetupError: it cannot be created or written.
    """
    create(folder)
    try:
        for left in folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            elif left.name not in kept or left.is_symlink():
                left.unlink(missing_ok=True)
    except OSError as fault:
        raise _not_writable(folder, fault) from None


@contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """A new folder for the length of a block, within `folder`, whose earlier content is removed.

    A thread of an earlier run that was broken off, here or in another process, may still be fetching files: it has
    another folder, so that no run reads or removes the files of another one.

    Raises:
        SetupError: it cannot be created.
    """
    clear(folder)
    try:
        own = Path(tempfile.mkdtemp(dir=folder))
    except OSError as fault:
        raise _not_writable(folder, fault) from None
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _not_writable(folder: Path, fault: OSError) -> SetupError:
    return SetupError(f"The folder `{folder}` cannot be written: {fault.strerror}.")
