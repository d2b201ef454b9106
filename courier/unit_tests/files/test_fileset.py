"""The fileset of a run: which files are found or missing, and that they are fetched completely."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from heap_courier.errors import InterruptedRunError, LaterError, SetupError, UnreadableFileError
from heap_courier.files.bucket import Object
from heap_courier.files.days import Days
from heap_courier.files.entities import ArchiveEntity, FileEntity, Member
from heap_courier.files.file_pattern import parse_pattern
from heap_courier.files.fileset import (
    UNPACKED,
    FetchedFile,
    Found,
    Hit,
    Missing,
    fetch,
    find,
    listed,
    missing_error,
    missing_member_error,
)
from heap_courier.files.room import Room
from heap_courier.formats.file_format import FileFormat
from heap_courier.project.model import Limits

AVRO, CSV, PARQUET = FileFormat("application/avro"), FileFormat("text/csv"), FileFormat("application/x-parquet")
FIRST = date(2020, 4, 10)
THREE_DAYS = Days(FIRST, FIRST + timedelta(days=3))
WRITTEN = datetime(2020, 4, 13, tzinfo=timezone.utc)


class Bucket:
    """A bucket in memory; its objects are given from the oldest to the newest."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.fetched: list[str] = []
        self.failures: dict[str, Exception] = {}

    def __str__(self) -> str:
        return "the bucket `heap`"

    def list(self, prefix: str = "") -> Iterator[Object]:
        for number, key in enumerate(self.objects):
            if key.startswith(prefix):
                content = self.objects[key]
                yield Object(key, len(content), f"{hash(content)}", WRITTEN + timedelta(hours=number))

    def fetch(self, item: Object, to: Path, progress: Callable[[int], None]) -> None:
        key = item.key
        self.fetched.append(key)
        if key in self.failures:
            raise self.failures[key]
        for byte in self.objects[key]:
            progress(len(bytes([byte])))
        to.write_bytes(self.objects[key])


def holding(*keys: str) -> Any:
    return Bucket({key: key.encode() for key in keys})


def file(pattern: str, tag: str = "users", *, optional: bool = False, form: FileFormat = AVRO) -> FileEntity:
    return FileEntity(parse_pattern(pattern), optional, tag, form)


USERS = file("'users-'yyyy-MM-dd'.avro'")
EVENTS = file("'events/'yyyy-MM-dd'/*.avro'", "events")
CALENDAR = file("'calendar.csv'", "calendar", form=CSV)


def keys(found: Found) -> list[tuple[str, str]]:
    return [(str(hit.day), hit.object.key) for hit in found.hits]


def test_the_files_of_the_days_are_found() -> None:
    """Sorted by day, then by key; the end of the range is excluded."""
    bucket = holding(
        "users-2020-04-12.avro",
        "users-2020-04-13.avro",
        "users-2020-04-11.avro",
        "users-2020-04-10.avro",
        "events/2020-04-10/b.avro",
        "events/2020-04-10/a.avro",
        "events/2020-04-11/a.avro",
        "events/2020-04-12/a/b.avro",
        "events/2020-04-12/c.avro",
        "users-2020-04-09.avro",
    )
    found = find(bucket, [USERS, EVENTS], THREE_DAYS)
    assert keys(found) == [
        ("2020-04-10", "events/2020-04-10/a.avro"),
        ("2020-04-10", "events/2020-04-10/b.avro"),
        ("2020-04-10", "users-2020-04-10.avro"),
        ("2020-04-11", "events/2020-04-11/a.avro"),
        ("2020-04-11", "users-2020-04-11.avro"),
        ("2020-04-12", "events/2020-04-12/c.avro"),
        ("2020-04-12", "users-2020-04-12.avro"),
    ]
    assert found.missing == ()
    assert found.size == sum(len(key) for _, key in keys(found))


def test_all_files_are_found_if_no_days_are_given() -> None:
    bucket = holding("users-2021-01-01.avro", "users-2019-12-31.avro", "users-2020.avro", "calendar.csv")
    assert keys(find(bucket, [USERS, CALENDAR], None)) == [
        ("None", "calendar.csv"),
        ("2019-12-31", "users-2019-12-31.avro"),
        ("2021-01-01", "users-2021-01-01.avro"),
    ]


def test_an_invalid_date_stops_a_run_over_all_files() -> None:
    """With an error, before anything is fetched; a run by day never finds that file."""
    bucket = holding("users-2020-04-10.avro", "users-2020-13-10.avro")
    with pytest.raises(SetupError, match=r"`users-2020-13-10.avro` matches .* but `2020-13-10` is not a date"):
        find(bucket, [USERS], None)
    assert find(bucket, [USERS], Days.of(FIRST)).missing == ()


def test_a_file_of_every_day_is_found_once() -> None:
    assert keys(find(holding("calendar.csv"), [CALENDAR], THREE_DAYS)) == [("None", "calendar.csv")]


def test_a_file_of_a_month_is_found_once() -> None:
    """It counts for the first day of the month, whether by day or in a run over all files."""
    monthly = file("'users-'yyyy-MM'.avro'")
    for days in (THREE_DAYS, None):
        assert keys(find(holding("users-2020-04.avro"), [monthly], days)) == [("2020-04-01", "users-2020-04.avro")]


def test_the_parts_of_a_parquet_file_are_found() -> None:
    """One level below the pattern; other files that their writer left there are not parts."""
    bucket = holding(
        *(f"users-2020-04-10.parquet/{name}" for name in ("_SUCCESS", "part-0.snappy.parquet", "a/part-1.parquet")),
        "users-2020-04-11.parquet",
    )
    parquet = file("'users-'yyyy-MM-dd'.parquet'", form=PARQUET)
    expected = [
        ("2020-04-10", "users-2020-04-10.parquet/part-0.snappy.parquet"),
        ("2020-04-11", "users-2020-04-11.parquet"),
    ]
    assert keys(find(bucket, [parquet], None)) == expected
    assert keys(find(bucket, [parquet], THREE_DAYS)) == expected
    assert keys(find(bucket, [file("'users-'yyyy-MM-dd'.parquet'")], Days.of(FIRST))) == []


def test_a_required_file_is_missing_on_each_day() -> None:
    """An optional one never is."""
    optional = file("'events-'yyyy-MM-dd", optional=True)
    found = find(holding("users-2020-04-11.avro"), [USERS, optional, CALENDAR], THREE_DAYS)
    assert keys(found) == [("2020-04-11", "users-2020-04-11.avro")]
    assert found.missing == (
        Missing(USERS.pattern, FIRST, frozenset({USERS.tag})),
        Missing(CALENDAR.pattern, None, frozenset({CALENDAR.tag})),
        Missing(USERS.pattern, FIRST + timedelta(days=2), frozenset({USERS.tag})),
    )


def test_a_required_file_is_missing_in_a_run_over_all_files() -> None:
    assert find(holding("a"), [USERS], None).missing == (Missing(USERS.pattern, None, frozenset({USERS.tag})),)


def test_one_of_several_optional_files_must_exist() -> None:
    """On each day."""
    either = [file("'a-'yyyy-MM-dd", optional=True), file("'b-'yyyy-MM-dd", optional=True)]
    second = FIRST + timedelta(days=1)
    found = find(holding("a-2020-04-10", "b-2020-04-12"), either, THREE_DAYS)
    assert found.missing == tuple(Missing(entity.pattern, second, frozenset({entity.tag})) for entity in either)
    assert find(holding("a-2020-04-10", "b-2020-04-11"), either, Days.of(FIRST)).missing == ()
    assert len(find(holding(), either, None).missing) == 2


def test_a_missing_file_is_reported_with_the_newest_similar_one() -> None:
    bucket = holding("users-2020-04-08.avro", "users-2020-04-09.avro", "calendar.csv")
    missing = find(bucket, [USERS], Days.of(FIRST)).missing
    assert str(missing_error(bucket, missing)) == (
        "No file matches 'users-'yyyy-MM-dd'.avro' on 2020-04-10 in the bucket `heap`, and the newest similar file is "
        "`users-2020-04-09.avro`: wait for the file, load another day, or fix the pattern."
    )


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (["events/2020-04-01/a.avro"], "the newest similar file is `events/2020-04-01/a.avro`"),
        (["events/x.csv", "other"], "the newest similar file is `events/x.csv`"),
        (["other"], "the newest similar file is `other`"),
        ([], "there is no file at all"),
    ],
)
def test_the_suggested_file_may_be_in_another_folder(there: list[str], words: str) -> None:
    bucket = holding(*there)
    days = Days(FIRST, FIRST + timedelta(days=30))
    sentence = str(missing_error(bucket, find(bucket, [EVENTS, CALENDAR], days).missing))
    assert words in sentence
    assert "on 2020-04-11 and 28 more in the bucket" in sentence


def test_files_are_fetched(tmp_path: Path) -> None:
    """Into the folder, which is created; reported progress adds up to their size."""
    bucket = holding("users-2020-04-11.avro", "users-2020-04-10.avro", "calendar.csv")
    found = find(bucket, [USERS, CALENDAR], THREE_DAYS)
    told: list[int] = []
    files = fetch(bucket, found, tmp_path / "samples" / "heap", told.append).files
    assert [(file.key, file.tag, file.day, file.format) for file in files] == [
        ("calendar.csv", "calendar", None, CSV),
        ("users-2020-04-10.avro", "users", FIRST, AVRO),
        ("users-2020-04-11.avro", "users", FIRST + timedelta(days=1), AVRO),
    ]
    assert [file.path.read_bytes().decode() for file in files] == [file.key for file in files]
    assert all(file.path.name.endswith(f"-{file.key}") for file in files)
    assert [file.modified.hour for file in files] == [2, 1, 0]
    assert sum(told) == found.size == sum(file.size for file in files)


def test_an_object_that_is_already_here_is_not_fetched_again(tmp_path: Path) -> None:
    """Unless the object has changed, or the file here is incomplete."""
    bucket = holding("users-2020-04-10.avro", "users-2020-04-11.avro", "users-2020-04-12.avro")
    before = fetch(bucket, find(bucket, [USERS], THREE_DAYS), tmp_path).files
    before[1].path.write_bytes(b"torn")
    bucket.objects["users-2020-04-12.avro"] = b"USERS-2020-04-12.avro"
    bucket.fetched.clear()
    told: list[int] = []
    found = find(bucket, [USERS], THREE_DAYS)
    files = fetch(bucket, found, tmp_path, told.append).files
    assert sorted(bucket.fetched) == ["users-2020-04-11.avro", "users-2020-04-12.avro"]
    assert [file.path.read_bytes() for file in files] == list(bucket.objects.values())
    assert sum(told) == found.size


def test_a_file_that_two_entities_match_is_fetched_once(tmp_path: Path) -> None:
    """It is in the fileset twice, each time in order."""
    bucket = holding("users-2020-04-10.avro", "users-2020-04-11.avro")
    found = find(bucket, [USERS, file("'users-*-11.avro'", "all")], THREE_DAYS)
    assert [(file.tag, file.key) for file in fetch(bucket, found, tmp_path).files] == [
        ("all", "users-2020-04-11.avro"),
        ("users", "users-2020-04-10.avro"),
        ("users", "users-2020-04-11.avro"),
    ]
    assert sorted(bucket.fetched) == ["users-2020-04-10.avro", "users-2020-04-11.avro"]
    assert found.size == 2 * len("users-2020-04-10.avro")


def test_keys_become_names_that_any_file_system_accepts(tmp_path: Path) -> None:
    """Unique names, which end like the keys."""
    odd = ["a/..", "a/users.csv.gz", "b/users.csv.gz", "a/Users.csv.gz", "é\n?", "x" * 900 + ".csv.gz", "a/b", "a"]
    bucket = holding(*odd)
    entities = [file(f"'{key}'") for key in odd]
    files = fetch(bucket, find(bucket, entities, None), tmp_path).files
    assert {file.key: file.path.read_bytes().decode() for file in files} == {key: key for key in odd}
    assert {file.path.parent for file in files} == {tmp_path}
    assert len({file.path.name.lower() for file in files}) == len(odd)
    assert [file.path.name.endswith(".csv.gz") for file in files] == [file.key.endswith(".csv.gz") for file in files]


def zipped(**members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(f"data/{name}.csv", text)
    return content.getvalue()


def archive(*members: Member, skip_missing: bool = False) -> ArchiveEntity:
    return ArchiveEntity(parse_pattern("'all-'yyyy-MM-dd'.zip'"), False, members, skip_missing)


TWO = (Member("data/users_*.csv", "users", CSV), Member("data/*.csv", "rest", CSV))


def test_the_members_of_an_archive_are_files(tmp_path: Path) -> None:
    """Each belongs to the first matching name in the list."""
    bucket: Any = Bucket({"all-2020-04-10.zip": zipped(users_1="1", events="22", users_2="3")})
    found = find(bucket, [archive(*TWO)], Days.of(FIRST))
    files = fetch(bucket, found, tmp_path).files
    assert [(file.key, file.tag, file.day, file.size, file.path.read_text()) for file in files] == [
        ("all-2020-04-10.zip!data/events.csv", "rest", FIRST, 2, "22"),
        ("all-2020-04-10.zip!data/users_1.csv", "users", FIRST, 1, "1"),
        ("all-2020-04-10.zip!data/users_2.csv", "users", FIRST, 1, "3"),
    ]
    assert all(file.path.name.endswith(".csv") for file in files)
    again = fetch(bucket, found, tmp_path).files
    assert [file.path.read_bytes() for file in again] == [b"22", b"1", b"3"]
    assert len(bucket.fetched) == 1


def test_all_files_of_an_archive_may_have_one_tag(tmp_path: Path) -> None:
    bucket: Any = Bucket({"all-2020-04-10.zip": zipped(a="1", b="2")})
    files = fetch(bucket, find(bucket, [archive(Member(None, "all", CSV))], None), tmp_path).files
    assert [(file.tag, file.path.read_text()) for file in files] == [("all", "1"), ("all", "2")]


@pytest.mark.parametrize(
    ("members", "content", "text", "words"),
    [
        (TWO, zipped(events="1"), "`data/users_*.csv`", "file `data/users_*.csv`"),
        ((Member("*.csv", "users", CSV),), zipped(users_1="1"), "`*.csv`", "file `*.csv`"),
        ((Member(None, "users", CSV),), zipped(), "`*`", "files"),
    ],
)
def test_a_missing_member_is_reported(
    tmp_path: Path, members: tuple[Member, ...], content: bytes, text: str, words: str
) -> None:
    """Or ignored, if the entity allows that; the other members are fetched."""
    bucket: Any = Bucket({"all-2020-04-10.zip": content})
    fetched = fetch(bucket, find(bucket, [archive(*members)], None), tmp_path)
    (missing,) = fetched.missing
    assert missing.tags == {"users"}
    assert listed(fetched.missing) == f"{text} in the archive `all-2020-04-10.zip`"
    assert str(missing_member_error(bucket, missing)) == (
        f"The archive `all-2020-04-10.zip` in the bucket `heap` has no {words}: export it again, fix "
        "`archive/contents`, or set `archive/skip-missing-contents`."
    )
    assert len(fetched.files) == (1 if members is TWO else 0)
    skipping = find(bucket, [archive(*members, skip_missing=True)], None)
    again = fetch(bucket, skipping, tmp_path)
    assert (again.missing, again.damaged) == ((), ())
    assert [(file.key, file.size) for file in again.files] == [(file.key, file.size) for file in fetched.files]


def test_a_damaged_archive_is_reported_to_its_feeds(tmp_path: Path) -> None:
    """Files from other objects are fetched."""
    bucket: Any = Bucket({"all-2020-04-10.zip": zipped(users_1="1")[:-9], "users-2020-04-10.avro": b"1"})
    fetched = fetch(bucket, find(bucket, [archive(*TWO), file("'users-'yyyy-MM-dd'.avro'", "others")], None), tmp_path)
    assert [item.key for item in fetched.tagged({"others"})] == ["users-2020-04-10.avro"]
    for tags in ({"users"}, {"rest", "others"}):
        with pytest.raises(UnreadableFileError, match=r"The archive `all-2020-04-10\.zip` cannot be unpacked"):
            fetched.tagged(tags)


def test_a_missing_object_is_reported_to_its_feeds(tmp_path: Path) -> None:
    bucket = holding("users-2020-04-10.avro", "users-2020-04-11.avro")
    bucket.failures["users-2020-04-11.avro"] = UnreadableFileError("gone")
    fetched = fetch(bucket, find(bucket, [USERS], THREE_DAYS), tmp_path)
    assert [item.key for item in fetched.files] == ["users-2020-04-10.avro"]
    with pytest.raises(UnreadableFileError, match="gone"):
        fetched.tagged({"users"})


def test_a_bucket_that_does_not_respond_stops_the_fetching(tmp_path: Path) -> None:
    """What was fetched is kept, and is not fetched again."""
    bucket = holding("users-2020-04-10.avro", "users-2020-04-11.avro", "users-2020-04-12.avro")
    found = find(bucket, [USERS], THREE_DAYS)
    bucket.failures["users-2020-04-12.avro"] = LaterError("later")
    with pytest.raises(LaterError):
        fetch(bucket, found, tmp_path)
    bucket.failures.clear()
    came = len(list(tmp_path.iterdir()))
    bucket.fetched.clear()
    assert len(fetch(bucket, found, tmp_path).files) == 3
    assert len(bucket.fetched) == 3 - came


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), InterruptedRunError("It was stopped."), LaterError("later"), ZeroDivisionError()]
)
def test_no_thread_keeps_fetching_after_an_error(tmp_path: Path, error: BaseException) -> None:
    """Fetches in progress stop in the middle of a file."""
    bucket = holding("calendar.csv", "users-2020-04-10.avro")
    begun, raised = threading.Event(), threading.Event()
    ended: list[str] = []

    def long(item: Object, _to: Path, progress: Callable[[int], None]) -> None:
        if item.key == "calendar.csv":
            assert begun.wait(60)
            raised.set()
            raise error
        begun.set()
        assert raised.wait(60)
        try:
            for _ in range(10_000_000):
                progress(0)
            ended.append("came to its end")
        except InterruptedRunError:
            ended.append("stopped")
            raise

    bucket.fetch = long
    with pytest.raises(type(error)):
        fetch(bucket, find(bucket, [USERS, CALENDAR], Days.of(FIRST)), tmp_path)
    assert ended == ["stopped"]
    assert [each.name for each in threading.enumerate() if each.name.startswith("fetch")] == []


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "samples").write_bytes(b"")
    with pytest.raises(SetupError, match=r"The folder `.*samples` cannot be created: File exists\."):
        fetch(holding(), Found((), ()), tmp_path / "samples")


def test_files_left_by_earlier_runs_are_removed_except_wanted_objects(tmp_path: Path) -> None:
    bucket = holding("users-2020-04-10.avro", "users-2020-04-11.avro", "users-2020-04-12.avro")
    fetch(bucket, find(bucket, [USERS], THREE_DAYS), tmp_path)
    (tmp_path / "abc-users.csv.part").write_bytes(b"torn")
    (tmp_path / UNPACKED).mkdir()
    (tmp_path / UNPACKED / "abc-users.csv").write_bytes(b"of an archive")
    bucket.fetched.clear()
    last = Days.of(FIRST + timedelta(days=2))

    files = fetch(bucket, find(bucket, [USERS], last), tmp_path).files

    assert bucket.fetched == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file.path for file in files]


@pytest.mark.parametrize("odd", ["folder", "link", "broken link"])
def test_a_folder_or_link_with_the_name_of_a_wanted_object_is_replaced(tmp_path: Path, odd: str) -> None:
    bucket = holding("calendar.csv")
    found = find(bucket, [CALENDAR], None)
    (file,) = fetch(bucket, found, tmp_path).files
    file.path.unlink()
    if odd == "folder":
        (file.path / "left").mkdir(parents=True)
    elif odd == "link":
        other = tmp_path.with_name("other.csv")
        other.write_bytes(b"x" * file.size)
        file.path.symlink_to(other)
    else:
        file.path.symlink_to(tmp_path / "nowhere")

    (file,) = fetch(bucket, found, tmp_path).files

    assert file.path.read_bytes() == b"calendar.csv"
    assert list(tmp_path.iterdir()) == [file.path]


def test_an_object_that_was_replaced_is_fetched_again_even_if_the_bucket_has_no_etags(tmp_path: Path) -> None:
    """Even if it has the same size."""
    bucket = holding("calendar.csv")
    before, after = (Object("calendar.csv", 12, "", WRITTEN + timedelta(hours=hour)) for hour in (0, 1))
    fetch(bucket, Found((Hit(CALENDAR, before, None),), ()), tmp_path)
    bucket.objects["calendar.csv"] = b"CALENDAR.CSV"

    (file,) = fetch(bucket, Found((Hit(CALENDAR, after, None),), ()), tmp_path).files

    assert file.path.read_bytes() == b"CALENDAR.CSV"


def test_unpacking_by_an_interrupted_run_does_not_affect_the_next_run(tmp_path: Path) -> None:
    bucket: Any = Bucket({"all-2020-04-10.zip": zipped(users_1="1")})
    found = find(bucket, [archive(Member("data/users_*.csv", "users", CSV))], Days.of(FIRST))
    files: list[FetchedFile] = []

    def free(folder: Path) -> int:
        """Called before a member is written: the next run fetches the archive, then this one fails."""
        if UNPACKED not in folder.parts:
            return 1 << 40
        files.extend(fetch(bucket, found, tmp_path).files)
        return 0

    assert fetch(bucket, found, tmp_path, room=Room(Limits(), free)).damaged

    assert [file.path.read_bytes() for file in files] == [b"1"]


def test_an_object_that_does_not_fit_fails_only_its_files(tmp_path: Path) -> None:
    bucket = holding("users-2020-04-10.avro", "calendar.csv")
    bucket.objects["users-2020-04-10.avro"] = bytes(1_000)
    room = Room(Limits(free_disk=500), lambda _folder: 600)

    fetched = fetch(bucket, find(bucket, [USERS, CALENDAR], Days.of(FIRST)), tmp_path, room=room)

    assert [file.key for file in fetched.files] == ["calendar.csv"]
    (damage,) = fetched.damaged
    assert "`users-2020-04-10.avro` needs 1.0 kB of disk space, but" in str(damage.error)
    assert "has 600 B, of which `limits.free-disk` keeps 500 B free: free some space, or lower that limit." in str(
        damage.error
    )
