"""A project file that is changed under a daemon."""

from __future__ import annotations

from pathlib import Path

from heap_courier.project.watch import ProjectWatch


def test_a_change_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "heap-courier.yaml"
    path.write_text("feeds: feeds")
    watch = ProjectWatch(tmp_path)
    assert watch.news() is None

    path.write_text("feeds: other")
    assert "restart `heap-courier group serve`" in str(watch.news())
    assert watch.news() is None

    path.unlink()
    assert "was changed" in str(watch.news())
