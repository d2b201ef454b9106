"""A run over a bucket in memory, into a DuckDB file: one table's failure affects no other."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import cast

import pyarrow as pa
import pytest

from courier.integration_tests.heap_bucket import BUCKET, Dump, TableDump, manifest_key, nullable, objects
from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.errors import InterruptedRunError, LaterError, MissingFilesError, SetupError, UnreadableFileError
from heap_courier.files.bucket import Bucket, Object
from heap_courier.files.entities import ColumnRule, HeapConnectEntity
from heap_courier.heap_connect.pull import manifest_keys, newest_files, pull
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.project.model import Courier, DefaultCredential
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

COURIER = Courier("daily", DefaultCredential(), BUCKET, "", None, None, Path("entities.json"), None)


def table(name: str, *ids: int, full: bool = False) -> TableDump:
    key = "user_id" if name == "users" else "event_id"
    return TableDump(name, nullable(**{key: "long"}), tuple({key: each} for each in ids), full)


class Trial:
    def __init__(self, warehouse: DuckDBWarehouse, folder: Path) -> None:
        self.warehouse = warehouse
        self.folder = folder
        self.memory = MemoryBucket(COURIER, {})
        self.bucket = cast("Bucket", self.memory)
        self.place = folder / "fetched"
        self.kept: Generator[StepResult, None, None] = (step for step in ())
        self.noted: list[StepResult] = []

    def arrives(self, number: int, *tables: TableDump) -> None:
        self.memory.objects.update(objects(Dump(number, tables), Random(number)))

    def key(self, part: str) -> str:
        (key,) = [key for key in self.memory.objects if part in key]
        return key

    def steps(self, **entity: tuple[str, ...]) -> Generator[StepResult, None, None]:
        kept = HeapConnectEntity(**entity)  # type: ignore[arg-type]  # (no source)
        return pull(self.warehouse, self.bucket, kept, self.place, workers=1, note=self.noted.append)

    def outcomes(self, **entity: tuple[str, ...]) -> list[tuple[int | None, str, str | None]]:
        return [(step.dump_id, step.run.domain_table, step.run.message) for step in self.steps(**entity)]

    def ids(self, name: str) -> list[int]:
        return [row[0] for row in self.warehouse.query(f'SELECT * FROM "Heap:{name}" ORDER BY 1')]


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    with closing(DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)) as warehouse:
        yield Trial(warehouse, tmp_path)


def refuses(part: str, error: Exception, trial: Trial) -> None:
    """Makes the bucket raise an error for keys that contain this text."""

    def on_fetch(key: str) -> None:
        if part in key:
            raise error

    trial.memory.on_fetch = on_fetch


def test_dumps_are_loaded_once_in_the_order_of_their_numbers(trial: Trial) -> None:
    trial.arrives(10, table("users", 2))
    trial.arrives(9, table("users", 1), table("sign_up", 7))

    assert trial.outcomes() == [(9, "Heap:users", None), (9, "Heap:sign_up", None), (10, "Heap:users", None)]
    assert (trial.ids("users"), trial.ids("sign_up")) == ([1, 2], [7])
    assert trial.outcomes() == []
    assert list(trial.place.iterdir()) == []


def test_what_the_entity_excludes_is_not_loaded_until_it_is_included(trial: Trial) -> None:
    trial.arrives(1, table("users", 1), table("sign_up", 7))

    assert trial.outcomes(exclude=("sign_*",)) == [(1, "Heap:users", None)]
    assert trial.outcomes(exclude=("sign_*",)) == []
    assert trial.outcomes(tables=("sign_up",)) == [(1, "Heap:sign_up", None)]


def test_a_file_that_cannot_be_fetched_fails_its_table_whose_later_dumps_wait(trial: Trial) -> None:
    trial.arrives(1, table("users", 1), table("sign_up", 7))
    trial.arrives(2, table("users", 2), table("sign_up", 8))
    refuses("sync_1/users", UnreadableFileError("It is in cold storage."), trial)

    failed, *others = trial.outcomes()

    assert failed == (1, "Heap:users", "Dump 1: It is in cold storage. Later dumps of the table wait for it: 2.")
    assert others == [(1, "Heap:sign_up", None), (2, "Heap:sign_up", None)]
    assert [step.run.message is None for step in trial.noted] == [False, True, True]

    trial.memory.on_fetch = lambda _key: None
    assert trial.outcomes() == [(1, "Heap:users", None), (2, "Heap:users", None)]


def test_a_damaged_file_fails_only_its_table(trial: Trial) -> None:
    trial.arrives(1, table("users", 1), table("sign_up", 7))
    trial.memory.objects[trial.key("sync_1/users")] = b"Obj"

    (_, _, message), other = trial.outcomes()

    assert "is not an Avro file" in (message or "")
    assert other == (1, "Heap:sign_up", None)


@pytest.mark.parametrize("error", [ZeroDivisionError("a@b.example"), SetupError("No room."), LaterError("Not now.")])
def test_any_error_in_one_file_does_not_affect_others_if_the_bucket_responds(trial: Trial, error: Exception) -> None:
    trial.arrives(1, table("users", 1), table("sign_up", 7))
    refuses("sync_1/users", error, trial)

    (_, _, message), other = trial.outcomes()

    assert "a@b.example" not in (message or "")
    assert (message or "").startswith("Dump 1: ")
    assert other == (1, "Heap:sign_up", None)


def test_a_bucket_that_stops_responding_stops_the_run_but_what_was_loaded_stays(trial: Trial) -> None:
    trial.arrives(1, table("sign_up", 7))
    trial.arrives(2, table("users", 1))
    steps = trial.steps()

    def gone(_prefix: str = "") -> Iterator[Object]:
        raise LaterError("Not now.")

    def on_fetch(key: str) -> None:
        if "sync_2/users" in key:
            trial.memory.list = gone  # type: ignore[method-assign]
            gone()

    trial.memory.on_fetch = on_fetch

    with pytest.raises(LaterError, match="Not now"):
        list(steps)
    assert trial.ids("sign_up") == [7]


def test_a_bucket_that_is_emptied_during_a_run_fails_the_tables_that_are_not_loaded_yet(trial: Trial) -> None:
    """It is not mistaken for a bucket without dumps."""
    trial.arrives(1, table("sign_up", 7))
    trial.arrives(2, table("users", 1))

    def on_fetch(key: str) -> None:
        if "sync_2/users" in key:
            trial.memory.objects.clear()
            raise SetupError("It refused the request.")

    trial.memory.on_fetch = on_fetch

    assert trial.outcomes() == [
        (1, "Heap:sign_up", None),
        (2, "Heap:users", "Dump 2: It refused the request."),
    ]


def test_a_run_can_be_stopped_while_it_fetches(trial: Trial) -> None:
    trial.arrives(1, table("users", 1), table("sign_up", 7))
    refuses("sync_1/users", InterruptedRunError("It was stopped."), trial)

    with pytest.raises(InterruptedRunError):
        list(trial.steps())


class Straggler:
    """The thread that fetches the first file whose key contains a text: it pauses before the file arrives."""

    def __init__(self, trial: Trial, part: str) -> None:
        self._part = part
        self._thread: threading.Thread | None = None
        self._begun = threading.Event()
        self._freed = threading.Event()
        trial.memory.on_fetch = self._hold

    def _hold(self, key: str) -> None:
        if self._part in key and self._thread is None:
            self._thread = threading.current_thread()
            self._begun.set()
            assert self._freed.wait(60)

    def wait(self) -> None:
        assert self._begun.wait(60)

    def finish(self) -> None:
        assert self._thread
        self._freed.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def fails(error: BaseException) -> Callable[[Trial, Straggler], None]:
    """A run in which the load of the second dump raises this."""

    def run(trial: Trial, straggler: Straggler) -> None:
        def begin(what: str) -> None:
            if what.endswith("dump 2"):
                straggler.wait()
                raise error

        with pytest.raises(type(error)):
            list(pull(trial.warehouse, trial.bucket, HeapConnectEntity(), trial.place, workers=1, begin=begin))

    return run


def is_closed(trial: Trial, straggler: Straggler) -> None:
    steps = trial.steps()
    next(steps), next(steps)
    straggler.wait()
    steps.close()


def is_forgotten(trial: Trial, straggler: Straggler) -> None:
    """Its iterator stays alive until the test ends, as in the traceback of an error that is kept."""
    trial.kept = trial.steps()
    next(trial.kept), next(trial.kept)
    straggler.wait()


@pytest.mark.parametrize(
    "break_off",
    [
        fails(LaterError("The warehouse does not answer.")),
        fails(InterruptedRunError("It was stopped.")),
        fails(KeyboardInterrupt()),
        is_closed,
        is_forgotten,
    ],
    ids=["error", "stop", "Ctrl-C", "closed", "forgotten"],
)
def test_a_thread_left_over_from_a_stopped_run_does_not_touch_the_files_of_the_next_run(
    trial: Trial, break_off: Callable[[Trial, Straggler], None]
) -> None:
    """The thread ends when the third step of the next run is fetched but not loaded; its own step has that number."""
    for number in range(1, 6):
        trial.arrives(number, table("users", number))
    straggler = Straggler(trial, "sync_3/users")
    break_off(trial, straggler)
    begun: list[str] = []

    def begin(what: str) -> None:
        begun.append(what)
        if len(begun) == 3:
            straggler.finish()
            trial.kept.close()

    steps = list(pull(trial.warehouse, trial.bucket, HeapConnectEntity(), trial.place, workers=1, begin=begin))

    assert [step.run.message for step in steps if step.run.message] == []
    assert trial.ids("users") == [1, 2, 3, 4, 5]
    assert list(trial.place.iterdir()) == []


@pytest.mark.parametrize("left", ["0", "files/0"])
def test_leftovers_in_the_folder_of_fetched_files_do_not_matter(trial: Trial, left: str) -> None:
    """Nor does it matter if the folder is a link to another disk."""
    trial.arrives(1, table("users", 1))
    elsewhere = trial.folder / "elsewhere"
    (elsewhere / left).mkdir(parents=True)
    (elsewhere / left / "0.avro").write_bytes(b"left")
    (elsewhere / "gone").symlink_to(trial.folder / "nowhere")
    trial.place.symlink_to(elsewhere)

    assert trial.outcomes() == [(1, "Heap:users", None)]
    assert list(elsewhere.iterdir()) == []


def test_a_folder_for_fetched_files_that_cannot_be_created_is_reported(trial: Trial) -> None:
    trial.arrives(1, table("users", 1))
    trial.place.write_bytes(b"")

    with pytest.raises(SetupError, match=r"The folder `.*fetched` cannot be created: File exists\."):
        trial.outcomes()


def test_a_full_disk_while_stored_columns_are_hashed_is_reported_and_changes_nothing(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ({"user_id": 1, "email": "a@b.example"},)
    trial.arrives(1, TableDump("users", nullable(user_id="long", email="string"), rows))
    trial.outcomes()
    before = trial.warehouse.query('SELECT * FROM "Heap:users"')
    entity = HeapConnectEntity(columns=(ColumnRule("users", "email", "hash"),), hash_secret_env="SALT")  # noqa: S106

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pa, "OSFile", full)
    with pytest.raises(SetupError, match=r"The file `.*private\.arrow` cannot be written: No space left on device\."):
        list(
            pull(
                trial.warehouse,
                trial.bucket,
                entity,
                trial.place,
                workers=1,
                environment={"SALT": "a secret of some length"},
            )
        )

    assert trial.warehouse.query('SELECT * FROM "Heap:users"') == before
    assert list(trial.place.iterdir()) == []


def test_a_manifest_that_cannot_be_read_is_reported_and_the_others_are_loaded(trial: Trial) -> None:
    trial.arrives(1, table("users", 1))
    trial.memory.objects[manifest_key(2)] = b"{"

    (dump, key, message), other = trial.outcomes()

    assert (dump, key) == (None, manifest_key(2))
    assert "is not valid JSON" in (message or "")
    assert other == (1, "Heap:users", None)


def test_the_manifest_of_a_finished_dump_is_no_longer_needed(trial: Trial) -> None:
    trial.arrives(1, table("users", 1), table("sign_up", 7))
    list(trial.steps(exclude=("sign_up",)))
    refuses(manifest_key(1), UnreadableFileError("It is in cold storage."), trial)

    assert trial.outcomes(exclude=("sign_up",)) == []
    assert trial.outcomes() == [(None, manifest_key(1), "It is in cold storage.")]


def test_a_bucket_without_manifests_is_an_error(trial: Trial) -> None:
    with pytest.raises(MissingFilesError, match=r"There is no manifest `manifests/sync_<dump_id>\.json` in the bucket"):
        list(trial.steps())


def test_manifests_are_sorted_by_number() -> None:
    bucket = MemoryBucket(COURIER, {manifest_key(number): b"" for number in (100, 9, 10)} | {"manifests/x.json": b""})

    assert manifest_keys(cast("Bucket", bucket)) == [manifest_key(number) for number in (9, 10, 100)]


def test_samples_are_of_the_newest_dump_of_each_table_that_has_files(trial: Trial) -> None:
    trial.arrives(1, table("users", 1), table("sign_up", 7))
    trial.arrives(2, table("users", 2))

    found = newest_files(trial.bucket, HeapConnectEntity())

    assert [hit.object.key.rpartition("/")[0] for hit in found.hits] == ["sync_2/users", "sync_1/sign_up"]
