"""Notices that heap-courier.yaml was changed after it was read."""

from __future__ import annotations

from pathlib import Path

from heap_courier.project.reader import FILE_NAME


class ProjectWatch:
    """Compares the project file with what it was."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._seen = self._content()

    def news(self) -> str | None:
        """A sentence if the file was changed since the last time, else None."""
        content = self._content()
        if content == self._seen:
            return None
        self._seen = content
        return f"`{self._path}` was changed: restart `heap-courier group serve` for the change to take effect."

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None
