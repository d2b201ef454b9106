"""Archives: what lies in them, brought into files.

They are told apart by the end of their name. A member's name never becomes a path, so none can lead out of a folder.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from heap_courier.errors import SetupError, UnreadableFileError

_DAMAGE: Final = (
    EOFError,
    NotImplementedError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
_BLOCK: Final = 1 << 20
_BAD_HEADERS: Final = (tarfile.EmptyHeaderError, tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]

Member = tuple[str, Callable[[], Any]]  # a name, and how to open it


def unpack(archive: Path, name: str, place: Callable[[str], Path | None]) -> tuple[str, ...]:
    """Brings members of an archive into files, as a stream.

    Args:
        archive: a zip, tar, tgz (or tar.gz), or a single file in gzip.
        name: whose end says which, and what errors call it.
        place: the file for a member, or None where it is not wanted. A single file in gzip has the name of its archive
            without `.gz`.

    Returns:
        The names of those that were brought, sorted. Folders, links, and what macOS adds are no members.

    Raises:
        UnreadableFileError: it is damaged, encrypted, or no archive of the kind that its name says.
        SetupError: there is no room for the files.
    """
    brought = set()
    try:
        if archive.stat().st_size == 0:  # which Python's gzip takes for a whole one
            raise EOFError
        for member, opened in _members(archive, name):
            if not _hidden(member) and (to := place(member)):
                with opened() as content, to.open("wb") as file:
                    shutil.copyfileobj(content, file, _BLOCK)
                brought.add(member)
    except _DAMAGE:
        raise UnreadableFileError(
            f"The archive `{name}` cannot be unpacked: it is damaged, or its extension is wrong; create it again."
        ) from None
    except OSError as fault:
        raise SetupError(f"The archive `{name}` cannot be unpacked to disk: {fault.strerror or fault}.") from None
    return tuple(sorted(brought))


class _StrictHeader(tarfile.TarInfo):
    """A header whose damage is an error wherever it stands: tarfile takes a damaged later one for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictHeader:
        try:
            return super().fromtarfile(tarfile_)
        except _BAD_HEADERS as error:
            raise tarfile.ReadError(str(error)) from error


def _members(archive: Path, name: str) -> Iterator[Member]:
    ending = name.lower()
    if ending.endswith(".zip"):
        yield from _in_zip(archive, name)
    elif ending.endswith((".tar", ".tgz", ".tar.gz")):
        opened: Callable[..., Any] = Path.open if ending.endswith(".tar") else gzip.open
        with opened(archive, "rb") as whole, tarfile.open(fileobj=whole, mode="r|", tarinfo=_StrictHeader) as tar:
            for entry in tar:
                if entry.isreg():
                    yield entry.name, partial(tar.extractfile, entry)
            while whole.read(_BLOCK):  # to the end, where gzip has its checksum, which tarfile does not look at
                pass
    elif ending.endswith(".gz"):
        yield PurePosixPath(name).name[: -len(".gz")], partial(gzip.open, archive)
    else:
        raise UnreadableFileError(
            f"`{name}` is not a supported archive: its name must end with .zip, .tar, .tgz or .gz."
        )


def _in_zip(archive: Path, name: str) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as zipped:
        names = Counter(entry.filename.replace("\\", "/") for entry in zipped.infolist())
        for entry in zipped.infolist():
            if entry.flag_bits & 1:
                raise UnreadableFileError(
                    f"The archive `{name}` is encrypted, which is not supported: create it without encryption."
                )
            member = entry.filename.replace("\\", "/")  # as some programs on Windows write it
            if names[member] > 1:
                raise UnreadableFileError(
                    f"The archive `{name}` has {names[member]} members named `{member}`, of which only one could be "
                    "read; create it again with distinct names."
                )
            if not member.endswith("/"):
                yield member, partial(zipped.open, entry)


def _hidden(member: str) -> bool:
    """Whether a system put it there by itself."""
    parts = PurePosixPath(member).parts
    return not parts or parts[0] == "__MACOSX" or parts[-1].startswith(".")
