"""The wanted members of archives become files, and nothing else does."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from heap_courier.errors import SetupError, UnreadableFileError
from heap_courier.files.archives import unpack
from heap_courier.files.room import USUAL, Room
from heap_courier.project.model import Limits

FILES = {"users.csv": b"id\n1\n", "data/events.csv": b"id\n2\n" * 100_000, "data/empty.csv": b""}
NOISE = {"__MACOSX/._users.csv": b"private", "data/.DS_Store": b"private"}


def packed(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("data/", b"")
            for member, content in files.items():
                zipped.writestr(member, content)
        return path
    with tarfile.open(path, "w" if name.endswith(".tar") else "w:gz") as tar:
        folder_entry = tarfile.TarInfo("data")
        folder_entry.type = tarfile.DIRTYPE
        tar.addfile(folder_entry)
        for member, content in files.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def unpacked(archive: Path, folder: Path, name: str | None = None, room: Room = USUAL) -> dict[str, bytes]:
    """All extracted files of an archive, by name."""
    folder.mkdir(exist_ok=True)
    places: dict[str, Path] = {}

    def place(member: str) -> Path:
        return places.setdefault(member, folder / str(len(places)))

    extracted = unpack(archive, name or archive.name, place, room)
    assert list(extracted) == sorted(places)
    return {member: places[member].read_bytes() for member in extracted}


@pytest.mark.parametrize("name", ["all.zip", "all.tar", "all.tgz", "all.csv.tar.gz"])
def test_the_files_of_an_archive_are_extracted(tmp_path: Path, name: str) -> None:
    """Without its folders, and without the files that operating systems add."""
    archive = packed(tmp_path, name, {**FILES, **NOISE})
    assert unpacked(archive, tmp_path / "out") == FILES
    assert unpacked(archive, tmp_path / "out", name.upper()) == FILES


def test_a_gzipped_file_has_the_name_of_its_archive(tmp_path: Path) -> None:
    archive = tmp_path / "local"
    archive.write_bytes(gzip.compress(b"id\n1\n"))
    assert unpacked(archive, tmp_path / "out", "exports/users.csv.gz") == {"users.csv": b"id\n1\n"}


@pytest.mark.parametrize("name", ["all.zip", "all.tgz"])
def test_unwanted_members_are_skipped(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path, name, FILES)
    extracted = unpack(archive, name, lambda member: tmp_path / "users" if member == "users.csv" else None, USUAL)
    assert extracted == ("users.csv",)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "users"]


@pytest.mark.parametrize("name", ["all.zip", "all.tar"])
def test_a_name_that_points_outside_the_folder_is_not_used_as_a_path(tmp_path: Path, name: str) -> None:
    """It is only a name."""
    evil = {"../../evil.csv": b"1", "/etc/evil.csv": b"2"}
    assert unpacked(packed(tmp_path, name, evil), tmp_path / "out") == evil
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "out"]


def test_links_are_not_files(tmp_path: Path) -> None:
    """They could expose files outside."""
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            entry = tarfile.TarInfo("passwords.csv")
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
    assert unpacked(tmp_path / "all.tar", tmp_path / "out") == {}


def test_backslashes_in_names_become_slashes(tmp_path: Path) -> None:
    archive = packed(tmp_path, "all.zip", {"data\\users.csv": b"1", "logs\\": b""})
    assert unpacked(archive, tmp_path / "out") == {"data/users.csv": b"1"}


def test_a_name_that_occurs_twice_counts_once(tmp_path: Path) -> None:
    """The later one wins, as in other programs."""
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for content in (b"1", b"2"):
            entry = tarfile.TarInfo("a.csv")
            entry.size = 1
            tar.addfile(entry, io.BytesIO(content))
    assert unpacked(tmp_path / "all.tar", tmp_path / "out") == {"a.csv": b"2"}


NOISY = {"a.csv": os.urandom(50_000), "b.csv": os.urandom(50_000)}


@pytest.mark.parametrize("name", ["all.zip", "all.tar", "all.tgz", "a.csv.gz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
def test_a_damaged_archive_is_reported(tmp_path: Path, name: str, damage: str) -> None:
    whole = gzip.compress(NOISY["a.csv"]) if name == "a.csv.gz" else packed(tmp_path, name, NOISY).read_bytes()
    middle = len(whole) // 2
    if name == "all.tar" and damage == "flipped":
        middle = 3  # in a header: a tar has no checksum of the contents
    damaged = {
        "cut": whole[:-20_000],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
        "other": b"<html>Not found</html>" * 100,
        "empty": b"",
    }[damage]
    archive = tmp_path / "damaged"
    archive.write_bytes(damaged)
    with pytest.raises(UnreadableFileError) as failed:
        unpacked(archive, tmp_path / "out", name)
    assert str(failed.value) == (
        f"The archive `{name}` cannot be unpacked: it is damaged, or its extension is wrong; create it again."
    )


def test_an_encrypted_archive_is_reported(tmp_path: Path) -> None:
    archive = packed(tmp_path, "all.zip", {"a.csv": b"1"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member
    archive.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"The archive `all\.zip` is encrypted, which is not supported"):
        unpacked(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["all.rar", "all.zip.pgp", "users.csv"])
def test_another_kind_of_archive_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1")
    with pytest.raises(UnreadableFileError, match="is not a supported archive: its name must end with"):
        unpacked(tmp_path / name, tmp_path / "out")


def test_an_unwritable_location_is_reported(tmp_path: Path) -> None:
    archive = packed(tmp_path, "all.zip", FILES)
    with pytest.raises(
        SetupError, match=r"The archive `all\.zip` cannot be unpacked to disk: No such file or directory"
    ):
        unpack(archive, "all.zip", lambda _: tmp_path / "none" / "file", USUAL)


def test_two_members_with_the_same_name_in_a_zip_are_an_error(tmp_path: Path) -> None:
    """Only one of them could be read; the rows of the other would be silently dropped."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as zipped:
        zipped.writestr("a.csv", "1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            zipped.writestr("a.csv", "2")
    with pytest.raises(UnreadableFileError, match=r"has 2 members named `a\.csv`"):
        unpacked(tmp_path / "all.zip", tmp_path / "out")


@pytest.mark.parametrize("damage", ["header", "cut", "no end"])
def test_a_tar_with_a_damaged_later_member_is_an_error(tmp_path: Path, damage: str) -> None:
    """Python's tarfile mistakes a damaged header for the end of the archive."""
    archive = packed(tmp_path, "all.tar", {"a.csv": b"1" * 600, "b.csv": b"2" * 600})
    content = bytearray(archive.read_bytes())
    second = content.index(b"b.csv")
    if damage == "header":
        content[second : second + 100] = b"\xff" * 100
    else:
        content = content[: second if damage == "no end" else second + 100]
    archive.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="it is damaged"):
        unpacked(archive, tmp_path / "out")


BOMB = {"a.csv": b"id\n1\n", "b.csv": bytes(3_000_000), "c.csv": b"id\n2\n"}


@pytest.mark.parametrize("name", ["all.zip", "all.tar", "all.tgz", "all.csv.tar.gz"])
def test_an_archive_beyond_its_limit_leaves_nothing(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path, name, BOMB)
    room = Room(Limits(unpacked=2_000_000))
    with pytest.raises(UnreadableFileError, match=f"`{name}` unpacks to more than 2,000,000 bytes: .*limits.unpacked"):
        unpacked(archive, tmp_path / "out", room=room)
    assert list((tmp_path / "out").iterdir()) == []
    assert unpacked(archive, tmp_path / "out") == BOMB


def test_a_gzipped_file_beyond_its_limit_leaves_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "b.csv.gz"
    archive.write_bytes(gzip.compress(BOMB["b.csv"]))
    with pytest.raises(UnreadableFileError, match="unpacks to more than 2,000,000 bytes"):
        unpacked(archive, tmp_path / "out", room=Room(Limits(unpacked=2_000_000)))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("is_wanted", [True, False])
def test_unwanted_members_of_a_tar_count_towards_the_limit(tmp_path: Path, is_wanted: bool) -> None:
    """They must be decompressed to be skipped."""
    archive = packed(tmp_path, "all.tgz", {"b.csv": bytes(3_000_000)})
    with pytest.raises(UnreadableFileError, match="unpacks to more than 2,000,000 bytes"):
        unpack(archive, archive.name, lambda _: tmp_path / "b" if is_wanted else None, Room(Limits(unpacked=2_000_000)))


@pytest.mark.parametrize("name", ["all.zip", "all.tar", "all.tgz"])
def test_an_archive_that_would_fill_the_disk_leaves_nothing(tmp_path: Path, name: str) -> None:
    """The disk is checked before the first bytes, and again at intervals."""
    left = iter([5_000_000_000, 900_000_000])
    members = {"a.csv": b"1", "b.csv": bytes(70_000_000), "c.csv": b"2"}
    archive = packed(tmp_path, name, members)
    room = Room(Limits(), lambda _folder: next(left))
    with pytest.raises(UnreadableFileError, match=f"`{name}` needs .* has 900.0 MB, of which `limits.free-disk` keeps"):
        unpacked(archive, tmp_path / "out", room=room)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_of_megabytes_in_a_tar_is_refused(tmp_path: Path, kind: bytes) -> None:
    """Tarfile would read all of it into memory."""
    entry = tarfile.TarInfo("x")
    entry.type = kind
    entry.size = 5_000_000
    archive = tmp_path / "all.tgz"
    archive.write_bytes(gzip.compress(entry.tobuf() + bytes(5_000_192)))
    with pytest.raises(UnreadableFileError, match="is damaged"):
        unpacked(archive, tmp_path / "out")


def test_memory_does_not_grow_with_the_members_of_a_tar(tmp_path: Path) -> None:
    archive = tmp_path / "all.tar"
    archive.write_bytes(b"".join(tarfile.TarInfo(f"{number}.csv").tobuf() for number in range(20_000)) + bytes(1024))
    tracemalloc.start()
    try:
        assert unpack(archive, "all.tar", lambda _: None, USUAL) == ()
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_any_other_error_is_a_failure_of_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("secret")

    archive = packed(tmp_path, "all.zip", {"a.csv": b"1"})
    monkeypatch.setattr(zipfile.ZipFile, "infolist", fails)
    with pytest.raises(UnreadableFileError, match=r"`all\.zip` cannot be read: it raised an unexpected KeyError"):
        unpacked(archive, tmp_path / "out")
