"""The folder for files that a courier has fetched and not yet loaded."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from heap_courier.errors import SetupError


def create(folder: Path) -> None:
    """Creates a folder if it does not exist. Raises SetupError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SetupError(f"The folder `{folder}` cannot be created: {fault.strerror}.") from None


def clear(folder: Path, kept: Collection[str] = ()) -> None:
    """Creates a folder, or removes everything in it except the files in `kept`.

    Raises:
        SetupError: the folder cannot be created or written.
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
    """Clears `folder`, and creates a temporary folder in it that exists until the end of the block.

    A thread of an interrupted run, in this process or another one, may still be fetching files. With a folder for each
    run, none reads or removes the files of another.

    Raises:
        SetupError: the folder cannot be created or written.
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
