"""Changes to the project file are detected."""

from __future__ import annotations

from pathlib import Path

from heap_courier.project.watch import ProjectWatch


def test_a_change_is_noticed_once(tmp_path: Path) -> None:
    path = tmp_path / "heap-courier.yaml"
    path.write_text("feeds: feeds")
    watch = ProjectWatch(tmp_path)
    assert not watch.has_changed()

    path.write_text("feeds: other")
    assert watch.has_changed()
    assert not watch.has_changed()

    path.unlink()
    assert watch.has_changed()
