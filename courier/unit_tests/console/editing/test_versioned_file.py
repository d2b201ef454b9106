"""Files that several people edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from heap_courier.console.editing.versioned_file import ChangedFileError, replace_file, version_of
from heap_courier.errors import SetupError


def test_an_unchanged_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file"
    replace_file(path, b"one", "")
    path.chmod(0o640)
    replace_file(path, b"two", version_of(path))
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("now", [b"other", None])
def test_a_file_that_was_changed_is_not_overwritten(tmp_path: Path, now: bytes | None) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    version = version_of(path)
    if now is None:
        path.unlink()
    else:
        path.write_bytes(now)
    with pytest.raises(ChangedFileError, match="changed by someone else"):
        replace_file(path, b"two", version)
    assert (path.read_bytes() if path.exists() else None) == now


def test_an_existing_file_is_not_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    with pytest.raises(ChangedFileError):
        replace_file(tmp_path / "file", b"two", "")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"one")
    (tmp_path / "link").symlink_to("real")
    replace_file(tmp_path / "link", b"two", version_of(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"two"


def test_a_folder_that_cannot_be_created_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupError, match="cannot be"):
        replace_file(tmp_path / "file" / "below", b"", "")
