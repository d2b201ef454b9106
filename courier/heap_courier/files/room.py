"""Disk space, checked before it is used: a full disk stops everything else on a machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heap_courier.documents.wording import size
from heap_courier.errors import UnreadableFileError
from heap_courier.formats.gzipped import too_large
from heap_courier.project.model import Limits

_LOOK_AFTER: Final = 64_000_000  # bytes written between two checks of the disk


def free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Room:
    """How much disk space files may use.

    Attributes:
        limits: of the project.
        free: queries the disk.
    """

    limits: Limits
    free: Callable[[Path], int] = free_space

    def expect(self, folder: Path, needed: int, name: str) -> None:
        """Makes sure that a file of `needed` bytes fits into a folder; `name` is what errors call it.

        Raises:
            UnreadableFileError: there would be less free than the limits say. Smaller files may still fit.
        """
        left = self.free(folder)
        if left - needed < self.limits.free_disk:
            raise UnreadableFileError(
                f"`{name}` needs {size(needed)} of disk space, but `{folder}` has {size(left)}, of which "
                f"`limits.free-disk` keeps {size(self.limits.free_disk)} free: make room, or lower that limit."
            )


USUAL: Final = Room(Limits())
"""The default of a project."""


class Meter:
    """Counts the bytes that an archive unpacks to, and enforces the limits."""

    def __init__(self, name: str, room: Room) -> None:
        self._name = name
        self._room = room
        self._total = 0
        self._looked_at = -_LOOK_AFTER

    def add(self, more: int, folder: Path) -> None:
        """Counts bytes that are about to be written into a folder.

        Raises:
            UnreadableFileError: it unpacks to more than it may, or leaves too little of the disk.
        """
        if self._total - self._looked_at >= _LOOK_AFTER:
            self._room.expect(folder, more, self._name)
            self._looked_at = self._total
        self._total += more
        if self._total > self._room.limits.unpacked:
            raise too_large(self._name, self._room.limits.unpacked)
