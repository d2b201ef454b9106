"""A run of a courier, and its check, in process: a bucket in memory, a DuckDB file, a stopped clock."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

import fastavro
import pytest

from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.couriers import check as check_module
from heap_courier.couriers import run as run_module
from heap_courier.couriers.check import check_courier
from heap_courier.couriers.context import Context
from heap_courier.couriers.logged_run import RunResult
from heap_courier.couriers.run import run_courier
from heap_courier.data_types.field_types import INTEGER, STRING
from heap_courier.errors import BusyCourierError, CourierError, MissingFeedsError, MissingFilesError, SetupError
from heap_courier.feeds.activation import activate
from heap_courier.feeds.model import Feed, Field
from heap_courier.feeds.writer import write_feed
from heap_courier.files.days import Days
from heap_courier.group_work import Audience, group_context
from heap_courier.notices.notice import Notice
from heap_courier.progress import NoBar
from heap_courier.project.model import Courier, DefaultCredential, Project, WarehouseSettings
from heap_courier.warehouse.run_log import Run, RunLog

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
USERS = Feed(
    "df-users001",
    "Heap",
    "Users",
    (Field("id", INTEGER, "id"), Field("email", STRING, "email")),
    ("id",),
    error_threshold=50,
)


def day(number: int) -> date:
    return date(2026, 11, number)


def entity(pattern: str = "'users-'yyyy-MM-dd'.csv'", tag: str = "users", **more: Any) -> dict[str, Any]:
    landing = {"file/tag": tag, "file/content-type": more.pop("content_type", "text/csv")}
    return {"object/type": "file", "object/file-pattern": pattern, "object/land-as": landing, **more}


class Trial:
    """A project with one courier and one active feed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.courier = Courier(
            "Heap", DefaultCredential(), "heap", "", None, None, folder / "entities.json", folder / "operations.json"
        )
        settings = WarehouseSettings("duckdb", folder / "heap.duckdb")
        project = Project(folder, settings, {"Heap": self.courier}, folder / "feeds", {})
        self.context = Context(project, {}, lambda: NOW, NoBar())
        self.bucket = MemoryBucket(self.courier, {})
        for module in (run_module, check_module):
            monkeypatch.setattr(module, "Bucket", lambda _courier, _environment: self.bucket)
        self.asks_for(entity())
        self.loads({"df-users001": [{"type": "load", "file": "users"}]})
        self.activates(USERS)

    def asks_for(self, *entities: dict[str, Any]) -> None:
        (self.folder / "entities.json").write_text(json.dumps(entities))

    def loads(self, operations: dict[str, Any]) -> None:
        (self.folder / "operations.json").write_text(json.dumps(operations))

    def activates(self, feed: Feed, *, truncate: bool = False) -> None:
        write_feed(feed, self.folder / "feeds" / "users.yaml")
        with self.context.warehouse() as warehouse:
            activate(warehouse, feed, None, now=NOW, truncate=truncate, workers=1)

    def arrives(self, number: int, content: str) -> None:
        self.bucket.objects[f"users-{day(number)}.csv"] = content.encode()

    def runs(self, start: int, end: int, **more: Any) -> RunResult:
        return run_courier(self.context, self.courier, Days(day(start), day(end + 1)), **more)

    def stored(self, columns: str = "id, email") -> list[tuple[Any, ...]]:
        with self.context.warehouse() as warehouse:
            return warehouse.query(f'SELECT {columns} FROM "Heap:Users" ORDER BY 1')

    def logged(self) -> list[Run]:
        with self.context.warehouse() as warehouse:
            return RunLog(warehouse).runs(10)

    def checks(self) -> str:
        return check_courier(self.context, self.courier)


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    return Trial(tmp_path, monkeypatch)


def test_rows_are_loaded_and_the_run_is_recorded(trial: Trial) -> None:
    trial.arrives(20, "id,email\n1,a\nx,b\n")

    result = trial.runs(20, 20)

    assert trial.stored() == [(1, "a")]
    assert [(table.domain_table, table.rows, table.rejected) for table in result.tables] == [("Heap:Users", 2, 1)]
    assert result.notices == (f"Heap:Users: 1 row was rejected; `heap-courier runs {result.run.id}` lists them.",)
    with trial.context.warehouse() as warehouse:
        assert RunLog(warehouse).run(result.run.id).outcome == "completed"


# A run that cannot start


def broken_plan(trial: Trial) -> None:
    (trial.folder / "entities.json").write_text("[")


def wrong_key(trial: Trial) -> None:
    def refuse(*_arguments: Any, **_more: Any) -> Any:
        raise SetupError("The bucket `heap` refuses this credential.")

    trial.bucket.list = refuse  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (broken_plan, "entities.json"),
        (wrong_key, "The bucket `heap` refuses this credential."),
        (lambda _trial: None, "2026-11-20"),  # its file is missing
    ],
)
def test_a_run_that_cannot_start_is_in_the_run_log(trial: Trial, spoil: Callable[[Trial], None], why: str) -> None:
    """Its notification links to the entry."""
    spoil(trial)
    notices: list[Notice] = []
    trial.context = replace(trial.context, report=notices.append)

    with pytest.raises(CourierError, match=why):
        trial.runs(20, 20)

    (run,) = trial.logged()
    assert (run.courier, run.what, run.outcome, run.ended) == ("Heap", "2026-11-20", "failed", run.started)
    assert why in str(run.message)
    assert [(each.event, each.run) for each in notices] == [("run-refused", run.id)]


def test_a_run_that_failed_after_its_start_is_recorded_once(trial: Trial) -> None:
    trial.loads({"df-unknown1": [{"type": "load", "file": "users"}]})
    trial.arrives(20, "id,email\n1,a\n")
    with pytest.raises(MissingFeedsError):
        trial.runs(20, 20)
    (run,) = trial.logged()
    assert run.outcome == "failed"


def test_a_run_during_another_one_does_not_change_its_record(trial: Trial) -> None:
    trial.arrives(20, "id,email\n1,a\n")
    refusals: list[CourierError] = []

    def run_too(_key: str) -> None:
        with pytest.raises(BusyCourierError) as found:
            trial.runs(20, 20)
        refusals.append(found.value)

    trial.bucket.on_fetch = run_too
    trial.runs(20, 20)
    assert len(refusals) == 1
    assert [run.outcome for run in trial.logged()] == ["completed"]


@pytest.mark.parametrize("odd", ["", "lock/x"], ids=["file in place of the folder", "folder in place of the lock"])
def test_a_work_folder_that_cannot_be_used_is_reported(trial: Trial, odd: str) -> None:
    trial.arrives(20, "id,email\n1,a\n")
    folder = trial.context.work(trial.courier)
    if odd:
        (folder / odd).mkdir(parents=True)
    else:
        folder.parent.mkdir()
        folder.write_bytes(b"")

    with pytest.raises(SetupError, match=r"The (folder|file) `.*` cannot be (created: File exists|opened: Is a dir)"):
        trial.runs(20, 20)


def test_a_caller_that_retries_records_its_final_failure_itself(trial: Trial) -> None:
    """A group that waits for files retries every minute."""
    heard: list[Notice] = []
    quiet = replace(trial.context, project=replace(trial.context.project, couriers={"Heap": trial.courier}))
    group = group_context(replace(quiet, report=heard.append), Audience(), lambda _seconds: None)
    days = Days.of(day(20))
    with pytest.raises(MissingFilesError) as found:
        group.run_courier("Heap", days, days, False)
    assert trial.logged() == []
    group.give_up("Heap", days, found.value)
    assert [run.outcome for run in trial.logged()] == ["failed"]


# A feed that is changed while a run fetches

WIDER = replace(USERS, fields=(*USERS.fields, Field("plan", STRING, "plan")))


def test_a_run_loads_by_the_definition_that_is_active_at_the_time_of_loading(trial: Trial) -> None:
    trial.arrives(20, "id,email,plan\n1,a,pro\n")
    trial.bucket.on_fetch = lambda _key: trial.activates(WIDER)

    result = trial.runs(20, 20)

    assert not result.failed
    assert trial.stored("id, email, plan") == [(1, "a", "pro")]


def test_a_feed_that_was_activated_with_changes_and_then_reverted_only_in_its_file_is_not_loaded(trial: Trial) -> None:
    """The active definition is neither that of the run nor that of the file, so it is unclear which to use."""

    def change(_key: str) -> None:
        trial.activates(WIDER)
        write_feed(USERS, trial.folder / "feeds" / "users.yaml")

    trial.arrives(20, "id,email,plan\n1,a,pro\n")
    trial.bucket.on_fetch = change

    (failed,) = trial.runs(20, 20).failed

    assert "`Heap:Users` changed while its files were being fetched" in str(failed.message)
    assert trial.stored("id, plan") == []


def test_a_feed_that_was_only_edited_loads_in_its_active_form(trial: Trial) -> None:
    trial.arrives(20, "id,email,plan\n1,a,pro\n")
    trial.bucket.on_fetch = lambda _key: write_feed(WIDER, trial.folder / "feeds" / "users.yaml")
    assert not trial.runs(20, 20).failed
    assert trial.stored() == [(1, "a")]


# Days that are retried


def test_files_of_earlier_days_are_loaded_but_not_required(trial: Trial) -> None:
    trial.arrives(20, "id,email\n1,new\n")
    required = Days.of(day(20))
    assert trial.runs(18, 20, required=required).missing_days == {day(18), day(19)}

    trial.arrives(19, "id,email\n1,old\n2,late\n")
    assert trial.runs(18, 20, required=required).missing_days == {day(18)}
    assert trial.stored() == [(1, "new"), (2, "late")]


def test_files_of_the_required_days_are_required(trial: Trial) -> None:
    trial.arrives(19, "id,email\n1,a\n")
    with pytest.raises(MissingFilesError, match="2026-11-20"):
        trial.runs(18, 20, required=Days.of(day(20)))
    result = trial.runs(18, 20, required=Days.of(day(20)), skip_missing=True)
    assert result.missing_days == {day(18), day(20)}


def test_a_table_is_truncated_even_if_a_file_of_an_earlier_day_never_arrived(trial: Trial) -> None:
    trial.loads({"df-users001": [{"type": "truncate"}, {"type": "load", "file": "users"}]})
    trial.arrives(19, "id,email\n1,a\n")
    trial.runs(19, 19)
    trial.bucket.objects.clear()
    trial.arrives(20, "id,email\n2,b\n")

    trial.runs(18, 20, required=Days.of(day(20)))

    assert trial.stored() == [(2, "b")]


# References to feeds


@pytest.mark.parametrize("name", ["df-users001", "Heap:Users", "heap:users"])
def test_load_operations_refer_to_a_feed_by_its_id_or_its_domain_table(trial: Trial, name: str) -> None:
    trial.loads({name: [{"type": "load", "file": "users"}]})
    trial.arrives(20, "id,email\n1,a\n")
    assert not trial.runs(20, 20).failed
    assert trial.stored() == [(1, "a")]


def test_load_operations_with_the_same_feed_twice_are_refused(trial: Trial) -> None:
    load = [{"type": "load", "file": "users"}]
    trial.loads({"df-users001": load, "Heap:Users": load})
    with pytest.raises(CourierError, match="`df-users001` and `Heap:Users` are the same feed"):
        trial.runs(20, 20)


# Check


def avro() -> bytes:
    content = io.BytesIO()
    schema = {
        "type": "record",
        "name": "u",
        "fields": [{"name": "id", "type": "long"}, {"name": "email", "type": "string"}],
    }
    fastavro.writer(content, fastavro.parse_schema(schema), [{"id": 1, "email": "a"}])
    return content.getvalue()


def test_a_check_reads_the_newest_file_of_each_entity(trial: Trial) -> None:
    trial.asks_for(entity(), entity("'events/'yyyy-MM-dd'.csv'", "events"))
    trial.arrives(19, "id\n1\n")
    trial.arrives(20, "id,email\n1,a\n")
    trial.bucket.objects["events/2020-01-01.csv"] = b"id\n1\n"
    fetched: list[str] = []
    trial.bucket.on_fetch = fetched.append

    assert "`users-2026-11-20.csv`, `events/2020-01-01.csv`" in trial.checks()

    assert sorted(fetched) == ["events/2020-01-01.csv", "users-2026-11-20.csv"]
    assert not (trial.context.work(trial.courier) / "check").exists()


def test_a_check_during_another_one_does_not_touch_its_files(trial: Trial) -> None:
    """For example after a double click in the console."""
    trial.asks_for(entity(), entity("'events-'yyyy-MM-dd'.csv'", "events"))
    trial.arrives(20, "id,email\n1,a\n")
    trial.bucket.objects["events-2026-11-20.csv"] = b"id\n1\n"

    def check_too(_key: str) -> None:
        trial.bucket.on_fetch = lambda _key: None
        with suppress(BusyCourierError):
            trial.checks()

    trial.bucket.on_fetch = check_too

    assert "`users-2026-11-20.csv`" in trial.checks()


def broken() -> Iterator[tuple[str, list[dict[str, Any]], dict[str, bytes], str]]:
    users = {"users-2026-11-20.csv": b"id,email\n1,a\n"}
    yield "a pattern without a match", [entity("'user-'yyyy-MM-dd'.csv'")], users, "the newest similar file is `users-"
    yield "a wrong prefix", [entity()], {}, "there is no file at all"
    both = [entity(), entity("'events-'yyyy-MM-dd'.csv'", "events")]
    yield "one of two patterns", both, users, "No file matches 'events-'yyyy-MM-dd'.csv'"
    yield "Avro declared as CSV", [entity()], {"users-2026-11-20.csv": avro()}, "correct its `file/content-type`"
    declared = [entity(content_type="application/avro")]
    yield "CSV declared as Avro", declared, users, "users-2026-11-20.csv"
    yield "no column for the key", [entity()], {"users-2026-11-20.csv": b"email\na\n"}, "`id`"


@pytest.mark.parametrize(
    ("entities", "objects", "sentence"), [case[1:] for case in broken()], ids=[case[0] for case in broken()]
)
def test_a_check_reports_what_would_make_a_run_fail(
    trial: Trial, entities: list[dict[str, Any]], objects: dict[str, bytes], sentence: str
) -> None:
    trial.asks_for(*entities)
    trial.bucket.objects.update(objects)
    with pytest.raises(CourierError) as failed:
        trial.checks()
    assert sentence in str(failed.value)


def test_an_optional_entity_without_a_file_is_not_a_failure(trial: Trial) -> None:
    trial.asks_for(entity(), entity("'events-'yyyy-MM-dd'.csv'", "events", **{"object/optional": True}))
    trial.arrives(20, "id,email\n1,a\n")
    assert "users-2026-11-20.csv" in trial.checks()


def test_an_unknown_feed_is_reported_before_any_file_is_fetched(trial: Trial) -> None:
    trial.loads({"df-other": [{"type": "load", "file": "users"}]})
    with pytest.raises(MissingFeedsError):
        trial.checks()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (
            "heap_courier.feeds.column_mapping.converted",
            "`odd.ndjson` cannot be read: it raised an unexpected KeyError",
        ),
        ("heap_courier.feeds.ingest.map_columns", "`odd.ndjson` cannot be read: it raised an unexpected KeyError"),
        ("heap_courier.feeds.ingest.load", "heap-courier failed unexpectedly (KeyError)"),
    ],
)
def test_any_error_in_one_feed_does_not_affect_the_others(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    """It is reported in a sentence without the exception's message, which may quote a row."""
    odd = Feed("df-odd00001", "Heap", "Odd", (Field("id", STRING, "id"),), ("id",))
    write_feed(odd, trial.folder / "feeds" / "odd.yaml")
    with trial.context.warehouse() as warehouse:
        activate(warehouse, odd, None, now=NOW, truncate=False, workers=1)
    trial.asks_for(entity("'odd.ndjson'", "odd", content_type="application/x-ndjson"), entity())
    trial.loads({"df-odd00001": [{"type": "load", "file": "odd"}], "df-users001": [{"type": "load", "file": "users"}]})
    trial.bucket.objects["odd.ndjson"] = b'{"id": "1"}'
    trial.arrives(20, "id,email\n1,a\n")
    owner, _, name = place.rpartition(".")
    real = getattr(import_module(owner), name)
    failures = [KeyError("secret")]

    def fails_once(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments, **more)

    monkeypatch.setattr(place, fails_once)
    report = trial.runs(20, 20)

    (failed,) = report.failed
    assert failed.domain_table == "Heap:Odd"
    assert failed.message is not None
    assert words in failed.message
    assert "secret" not in failed.message
    assert trial.stored() == [(1, "a")]


def test_a_failed_run_keeps_fetched_files_but_not_unpacked_ones(trial: Trial) -> None:
    """The next run need not fetch files again, and unpacked archives do not occupy the disk permanently."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("users.csv", "id,email\nx,a\ny,b\n")
    trial.bucket.objects["users.zip"] = packed.getvalue()
    member = {"subobject/land-as": entity()["object/land-as"]}
    trial.asks_for(
        {"object/type": "archive", "object/file-pattern": "'users.zip'", "archive/contents": {"users.csv": member}}
    )

    assert trial.runs(20, 20).failed

    folder = trial.context.work(trial.courier) / "files"
    assert [path.name.partition("-")[2] for path in folder.rglob("*")] == ["users.zip"]
