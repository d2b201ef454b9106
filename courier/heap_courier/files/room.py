"""Checks disk space before it is used: a full disk would affect everything else on the machine."""

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

_CHECK_EVERY: Final = 64_000_000  # bytes written between two checks of the disk


def free_space(folder: Path) -> int:
    """The free bytes on a folder's disk."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Room:
    """How much disk space files may use.

    Attributes:
        limits: the project's limits.
        free: returns the free bytes on a folder's disk.
    """

    limits: Limits
    free: Callable[[Path], int] = free_space

    def expect(self, folder: Path, needed: int, name: str) -> None:
        """Checks that a file of `needed` bytes fits into a folder; errors call it `name`.

        Raises:
            UnreadableFileError: less disk space than the limit requires would be left. Smaller files may still fit.
        """
        left = self.free(folder)
        if left - needed < self.limits.free_disk:
            raise UnreadableFileError(
                f"`{name}` needs {size(needed)} of disk space, but `{folder}` has {size(left)}, of which "
                f"`limits.free-disk` keeps {size(self.limits.free_disk)} free: free some space, or lower that limit."
            )


USUAL: Final = Room(Limits())
"""Disk space with a project's default limits."""


class Meter:
    """Counts the bytes that an archive unpacks to, and enforces the project's limits."""

    def __init__(self, name: str, room: Room) -> None:
        self._name = name
        self._room = room
        self._total = 0
        self._checked_at = -_CHECK_EVERY

    def add(self, more: int, folder: Path) -> None:
        """Counts bytes that are about to be written into a folder.

        Raises:
            UnreadableFileError: the archive unpacks to more than its limit, or would leave too little disk space.
        """
        if self._total - self._checked_at >= _CHECK_EVERY:
            self._room.expect(folder, more, self._name)
            self._checked_at = self._total
        self._total += more
        if self._total > self._room.limits.unpacked:
            raise too_large(self._name, self._room.limits.unpacked)
