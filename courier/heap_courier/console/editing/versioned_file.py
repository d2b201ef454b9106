"""A file that several people may edit: replaced as a whole, and only if it has not changed since it was read."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from heap_courier.errors import SetupError

_writing: Final = threading.Lock()  # across the requests of this process


class ChangedFileError(SetupError):
    """A file has changed since it was read, and was not overwritten."""


def version_of(path: Path) -> str:
    """A digest of a file's content; empty if there is no file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SetupError(f"`{path}` cannot be read: {error.strerror}.") from error


def replace_file(path: Path, content: bytes, version: str) -> None:
    """Replaces a file, or creates it if the version is empty. A crash leaves the old file or the new one.

    Raises:
        ChangedFileError: the file no longer has this version.
        SetupError: it cannot be written.
    """
    target = path.resolve()  # a link stays a link
    with _writing:
        if version_of(target) != version:
            raise ChangedFileError(
                f"`{path}` was changed by someone else in the meantime, and nothing was written: compare your entries "
                "with the current file, then save again."
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = target.stat().st_mode & 0o777 if version else None
            descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o666 & ~_umask() if mode is None else mode)  # noqa: PTH101  (a text)
                os.replace(temporary, target)  # noqa: PTH105
            finally:
                with suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108
        except OSError as error:
            raise SetupError(
                f"`{path}` cannot be written: {error.strerror}. Check its permissions and the free disk space."
            ) from error


def remove_file(path: Path, version: str) -> None:
    """Removes a file; if it is a link, only the link and not its target.

    Raises:
        ChangedFileError: the file no longer has this version, or no longer exists.
        SetupError: it cannot be removed.
    """
    with _writing:
        if version_of(path) != version:
            raise ChangedFileError(f"`{path}` was changed by someone else in the meantime, and was not removed.")
        try:
            path.unlink()
        except OSError as error:
            raise SetupError(f"`{path}` cannot be removed: {error.strerror}. Check its permissions.") from error


def _umask() -> int:
    """The umask of the process. It can only be read by setting it; only `replace_file` does so, one call at a time."""
    umask = os.umask(0)
    os.umask(umask)
    return umask
