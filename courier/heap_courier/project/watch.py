"""Detects changes to heap-courier.yaml."""

from __future__ import annotations

from pathlib import Path

from heap_courier.project.reader import FILE_NAME


class ProjectWatch:
    """Compares the project file with its earlier content."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._seen = self._content()

    def has_changed(self) -> bool:
        """Whether the file has changed since the last call, or since the watch was created."""
        content = self._content()
        before, self._seen = self._seen, content
        return content != before

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None
