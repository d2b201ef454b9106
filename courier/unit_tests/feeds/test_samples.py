"""Sample files are kept, their formats recognised, and feeds proposed from them."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from heap_courier.errors import SetupError
from heap_courier.feeds.model import Sample
from heap_courier.feeds.reader import read_feed
from heap_courier.feeds.samples import file_of, keep_sample, path_of, propose_feed, sample_of
from heap_courier.feeds.writer import write_feed
from heap_courier.files.fileset import FetchedFile
from heap_courier.formats.file_format import FileFormat
from heap_courier.project.model import Courier, DefaultCredential, Project, WarehouseSettings

PIPES = FileFormat("text/csv", 0, "|")
LAND_AS = {"file/tag": "users", "file/content-type": "text/csv", "file/header-rows": 0, "file/separator": "|"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    entities = [
        {"object/type": "file", "object/file-pattern": "'in/users-'yyyy-MM-dd'.txt'", "object/land-as": LAND_AS},
        {
            "object/type": "archive",
            "object/file-pattern": "'in/all-'yyyy-MM-dd'.zip'",
            "archive/contents": {"users_*.txt": {"subobject/land-as": LAND_AS}},
        },
    ]
    (tmp_path / "entities.json").write_text(json.dumps(entities))
    courier = Courier(
        "Heap", DefaultCredential(), "bucket", "", None, None, tmp_path / "entities.json", tmp_path / "operations.json"
    )
    warehouse = WarehouseSettings("duckdb", tmp_path / "heap.duckdb")
    return Project(tmp_path, warehouse, {"Heap": courier}, tmp_path / "feeds", {})


def fetched(folder: Path, key: str) -> FetchedFile:
    path = folder / "fetched"
    path.write_text("1|a\n2|b\n")
    return FetchedFile(path, key, "users", None, PIPES, 8, datetime(2026, 11, 21, tzinfo=timezone.utc))


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("in/users-2026-11-21.txt", "in/users-2026-11-21.txt"),
        ("in/all.zip!dir/users_1.txt", "in/all.zip/dir/users_1.txt"),
        ("../../a/./b", "a/b"),
        ("/etc//x", "etc/x"),
    ],
)
def test_a_sample_is_kept_under_its_name_in_the_bucket_and_never_elsewhere(tmp_path: Path, key: str, kept: str) -> None:
    file = keep_sample(tmp_path / "samples", fetched(tmp_path, key))

    assert file.path == tmp_path / "samples" / kept
    assert file.path.read_text() == "1|a\n2|b\n"


@pytest.mark.parametrize("has_room", [True, False])
def test_a_sample_that_is_moved_to_another_disk_appears_only_once_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_room: bool
) -> None:
    older = keep_sample(tmp_path / "samples", fetched(tmp_path, "users.txt"))
    older.path.write_text("older\n")
    move, copy = os.rename, shutil.copyfile

    def on_one_disk(source: Path, to: Path) -> None:
        if Path(source).parent != Path(to).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        move(source, to)

    def copied(source: Path, to: Path) -> None:
        copy(source, to)
        if not has_room:
            Path(to).write_text("1|a\n")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, on_one_disk)
        monkeypatch.setattr(Path, name, on_one_disk)
    for name in ("copyfile", "copy2"):
        monkeypatch.setattr(shutil, name, lambda source, to, **_: copied(source, to))
    file = fetched(tmp_path, "users.txt")

    with nullcontext() if has_room else pytest.raises(OSError, match="No space"):
        keep_sample(tmp_path / "samples", file)

    assert older.path.read_text() == ("1|a\n2|b\n" if has_room else "older\n")
    assert list((tmp_path / "samples").iterdir()) == [older.path]
    assert file.path.exists() != has_room


def test_a_sample_with_two_tags_is_kept_once(tmp_path: Path) -> None:
    file = fetched(tmp_path, "users.txt")

    kept = [keep_sample(tmp_path / "samples", each) for each in (file, replace(file, tag="others"))]

    assert [each.path for each in kept] == [tmp_path / "samples" / "users.txt"] * 2
    assert kept[0].path.read_text() == "1|a\n2|b\n"


@pytest.mark.parametrize(
    ("keys", "kept"),
    [(("x/a.csv", "x/a.csv/b.csv"), "x/~a.csv/b.csv"), (("x/a.csv/b.csv", "x/a.csv"), "x/~a.csv")],
)
def test_a_sample_whose_name_is_also_a_folder_gets_another_name(
    tmp_path: Path, keys: tuple[str, str], kept: str
) -> None:
    for _ in range(2):
        first, second = (keep_sample(tmp_path / "samples", fetched(tmp_path, key)) for key in keys)

        assert first.path == tmp_path / "samples" / keys[0]
        assert second.path == tmp_path / "samples" / kept
        assert first.path.is_file()
        assert second.path.is_file()


@pytest.mark.parametrize("key", ["in/users-2026-11-21.txt", "in/all-2026-11-21.zip!users_1.txt"])
def test_a_fetched_sample_has_the_format_of_its_entity(project: Project, key: str) -> None:
    file = keep_sample(project.folder / "samples" / "Heap", fetched(project.folder, key))

    assert sample_of(project, file.path, None).format == PIPES


@pytest.mark.parametrize(
    ("name", "content_type", "header_rows"),
    [
        ("u.avro", "application/avro", 1),
        ("U.AVRO", "application/avro", 1),
        ("u.csv.gz", "text/csv", 1),
        ("u.dat", "text/csv", 0),
        ("u.tsv", "text/tab-separated-values", 1),
        ("u.parquet", "application/x-parquet", 1),
        ("u.jsonl", "application/x-ndjson", 1),
        ("u.json", "application/json", 1),
    ],
)
def test_any_other_file_has_the_format_that_its_name_suggests(
    project: Project, name: str, content_type: str, header_rows: int
) -> None:
    path = project.folder / name
    path.touch()

    assert sample_of(project, path, None) == Sample(name, FileFormat(content_type, header_rows))


def test_a_given_format_wins(project: Project) -> None:
    path = project.folder / "u.csv"
    path.touch()

    assert sample_of(project, path, PIPES).format == PIPES


def test_a_name_that_suggests_no_format_needs_a_content_type(project: Project) -> None:
    (project.folder / "users").touch()

    with pytest.raises(SetupError, match="is not clear from its name: set --content-type"):
        sample_of(project, project.folder / "users", None)
    with pytest.raises(SetupError, match=r"There is no file .*heap-courier sample"):
        sample_of(project, project.folder / "none.avro", None)


def test_a_feed_is_proposed_from_the_rows(project: Project) -> None:
    path = project.folder / "u.csv.gz"
    path.write_bytes(gzip.compress(b"id,email\n1,a@example.com\n2,b@example.com\n"))

    feed = propose_feed(project, "Heap:Users", sample_of(project, path, None)).feed

    assert (feed.domain_table, [field.name for field in feed.fields], feed.primary_key) == (
        "Heap:Users",
        ["id", "email"],
        ("id",),
    )
    assert file_of(project, feed).path == path
    assert propose_feed(project, "Heap:Users", sample_of(project, path, None)).feed.id != feed.id


@pytest.mark.parametrize("name", ["Users", ":Users", "Heap:", " : "])
def test_a_domain_table_has_a_source_and_a_name(project: Project, name: str) -> None:
    with pytest.raises(SetupError, match="is not a domain table name: write SOURCE:NAME, such as Heap:Users"):
        propose_feed(project, name, Sample("u.csv", PIPES))


def test_a_new_feed_has_its_own_file(project: Project) -> None:
    path = project.folder / "u.csv"
    path.write_text("id\n1\n")
    feed = propose_feed(project, "Heap:Sign Ups", sample_of(project, path, None)).feed

    assert path_of(project, feed) == project.feeds / "heap-sign-ups.yaml"
    write_feed(feed, project.feeds / "other.yaml")
    with pytest.raises(SetupError, match="`HEAP:sign ups` already exists"):
        path_of(project, replace(feed, source="HEAP", name="sign ups"))


def test_a_missing_sample_is_reported(project: Project) -> None:
    path = project.folder / "u.csv"
    path.write_text("id\n1\n")
    feed = propose_feed(project, "Heap:Users", sample_of(project, path, None)).feed
    path.unlink()

    with pytest.raises(SetupError, match=r"no longer exists: fetch it again"):
        file_of(project, feed)
    with pytest.raises(SetupError, match=r"has no `sample`"):
        file_of(project, replace(feed, sample=None))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".dat"])
@pytest.mark.parametrize("separator", [";", "|", "\t"])
def test_another_separator_is_recognised(project: Project, ending: str, separator: str) -> None:
    content = f'id{separator}name\n1{separator}"a{separator}b, c"\n2{separator}1,5\n'.encode()
    path = project.folder / f"u{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)

    assert sample_of(project, path, None).format.separator == separator


@pytest.mark.parametrize("character", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_character_that_ends_no_line_does_not_hide_the_separator(project: Project, character: str) -> None:
    """Python's text methods break a line there; a delimited file does not."""
    path = project.folder / "u.csv"
    path.write_text(f'id;"Revenue, ""USD"""\n{character};2\n', encoding="utf-8")
    assert sample_of(project, path, None).format.separator == ";"


@pytest.mark.parametrize("content", ["id,a;b\n1,c;d\n", "id\n1;2\n", "id,a\n1,b,c;d\n", ""])
def test_the_separator_of_the_content_type_stays_unless_another_fits_better(project: Project, content: str) -> None:
    path = project.folder / "u.csv"
    path.write_text(content)

    assert sample_of(project, path, None).format.separator is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("u.csv", FileFormat("text/csv", 1, "#")),
        ("u.dat", FileFormat("text/csv", 0, "#")),
        ("u.txt", FileFormat("text/csv", 1, "#")),
        ("u.tsv", FileFormat("text/tab-separated-values", 1, "#")),
    ],
)
def test_a_separator_implies_delimited_text(project: Project, name: str, expected: FileFormat) -> None:
    path = project.folder / name
    path.write_text("id#name\n")

    assert sample_of(project, path, None, separator="#", header_rows=None).format == expected


def test_a_separator_for_a_file_without_separators_is_refused(project: Project) -> None:
    path = project.folder / "u.avro"
    path.touch()

    with pytest.raises(SetupError, match=r"application/avro, and --separator applies to delimited text only"):
        sample_of(project, path, None, separator="#")


@pytest.mark.parametrize("name", ["Heap:" + "x" * 70, "Heap:a\tb"])
def test_a_name_that_no_feed_can_have_is_refused_before_the_feed_is_written(project: Project, name: str) -> None:
    path = project.folder / "u.csv"
    path.write_text("id\n1\n")

    with pytest.raises(SetupError, match="cannot become a feed"):
        propose_feed(project, name, sample_of(project, path, None))


@pytest.mark.parametrize("encoding", ["utf-16", "windows-1252", "utf-8-sig"])
def test_a_sample_in_another_encoding_is_read(project: Project, encoding: str) -> None:
    path = project.folder / "u.csv"
    path.write_text("id;Straße\n1;Zoë\n", encoding=encoding)
    sample = sample_of(project, path, None, encoding=encoding)

    feed = propose_feed(project, "Heap:Users", sample).feed

    assert [field.source for field in feed.fields] == ["id", "Straße"]
    written = project.folder / "feeds" / "u.yaml"
    write_feed(feed, written)
    assert read_feed(written).sample == sample


@pytest.mark.parametrize("key", [f"{'a' * 300}/{'b' * 700}.csv.gz", f"{'é' * 200}/u.csv", f"a/{'é' * 127}x.csv"])
def test_a_sample_whose_key_is_too_long_for_a_file_name_is_kept_under_a_shorter_one(tmp_path: Path, key: str) -> None:
    other = key.replace("/", "x/", 1)
    first, second = (keep_sample(tmp_path / "samples", fetched(tmp_path, each)) for each in (key, other))
    assert first.path.is_file()
    assert second.path.is_file()
    assert first.path != second.path
    assert first.path.suffixes == Path(key).suffixes
    assert all(len(part.encode()) <= 255 for part in first.path.parts)
