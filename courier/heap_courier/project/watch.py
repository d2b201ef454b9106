"""Notices that heap-courier.yaml was changed after it was read."""

from __future__ import annotations

from pathlib import Path

from heap_courier.project.reader import FILE_NAME


class ProjectWatch:
    """Compares the project file with what it was."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._seen = self._content()

    def has_changed(self) -> bool:
        """Whether the file was changed since the last time that this was asked."""
        content = self._content()
        before, self._seen = self._seen, content
        return content != before

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None
