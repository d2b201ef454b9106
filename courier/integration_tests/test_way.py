"""The way of a user, step by step, each command as it is typed: what it says, its exit code, what the tables hold."""

from __future__ import annotations

import io
import json
import re
import signal
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from courier.integration_tests import heap_bucket
from courier.integration_tests.command import SECONDS, User, until
from courier.integration_tests.gate import gate
from courier.unit_tests.warehouse.test_duckdb_engine import another_process
from heap_courier.data_types.field_types import INTEGER, STRING
from heap_courier.feeds.model import Feed, Field
from heap_courier.warehouse import duckdb_engine

USERS = heap_bucket.nullable(user_id="long", email="string", last_modified="long")
FEED = Feed(
    "df-people01",
    "Heap",
    "Users",
    (Field("user_id", INTEGER, "user_id"), Field("email", STRING, "email"), Field("changed", INTEGER, "last_modified")),
    ("user_id",),
    last_updated="changed",
)
LOAD = [{"type": "load", "file": "users"}]
WORDS = "Error running load-operations task\nCannot find required feeds: "


@pytest.fixture
def user(s3: str, tmp_path: Path) -> Iterator[User]:
    user = User(tmp_path / "project", s3)
    user.begins()
    yield user
    user.leaves()


@pytest.fixture
def on_postgresql(s3: str, tmp_path: Path, postgresql: str) -> Iterator[User]:
    user = User(tmp_path / "project", s3, postgresql)
    user.begins()
    yield user
    user.leaves()


def people(*rows: tuple[Any, str, int]) -> bytes:
    return heap_bucket.avro(USERS, [dict(zip(USERS, row, strict=True)) for row in rows])


def arrive(user: User, day: str, *rows: tuple[Any, str, int]) -> None:
    """The file of a day."""
    user.puts(f"path/to/users-{day}.avro", people(*rows))


def nights(user: User, *numbers: int) -> None:
    """Dumps of Heap's, of the four of the story."""
    for number in numbers:
        dump = heap_bucket.story(Random(1))[number]
        heap_bucket.put(user.client, user.bucket, heap_bucket.objects(dump, Random(number), bucket=user.bucket))


def stored(user: User) -> list[tuple[Any, ...]]:
    return user.query('SELECT user_id, email FROM "Heap:Users" ORDER BY user_id')


def refused(user: User, *words: str) -> str:
    """What a command that fails says: one sentence, or the documented words."""
    said = user.types(*words)
    assert said.code == 1, said.out
    assert "Traceback" not in said.err
    return said.err.strip()


def brings_an_archive(user: User) -> None:
    """Beside the users' file there is an archive of each day, for a feed that is emptied before."""
    entities = user.folder / "entities" / "heap.json"
    archive = {
        "object/type": "archive",
        "object/file-pattern": "'all-'yyyy-MM-dd'.zip'",
        "archive/contents": {
            "events.avro": {"subobject/land-as": {"file/tag": "events", "file/content-type": "application/avro"}}
        },
    }
    entities.write_text(json.dumps([*json.loads(entities.read_text()), archive]))
    user.activates(replace(FEED, id="df-events01", name="Events"))
    user.loads(df_events01=[{"type": "truncate"}, {"type": "load", "file": "events"}], df_people01=LOAD)


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, people((2, "b", 1)))
    return content.getvalue()


class TestInit:
    def test_it_makes_a_project_and_says_what_is_next(self, s3: str, tmp_path: Path) -> None:
        user = User(tmp_path, s3)
        said = user.types("init", "my heap")

        assert (said.code, said.err) == (0, "")
        assert "Next: set your bucket in heap-courier.yaml" in said.out
        made = {path.relative_to(tmp_path / "my heap").as_posix() for path in (tmp_path / "my heap").rglob("*.*")}
        assert made >= {"heap-courier.yaml", "entities/heap.json", "entities/heap-connect.json"}
        assert made >= {"load-operations/heap.json", ".gitignore"}

    def test_it_never_writes_over_a_project(self, user: User) -> None:
        before = (user.folder / "heap-courier.yaml").read_text()

        assert "already exists" in refused(user, "init")
        assert (user.folder / "heap-courier.yaml").read_text() == before

    def test_without_a_project_a_command_says_where_it_is_expected(self, s3: str, tmp_path: Path) -> None:
        assert "There is no `heap-courier.yaml`" in refused(User(tmp_path / "empty", s3), "tables")


class TestCheck:
    def test_all_couriers_are_looked_at(self, user: User) -> None:
        nights(user, 0)
        arrive(user, "2026-03-01", (1, "a", 1))

        said = user.types("check")

        assert (said.code, said.err) == (0, "")
        assert "Heap: OK. The newest files in" in said.out
        assert "Heap-Connect: OK." in said.out
        assert "the newest is `manifests/sync_9.json`" in said.out

    def test_one_bad_courier_makes_the_exit_code_1_and_the_others_are_still_reported(self, user: User) -> None:
        nights(user, 0)
        (user.folder / "entities" / "heap.json").write_text("[,]")

        said = user.types("check")

        assert said.code == 1
        assert re.search("^Heap: `entities/heap.json`.*line 1", said.out, re.MULTILINE)
        assert "Heap-Connect: OK." in said.out

    def test_an_unknown_feed_is_reported_in_the_documented_words(self, user: User) -> None:
        user.loads(df_xxxxxx=LOAD)

        said = user.types("check", "Heap")

        assert said.code == 1
        assert f'{WORDS}"df-xxxxxx"' in said.out

    def test_a_feed_that_is_not_active_is_named_with_the_command(self, user: User) -> None:
        user.activates(FEED)
        user.loads(df_people01=LOAD)
        arrive(user, "2026-03-01", (1, "a", 1))
        assert user.types("check", "Heap").code == 0
        user.edit("feeds/users.yaml", "name: changed, type: Integer", "name: changed, type: Datetime")

        said = user.types("check", "Heap")

        assert said.code == 1
        assert (
            "`Heap:Users` has changed since it was activated: run `heap-courier feed activate Heap:Users`" in said.out
        )

    def test_a_misspelled_courier_has_a_nearest_name(self, user: User) -> None:
        assert "there is no courier `Heap-Conect`. Did you mean `Heap-Connect`?" in refused(
            user, "check", "Heap-Conect"
        )

    def test_a_missing_bucket_is_reported(self, user: User) -> None:
        user.client.delete_bucket(Bucket=user.bucket)

        said = user.types("check", "Heap")

        assert (said.code, said.out.count("\n")) == (1, 1)
        assert f"`{user.bucket}`" in said.out


class TestSamples:
    def test_with_empty_operations_a_run_fetches_files_and_loads_nothing(self, user: User) -> None:
        arrive(user, "2026-03-02", (1, "a", 1))

        said = user.types("run", "Heap", "--day", "2026-03-02")

        assert said.code == 0
        assert sample_of(user, said.out).read_bytes() == people((1, "a", 1))
        assert re.search(r"^Completed in \d+ seconds?$", said.out, re.MULTILINE)
        assert user.tables() == {}

    def test_an_unknown_feed_fails_the_run_in_the_documented_words_and_the_files_are_kept(self, user: User) -> None:
        arrive(user, "2026-03-02", (1, "a", 1))
        user.loads(df_xxxxxx=LOAD, df_yyyyyy=LOAD)

        said = user.types("run", "Heap", "--day", "2026-03-02")

        assert said.code == 1
        assert said.err.startswith(f'{WORDS}"df-xxxxxx", "df-yyyyyy"\n')
        (kept,) = (path for path in (user.folder / "samples").rglob("*.avro"))
        assert kept.read_bytes() == people((1, "a", 1))
        assert user.types("runs").row(run_of(user))[-1].startswith("failed: Error running load-operations task")

    def test_sample_lists_what_it_fetched(self, user: User) -> None:
        arrive(user, "2026-03-02", (1, "a", 1))

        said = user.types("sample", "Heap", "--day", "2026-03-02")

        assert (said.code, said.err) == (0, "")
        assert sample_of(user, said.out).exists()


def sample_of(user: User, out: str) -> Path:
    """The sample that the printed next command names."""
    (found,) = re.findall(r"^Next: heap-courier feed add SOURCE:NAME --sample (\S+)$", out, re.MULTILINE)
    return user.folder / found


def run_of(user: User) -> str:
    """The id of the newest run."""
    out = user.types("runs", "--limit", "1").out
    return out.splitlines()[1].split(" ")[0]


class TestFeeds:
    def test_from_a_sample_to_a_loaded_table(self, user: User) -> None:
        arrive(user, "2026-03-02", (2**52 + 1, "ä@example.com", 1772409600000), (7, "b@example.com", 1772409600001))
        sample = sample_of(user, user.types("sample", "Heap", "--day", "2026-03-02").out)

        added = user.types("feed", "add", "Heap:Users", "--sample", str(sample))
        assert (added.code, added.err) == (0, "")
        assert added.row("user_id") == ["user_id", "Integer", "user_id", "pk", "primary key"]
        assert added.row("email")[3] == "email"
        assert "feed activate Heap:Users" in added.out
        assert user.types("feed", "list").row("Heap:Users")[2] == "not active"

        active = user.types("feed", "activate", "heap:users")
        assert (active.code, active.err) == (0, "")
        assert "ä@example.com" in active.out
        assert stored(user) == [(7, "b@example.com"), (2**52 + 1, "ä@example.com")]
        assert user.types("feed", "list").row("Heap:Users")[2] == "active"
        assert user.types("feed", "show", "Heap:Users").out in added.out

    def test_a_feed_of_the_same_name_is_not_written_over(self, user: User, tmp_path: Path) -> None:
        (tmp_path / "users.csv").write_text("user_id,email\n1,a\n")
        add = ("feed", "add", "Heap:Users", "--sample", str(tmp_path / "users.csv"))
        assert user.types(*add).code == 0

        assert "already exists" in refused(user, *add)

    def test_without_a_sample_the_table_is_made_empty(self, user: User, tmp_path: Path) -> None:
        (tmp_path / "users.csv").write_text("user_id,email\n1,a\n")
        user.types("feed", "add", "Heap:Users", "--sample", str(tmp_path / "users.csv"))

        assert user.types("feed", "activate", "Heap:Users", "--no-sample").code == 0
        assert stored(user) == []

    def test_another_type_asks_for_truncate(self, user: User) -> None:
        user.activates(FEED)
        user.loads(df_people01=LOAD)
        arrive(user, "2026-03-02", (1, "a", 1))
        assert user.types("run", "Heap", "--day", "2026-03-02").code == 0
        user.edit("feeds/users.yaml", "name: user_id, type: Integer", "name: user_id, type: String")
        activate = ("feed", "activate", "Heap:Users", "--no-sample")

        assert "contains 1 row loaded by an earlier definition" in refused(user, *activate)
        assert stored(user) == [(1, "a")]
        assert "has changed since it was activated" in refused(user, "run", "Heap", "--day", "2026-03-02")
        assert user.types(*activate, "--truncate").code == 0
        assert stored(user) == []
        assert user.types("run", "Heap", "--day", "2026-03-02").code == 0
        assert stored(user) == [("1", "a")]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("activate", "Heap:User"), "there is no feed `heap:user`. Did you mean `heap:users`?"),
            (("show", "Users"), "there is no feed"),
            (("add", "Users", "--sample", "users.csv"), "is not a domain table name"),
            (("add", "Heap:Views", "--sample", "no.avro"), "There is no file `no.avro`"),
            (("add", "Heap:Views", "--sample", "heap-courier.yaml"), "set --content-type"),
        ],
    )
    def test_what_is_misspelled_is_reported(self, user: User, words: tuple[str, ...], said: str) -> None:
        user.activates(FEED)
        (user.folder / "users.csv").write_text("user_id,email\n1,a\n")

        assert said.lower() in refused(user, "feed", *words).lower()


class TestRun:
    @pytest.fixture(autouse=True)
    def active(self, user: User) -> None:
        user.activates(FEED)
        user.loads(df_people01=LOAD)

    def test_it_ends_with_a_table_of_files_and_rows(self, user: User) -> None:
        arrive(user, "2026-03-01", (1, "a", 1), (2, "b", 1))

        said = user.types("run", "Heap", "--day", "2026-03-01")

        assert (said.code, said.err) == (0, "")
        assert said.row("Heap:Users") == ["Heap:Users", *["1", "2", "0", "2", "2"], "loaded"]
        assert re.search(r"^Completed in \d+ seconds?$", said.out, re.MULTILINE)
        assert user.types("runs").row(run_of(user))[-1] == "completed"

    def test_a_stored_row_that_is_newer_stays_also_when_an_older_day_comes_later(self, user: User) -> None:
        arrive(user, "2026-03-01", (1, "older", 10), (2, "only here", 10))
        arrive(user, "2026-03-02", (1, "newer", 20))

        for day in ("2026-03-02", "2026-03-01", "2026-03-01"):
            assert user.types("run", "Heap", "--day", day).code == 0

        assert stored(user) == [(1, "newer"), (2, "only here")]

    def test_the_first_day_counts_and_the_last_one_does_not(self, user: User) -> None:
        for day in range(1, 5):
            arrive(user, f"2026-03-0{day}", (day, "a", 1))

        assert user.types("run", "Heap", "--from", "2026-03-02", "--to", "2026-03-04").code == 0

        assert stored(user) == [(2, "a"), (3, "a")]

    def test_all_days(self, user: User) -> None:
        for day in ("2024-12-31", "2026-03-01"):
            arrive(user, day, (int(day[:4]), "a", 1))

        assert user.types("run", "Heap", "--all").code == 0

        assert stored(user) == [(2024, "a"), (2026, "a")]

    def test_truncate_comes_first_at_any_position(self, user: User) -> None:
        arrive(user, "2026-03-01", (1, "a", 30))
        arrive(user, "2026-03-02", (2, "b", 10))
        user.loads(df_people01=[*LOAD, {"type": "truncate"}])

        for day in ("2026-03-01", "2026-03-02"):
            assert user.types("run", "Heap", "--day", day).code == 0

        assert stored(user) == [(2, "b")]

    def test_a_missing_file_is_named_and_nothing_is_touched(self, user: User) -> None:
        arrive(user, "2026-03-01", (1, "a", 1))
        user.loads(df_people01=[*LOAD, {"type": "truncate"}])
        user.types("run", "Heap", "--day", "2026-03-01")

        said = refused(user, "run", "Heap", "--day", "2026-03-02")

        assert "2026-03-02" in said
        assert "users-2026-03-01.avro" in said
        assert stored(user) == [(1, "a")]

    def test_missing_files_may_be_skipped(self, user: User) -> None:
        arrive(user, "2026-03-01", (1, "a", 1))

        said = user.types("run", "Heap", "--from", "2026-03-01", "--to", "2026-03-03", "--skip-missing")

        assert said.code == 0
        assert stored(user) == [(1, "a")]

    def test_a_feed_is_not_emptied_for_some_of_its_files_and_what_is_missing_is_named(self, user: User) -> None:
        entities = user.folder / "entities" / "heap.json"
        (entity,) = json.loads(entities.read_text())
        more = {**entity, "object/file-pattern": "'path/to/more-'yyyy-MM-dd'.avro'"}
        entities.write_text(json.dumps([entity, more]))
        user.loads(df_people01=[*LOAD, {"type": "truncate"}])
        arrive(user, "2026-03-01", (1, "a", 1))
        user.puts("path/to/more-2026-03-01.avro", people((2, "b", 1)))
        arrive(user, "2026-03-02", (3, "c", 1))
        user.types("run", "Heap", "--day", "2026-03-01")

        said = user.types("run", "Heap", "--day", "2026-03-02", "--skip-missing")

        assert said.code == 0
        assert "Skipped missing files: no file matches 'path/to/more-'yyyy-MM-dd'.avro' on 2026-03-02." in said.out
        assert "Heap:Users is unchanged" in said.out
        assert stored(user) == [(1, "a"), (2, "b")]

    def test_a_damaged_archive_fails_its_feed_and_the_others_land(self, user: User) -> None:
        brings_an_archive(user)
        arrive(user, "2026-03-01", (1, "a", 1))
        user.puts("all-2026-03-01.zip", zipped("events.avro")[:-9])

        said = user.types("run", "Heap", "--day", "2026-03-01")

        assert said.code == 1
        assert said.row("Heap:Users")[-1] == "loaded"
        assert "The archive `all-2026-03-01.zip` cannot be unpacked" in said.row("Heap:Events")[-1]
        assert stored(user) == [(1, "a")]

        user.puts("all-2026-03-01.zip", zipped("events.avro"))
        assert user.types("run", "Heap", "--day", "2026-03-01").row("Heap:Events")[-1] == "loaded"

    def test_a_member_that_an_archive_lacks_is_a_missing_file(self, user: User) -> None:
        """Nothing lands; or it is left out with a message, and no table is emptied for the rest."""
        brings_an_archive(user)
        arrive(user, "2026-03-01", (1, "a", 1))
        user.puts("all-2026-03-01.zip", zipped("other.avro"))

        said = refused(user, "run", "Heap", "--day", "2026-03-01")
        assert "The archive `all-2026-03-01.zip` in the bucket" in said
        assert "has no file `events.avro`" in said
        assert said.endswith("To continue without them: --skip-missing.")
        assert stored(user) == []
        assert "has no file `events.avro`" in user.types("runs").out

        skipped = user.types("run", "Heap", "--day", "2026-03-01", "--skip-missing")
        assert skipped.code == 0
        missing = "matches `events.avro` in the archive `all-2026-03-01.zip`"
        assert f"Skipped missing files: no file {missing}." in skipped.out
        assert "Heap:Events is unchanged" in skipped.out
        assert stored(user) == [(1, "a")]

    def test_above_the_threshold_nothing_is_loaded_and_below_it_the_rest(self, user: User) -> None:
        good = [(number, "a", 1) for number in range(1, 100)]
        arrive(user, "2026-03-01", (None, "secret@example.com", 1), *good)
        arrive(user, "2026-03-02", (None, "secret@example.com", 1), *good[1:])

        above = user.types("run", "Heap", "--day", "2026-03-02")
        assert above.code == 1
        assert "1 of 99 rows were rejected, more than the error threshold of 1% allows" in above.out
        assert "row 1 of " in above.out
        assert re.search(r"^Failed in \d+ seconds?$", above.out, re.MULTILINE)
        assert stored(user) == []
        assert above.row("Heap:Users")[:5] == ["Heap:Users", "1", "99", "1", "0"]
        blamed = user.types("runs", run_of(user)).out
        assert re.search(r"path/to/users-2026-03-02\.avro +1 +user_id", blamed)

        below = user.types("run", "Heap", "--day", "2026-03-01")
        assert below.code == 0
        assert below.row("Heap:Users") == ["Heap:Users", *["1", "100", "1", "99", "99"], "loaded"]
        (command,) = re.findall(r"`heap-courier (runs \S+)` lists them", below.out)
        named = user.types(*command.split())
        assert "path/to/users-2026-03-01.avro" in named.out
        assert "secret" not in above.out + above.err + below.out + named.out

    def test_one_feed_that_fails_does_not_keep_the_others_from_landing(self, user: User) -> None:
        other = replace(
            FEED, id="df-strict01", name="Strict", fields=(*FEED.fields, Field("x", STRING, "x", None, True))
        )
        user.activates(other)
        user.loads(df_strict01=LOAD, df_people01=LOAD)
        arrive(user, "2026-03-01", (1, "a", 1))

        said = user.types("run", "Heap", "--day", "2026-03-01")

        assert said.code == 1
        assert said.row("Heap:Users")[-1] == "loaded"
        assert "not loaded" in said.row("Heap:Strict")[-1]
        assert "`x`" in said.row("Heap:Strict")[-1]
        assert stored(user) == [(1, "a")]
        assert user.query('SELECT * FROM "Heap:Strict"') == []

    def test_a_file_that_is_cut_short_is_named_and_nothing_of_it_lands(self, user: User) -> None:
        rows = [(number, "a", 1) for number in range(50_000)]
        user.puts("path/to/users-2026-03-01.avro", people(*rows)[:-1000])

        said = user.types("run", "Heap", "--day", "2026-03-01")

        assert said.code == 1
        assert "path/to/users-2026-03-01.avro" in said.row("Heap:Users")[-1]
        assert stored(user) == []

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("run", "Heep", "--day", "2026-03-01"), 1, "there is no courier `Heep`. Did you mean `Heap`?"),
            (("run", "Heap"), 2, "one of --day, --from with --to, or --all"),
            (("run", "Heap", "--day", "2026-03-01", "--all"), 2, "one of --day, --from with --to, or --all"),
            (("run", "Heap", "--from", "2026-03-01"), 2, "set both"),
            (("run", "Heap", "--from", "2026-03-02", "--to", "2026-03-02"), 2, "with --from before --to"),
            (("run", "Heap", "--day", "01.03.2026"), 2, "01.03.2026"),
            (("runn",), 2, "runn"),
            (("run", "Heap", "--day", "2026-03-01"), 1, "fix the pattern. To continue without them: --skip-missing."),
        ],
    )
    def test_what_is_typed_wrongly_is_reported(self, user: User, words: tuple[str, ...], code: int, said: str) -> None:
        ran = user.types(*words)

        assert ran.code == code
        assert said in ran.err
        assert "Traceback" not in ran.err
        made = user.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'runs'") != []
        outcomes = user.query("SELECT outcome FROM heap_courier.runs") if made else []
        assert outcomes == ([("failed",)] if "--skip-missing" in said else [])


class TestHeapConnect:
    def test_night_after_night_and_again(self, user: User) -> None:
        nights(user, 0, 1, 2)
        assert user.types("run", "Heap-Connect").code == 0

        nights(user, 3)
        last = user.types("run", "Heap-Connect")
        assert (last.code, last.err) == (0, "")
        assert last.row("Heap-Connect:trial_started")[1:] == ["0", "0", "0", "0", "0", "loaded"]

        before = user.tables()
        again = user.types("run", "Heap-Connect")
        assert (again.code, again.err) == (0, "")
        assert "There was nothing new." in again.out
        assert user.tables() == before

    def test_days_are_refused_because_manifests_have_none(self, user: User) -> None:
        nights(user, 0)

        said = user.types("run", "Heap-Connect", "--day", "2026-03-01")

        assert said.code == 2
        assert "Heap Connect" in said.err

    def test_resolved_users_are_shown(self, user: User) -> None:
        nights(user, 0, 1, 2, 3)
        user.types("run", "Heap-Connect")

        shown = user.types("show", "Heap-Connect:users:resolved", "--json", "--limit", "100")

        rows = [json.loads(line) for line in shown.out.splitlines()]
        moved = {row[0] for row in user.query('SELECT from_user_id FROM "Heap-Connect:user_migrations"')}
        assert rows
        assert moved
        assert not moved & {row["user_id"] for row in rows}

    def test_all_events_and_hashed_columns_are_shown(self, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also of rows that were loaded before: the run says what it has done to them."""
        nights(user, 0, 1, 2)
        user.types("run", "Heap-Connect")
        plain = {row[0] for row in user.query('SELECT email FROM "Heap-Connect:users"')} - {None}
        entity = '"heap-connect/columns": {"users": {"email": "hash"}}, "heap-connect/hash-secret-env": "HASH_SECRET"'
        user.edit("entities/heap-connect.json", '"heap-connect/source"', f'{entity}, "heap-connect/source"')

        for command in ("check", "run"):
            said = user.types(command, "Heap-Connect")
            assert said.code == 1
            assert "`HASH_SECRET` must contain the secret for hashed columns" in said.out + said.err
        monkeypatch.setenv("HASH_SECRET", "a secret of some length")
        run = user.types("run", "Heap-Connect")

        assert (run.code, run.row("Heap-Connect:users")[-1]) == (0, "loaded")
        assert (
            "Stored columns of the table `Heap-Connect:users` changed by `heap-connect/columns`: `email` hashed."
            in run.out + run.err
        )
        hashes = {row[0] for row in user.query('SELECT email FROM "Heap-Connect:users"')} - {None}
        assert plain
        assert {len(value) for value in hashes} == {64}
        shown = user.types("show", "Heap-Connect:all_events:union", "--json", "--limit", "100")
        assert {json.loads(line)["event_table_name"] for line in shown.out.splitlines()} >= {"pageviews", "sign_up"}

    def test_a_table_that_does_not_land_is_named_and_the_others_land(self, user: User) -> None:
        nights(user, 0)
        (key,) = [
            found["Key"]
            for found in user.client.list_objects_v2(Bucket=user.bucket, Prefix="sync_9/sessions")["Contents"]
        ]
        user.puts(key, b"Obj\x01 and no more")

        said = user.types("run", "Heap-Connect")

        assert said.code == 1
        assert key in said.row("Heap-Connect:sessions")[-1]
        assert said.row("Heap-Connect:users")[-1] == "loaded"
        assert "Not loaded: Heap-Connect:sessions." in user.types("runs").out

    def test_an_empty_bucket_is_reported(self, user: User) -> None:
        assert "There is no manifest" in refused(user, "run", "Heap-Connect")


class TestGroups:
    def test_run_by_hand_loads_what_is_new(self, user: User) -> None:
        nights(user, 0)

        said = user.types("group", "run", "nightly")

        assert (said.code, said.out.splitlines()[-1]) == (0, "Group `nightly` succeeded.")
        assert "Heap-Connect:users" in user.tables()
        assert "succeeded" in user.types("group", "runs", "nightly").out

    def test_a_group_that_fails_says_why(self, user: User) -> None:
        user.edit("heap-courier.yaml", "wait: 2 hours", "wait: 0 hours")

        said = user.types("group", "run", "nightly")

        assert said.code == 1
        assert "There is no manifest" in said.err
        assert said.out == "Group `nightly` failed.\n"

    def test_a_misspelled_group_has_a_nearest_name(self, user: User) -> None:
        assert "there is no group `nightli`. Did you mean `nightly`?" in refused(user, "group", "run", "nightli")

    def test_the_list_says_when_each_runs_next(self, user: User) -> None:
        user.edit("heap-courier.yaml", "status: disabled", "status: enabled")

        row = user.types("group", "list").row("nightly")

        assert row[:4] == ["nightly", "Heap-Connect", "30 8 * * *", "enabled"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d 08:30 UTC", row[4])

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_daemon_says_when_it_runs_next_and_ends_when_asked(self, user: User, number: signal.Signals) -> None:
        user.edit("heap-courier.yaml", "status: disabled", "status: enabled")
        process = user.start("group", "serve")
        assert "Group `nightly` runs next on" in process.stderr.readline()

        process.send_signal(number)

        assert process.wait(SECONDS) == 0

    def test_the_daemon_runs_a_slot_that_became_due_while_it_was_down(self, user: User) -> None:
        user.edit("heap-courier.yaml", "status: disabled", "status: enabled")
        nights(user, 0)
        process = user.start("group", "serve")
        process.stderr.readline()
        until((user.folder / "heap.duckdb").exists)
        process.terminate()
        process.wait(SECONDS)
        two_days_ago = (datetime.now(timezone.utc) - timedelta(days=2)).replace(tzinfo=None)
        with user.warehouse() as warehouse:
            warehouse.execute("DELETE FROM heap_courier.schedules")
            warehouse.execute(
                "INSERT INTO heap_courier.schedules VALUES ('nightly', '30 8 * * *', 'UTC', $1)", (two_days_ago,)
            )

        process = user.start("group", "serve")
        said = next(line for line in process.stderr if "succeeded" in line or "failed" in line)
        process.terminate()

        assert "succeeded" in said
        assert process.wait(SECONDS) == 0
        assert "Heap-Connect:users" in user.tables()


class TestLooking:
    def test_tables_and_rows(self, user: User) -> None:
        nights(user, 0)
        user.types("run", "Heap-Connect")
        (count,) = user.query('SELECT count(*) FROM "Heap-Connect:users"')[0]

        assert user.types("tables").row("Heap-Connect:users")[1] == str(count)
        shown = user.types("show", "heap-connect:USERS", "--limit", "3")
        assert (shown.code, len(shown.out.splitlines())) == (0, 4)
        assert len(user.types("show", "Heap-Connect:users", "--json", "--limit", "2").out.splitlines()) == 2

    def test_a_misspelled_table_has_a_nearest_name(self, user: User) -> None:
        user.activates(FEED)

        assert "Did you mean `heap:users`?" in refused(user, "show", "Heap:Usres").replace("Heap:Users", "heap:users")

    def test_before_the_first_run_there_is_no_warehouse(self, user: User) -> None:
        for words in (("tables",), ("show", "Heap:Users"), ("runs",)):
            assert "There is no warehouse" in refused(user, *words)

    def test_an_unknown_run_is_reported(self, user: User) -> None:
        nights(user, 0)
        user.types("run", "Heap-Connect")

        assert "There is no run `20260101-000000-0000`" in refused(user, "runs", "20260101-000000-0000")

    def test_reading_only_the_first_line_is_not_an_error(self, user: User) -> None:
        user.activates(FEED)
        with user.warehouse() as warehouse:
            warehouse.execute("INSERT INTO \"Heap:Users\" SELECT range, repeat('x', 100), 1 FROM range(20000)")
        process = user.start("show", "Heap:Users", "--json", "--limit", "20000")
        assert process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == ""
        assert process.wait(SECONDS) in {0, 1, -signal.SIGPIPE, 128 + signal.SIGPIPE}


class TestAtTheSameTime:
    """A run is held at a file of Heap's, for as long as the test likes."""

    @pytest.fixture(params=["duckdb", "postgresql"])
    def user(self, request: pytest.FixtureRequest, s3: str, tmp_path: Path) -> Iterator[User]:
        dsn = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
        user = User(tmp_path / "project", s3, dsn)
        user.begins()
        nights(user, 0)
        yield user
        user.leaves()

    def test_two_runs_of_one_courier(self, user: User, s3: str) -> None:
        with gate(s3, "/pageviews/") as held:
            user.edit("heap-courier.yaml", s3, held.url)
            first = user.start("run", "Heap-Connect")
            assert held.reached.wait(SECONDS)

            assert "Another run of the courier `Heap-Connect` is in progress" in refused(user, "run", "Heap-Connect")

            held.opened.set()
            out, err = first.communicate(timeout=SECONDS)
        assert (first.returncode, err) == (0, ""), out
        assert user.query("SELECT count(*) FROM heap_courier.runs") == [(1,)]

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_run_that_is_asked_to_stop_leaves_nothing_incomplete(
        self, user: User, s3: str, number: signal.Signals, code: int
    ) -> None:
        with gate(s3, "/pageviews/") as held:
            user.edit("heap-courier.yaml", s3, held.url)
            run = user.start("run", "Heap-Connect")
            assert held.reached.wait(SECONDS)
            run.send_signal(number)
            out, err = run.communicate(timeout=SECONDS)
            held.opened.set()
        assert (run.returncode, out) == (code, "")
        assert len(err.strip().splitlines()) == 1
        assert "what was loaded is kept; the next run loads the rest" in err
        assert "Heap-Connect:pageviews" not in user.tables()
        (ended,) = user.query("SELECT outcome, ended IS NOT NULL FROM heap_courier.runs")
        assert ended == ("interrupted", True)

        user.edit("heap-courier.yaml", held.url, s3)
        assert user.types("run", "Heap-Connect").code == 0
        assert "Heap-Connect:pageviews" in user.tables()

    @pytest.mark.parametrize("user", ["duckdb"], indirect=True)
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_bucket_that_does_not_respond_is_not_awaited(
        self, user: User, s3: str, number: signal.Signals, code: int
    ) -> None:
        """It is asked once for each of three files; who waits asks again when a minute is over."""
        with gate(s3, "/pageviews/") as held:
            user.edit("heap-courier.yaml", s3, held.url)
            run = user.start("run", "Heap-Connect")
            until(lambda: held.count == 3)
            run.send_signal(number)
            run.communicate(timeout=SECONDS)
            assert (run.returncode, held.count) == (code, 3)


class TestReadingBesideARun:
    def test_on_postgresql_tables_are_readable_during_a_run(self, on_postgresql: User, s3: str) -> None:
        user = on_postgresql
        nights(user, 0)
        user.types("run", "Heap-Connect")
        nights(user, 1)
        with gate(s3, "sync_10/pageviews/") as held:
            user.edit("heap-courier.yaml", s3, held.url)
            run = user.start("run", "Heap-Connect")
            assert held.reached.wait(SECONDS)

            assert user.types("tables").row("Heap-Connect:pageviews")
            assert user.types("show", "Heap-Connect:pageviews").code == 0
            assert "running" in user.types("runs").out

            held.opened.set()
            assert run.wait(SECONDS) == 0

    def test_a_duckdb_file_is_free_while_dated_files_are_fetched(self, user: User, s3: str) -> None:
        user.activates(FEED)
        user.loads(df_people01=LOAD)
        arrive(user, "2026-03-01", (1, "a", 1))
        with gate(s3, "/users-") as held:
            user.edit("heap-courier.yaml", s3, held.url)
            run = user.start("run", "Heap", "--day", "2026-03-01")
            assert held.reached.wait(SECONDS)

            assert user.types("show", "Heap:Users").code == 0
            assert "running" in user.types("runs").out

            held.opened.set()
            assert run.wait(SECONDS) == 0

    def test_a_file_that_another_process_has_open_is_waited_for(self, user: User) -> None:
        nights(user, 0)
        other = duckdb.connect(str(user.folder / "heap.duckdb"))
        run = user.start("run", "Heap-Connect")
        until((user.folder / ".heap-courier" / "Heap-Connect" / "lock").exists)
        time.sleep(1)
        assert run.poll() is None
        other.close()

        assert run.wait(SECONDS) == 0

    @pytest.mark.parametrize("words", [("run", "Heap-Connect"), ("tables",), ("runs",)])
    def test_a_file_that_another_process_keeps_open_is_named_in_the_end(
        self, user: User, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
    ) -> None:
        nights(user, 0)
        monkeypatch.setattr(duckdb_engine, "PATIENCE", 0.2)

        with another_process(user.folder / "heap.duckdb"):
            said = user.types(*words)

        assert (said.code, said.out) == (1, "")
        assert "heap.duckdb` is open in another process" in said.err
        assert "Traceback" not in said.err
