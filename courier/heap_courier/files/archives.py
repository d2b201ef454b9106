"""Extracts the members of archives into files.

The extension decides the kind of archive. A member's name is never used as a path, so no member can be written outside
its folder.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from heap_courier.errors import CourierError, SetupError, UnreadableFileError, unexpected_failure
from heap_courier.files.room import Meter, Room
from heap_courier.formats.gzipped import Gzipped, TooLargeError, too_large

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
_ABOUT_THE_NEXT: Final = frozenset(
    [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE]
)  # headers that carry the name, or other attributes, of the next member
_BAD_HEADERS: Final = (tarfile.EmptyHeaderError, tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]

Member = tuple[str, Callable[[], Any]]  # a name, and how to open it


def unpack(archive: Path, name: str, place: Callable[[str], Path | None], room: Room) -> tuple[str, ...]:
    """Extracts members of an archive into files, block by block.

    Args:
        archive: a zip, tar, tgz (or tar.gz) archive, or a single gzipped file.
        name: the name of the archive: its extension decides the kind, and errors quote it.
        place: returns the file for a member, or None to skip it. The member of a gzipped file has the name of the
            archive without `.gz`.
        room: how much disk space may be used.

    Returns:
        The sorted names of the extracted members. Folders, links and the files that macOS adds are skipped.

    Raises:
        UnreadableFileError: the archive is damaged, encrypted, exceeds a limit, or does not match its extension. No
            extracted file is left behind.
        SetupError: the files cannot be written to disk.
    """
    unpacked: dict[str, Path] = {}
    try:
        _unpack(archive, name, place, room, unpacked)
    except BaseException as error:
        for to in unpacked.values():
            with suppress(OSError):  # the first error is the one to show
                to.unlink(missing_ok=True)
        if isinstance(error, Exception):
            raise _explained(error, name, room.limits.unpacked) from None
        raise
    return tuple(sorted(unpacked))


def _unpack(
    archive: Path, name: str, place: Callable[[str], Path | None], room: Room, unpacked: dict[str, Path]
) -> None:
    if archive.stat().st_size == 0:  # Python's gzip accepts an empty file as complete
        raise EOFError
    meter = Meter(name, room)
    for member, opened in _members(archive, name, room.limits.unpacked):
        if not _hidden(member) and (to := place(member)):
            unpacked[member] = to
            with opened() as content, to.open("wb") as file:
                while block := content.read(_BLOCK):
                    meter.add(len(block), to.parent)
                    file.write(block)


def _explained(error: Exception, name: str, most: int) -> CourierError:
    if isinstance(error, CourierError):
        return error
    if isinstance(error, TooLargeError):
        return too_large(name, most)
    if isinstance(error, _DAMAGE):
        return UnreadableFileError(
            f"The archive `{name}` cannot be unpacked: it is damaged, or its extension is wrong; create it again."
        )
    if isinstance(error, OSError):
        return SetupError(f"The archive `{name}` cannot be unpacked to disk: {error.strerror or error}.")
    return unexpected_failure(name, error)


class _StrictHeader(tarfile.TarInfo):
    """A header whose damage is always an error: tarfile mistakes a damaged later header for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictHeader:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _ABOUT_THE_NEXT and header.size > _BLOCK:  # tarfile reads it into memory as a whole
            raise tarfile.ReadError
        return header

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictHeader:
        try:
            return super().fromtarfile(tarfile_)
        except _BAD_HEADERS as error:
            raise tarfile.ReadError(str(error)) from error


def _members(archive: Path, name: str, most: int) -> Iterator[Member]:
    ending = name.lower()
    if ending.endswith(".zip"):
        yield from _in_zip(archive, name)
    elif ending.endswith((".tar", ".tgz", ".tar.gz")):
        opened: Any = archive.open("rb") if ending.endswith(".tar") else Gzipped(archive, most)
        with opened as whole, tarfile.open(fileobj=whole, mode="r|", tarinfo=_StrictHeader) as tar:
            while entry := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every member that it has read
                if entry.isreg():
                    yield entry.name, partial(tar.extractfile, entry)
            while whole.read(_BLOCK):  # to the end, to verify gzip's checksum, which tarfile does not
                pass
    elif ending.endswith(".gz"):
        yield PurePosixPath(name).name[: -len(".gz")], partial(Gzipped, archive, most)
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
                    f"The archive `{name}` is encrypted, which is not supported: create it again without encryption."
                )
            member = entry.filename.replace("\\", "/")  # some Windows programs write backslashes
            if names[member] > 1:
                raise UnreadableFileError(
                    f"The archive `{name}` has {names[member]} members named `{member}`, of which only one could be "
                    "read; create it again with distinct names."
                )
            if not member.endswith("/"):
                yield member, partial(zipped.open, entry)


def _hidden(member: str) -> bool:
    """Whether a member is a file that an operating system adds, such as `.DS_Store`."""
    parts = PurePosixPath(member).parts
    return not parts or parts[0] == "__MACOSX" or parts[-1].startswith(".")
