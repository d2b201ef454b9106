"""Steps of Heap Connect are loaded into a DuckDB file, without a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from courier.integration_tests.heap_bucket import avro, nullable
from heap_courier.errors import SchemaError
from heap_courier.formats import readers
from heap_courier.heap_connect.loader import Loader, OvertakenError
from heap_courier.heap_connect.manifests import Bookmark, Step
from heap_courier.heap_connect.reading import FORMAT, File
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

PEOPLE = nullable(user_id="long", email="string")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    with closing(DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)) as opened:
        yield opened


class Trial:
    """A loader of one courier, and the files that it loads."""

    def __init__(self, warehouse: Warehouse, folder: Path, courier: str = "daily", source: str = "Heap") -> None:
        self.warehouse = warehouse
        self.noted: list[StepResult] = []
        self._folder = folder
        self.loader = Loader(warehouse, courier, source, workers=1, advance=lambda _rows: None, note=self.noted.append)
        self.loader.finished()

    def begins(self, *tables: str) -> set[Bookmark]:
        return self.loader.begin(tables or ("users",))

    def loads(
        self, *rows: Mapping[str, Any], table: str = "users", dump: int = 1, types: Any = PEOPLE, **more: Any
    ) -> StepResult:
        key = f"{table}-{dump}.avro"
        files = self._files(key, types, rows) if rows else ()
        step = Step(dump, table, more.pop("full", False), tuple(types), tuple(file.key for file in files), **more)
        return self.loader.load(step, files)

    def rows(self, table: str = "users", columns: str = "*") -> list[tuple[Any, ...]]:
        return self.warehouse.query(f'SELECT {columns} FROM "Heap:{table}" ORDER BY 1')

    def _files(self, key: str, types: Any, rows: Sequence[Mapping[str, Any]]) -> tuple[File, ...]:
        path = self._folder / key
        path.write_bytes(avro(types, [dict(row) for row in rows]))
        return (File(key, path, readers.schema(path, FORMAT, key)),)


@pytest.fixture
def trial(warehouse: DuckDBWarehouse, tmp_path: Path) -> Trial:
    return Trial(warehouse, tmp_path)


def test_a_step_adds_rows_a_bookmark_and_a_view(trial: Trial) -> None:
    trial.begins()

    result = trial.loads({"user_id": 1, "email": "a"}, {"user_id": 2, "email": "b"})

    assert trial.rows() == [(1, "a", 1), (2, "b", 1)]
    assert trial.rows("users:resolved", "user_id, email") == [(1, "a"), (2, "b")]
    assert (result.run.domain_table, result.run.rows, result.run.stored, result.notice) == ("Heap:users", 2, 2, None)
    assert (trial.noted, result.files) == ([result], ("users-1.avro",))
    assert trial.begins() == {Bookmark(1, "users", "", full=False), Bookmark(1, "users", "users-1.avro", full=False)}


def test_the_last_of_several_rows_with_the_same_key_wins_on_postgresql_even_in_the_first_step(
    postgresql: str, tmp_path: Path
) -> None:
    with closing(PostgreSQLWarehouse(postgresql)) as warehouse:
        trial = Trial(warehouse, tmp_path)
        trial.begins()

        result = trial.loads({"user_id": 1, "email": "a"}, {"user_id": 2, "email": "b"}, {"user_id": 1, "email": "c"})

        assert trial.rows() == [(1, "c", 1), (2, "b", 1)]
        assert (trial.noted, result.run.rows, result.run.stored) == ([result], 3, 2)


def test_a_full_step_replaces_what_is_stored(trial: Trial) -> None:
    trial.begins()
    trial.loads({"user_id": 1, "email": "a"})

    trial.loads({"user_id": 2, "email": "b"}, dump=2, full=True)

    assert trial.rows() == [(2, "b", 2)]


def test_a_late_full_step_replaces_only_what_is_older(trial: Trial) -> None:
    trial.begins()
    trial.loads({"user_id": 1, "email": "old"}, dump=1)
    trial.loads({"user_id": 3, "email": "new"}, dump=3)

    trial.loads({"user_id": 2, "email": "late"}, dump=2, full=True, late=True)

    assert trial.rows() == [(2, "late", 2), (3, "new", 3)]


def test_integers_beyond_2_53_in_a_column_with_floats_make_it_text(trial: Trial) -> None:
    trial.begins("orders")
    trial.loads({"event_id": 1, "n": 2**53 + 1}, table="orders", types=nullable(event_id="long", n="long"))

    trial.loads({"event_id": 2, "n": 0.5}, table="orders", dump=2, types=nullable(event_id="long", n="double"))

    assert trial.rows("orders", "event_id, n") == [(1, "9007199254740993"), (2, "0.5")]


def test_unreadable_values_are_counted_and_listed(trial: Trial) -> None:
    trial.begins()
    types = nullable(user_id="long", joindate="string")

    result = trial.loads({"user_id": 1, "joindate": "soon"}, {"user_id": 2, "joindate": "2026-03-01"}, types=types)

    assert result.unreadable == {"joindate": 1}
    (example,) = result.examples
    assert (example.file, example.row.row, example.row.column) == ("users-1.avro", 1, "joindate")
    assert example.row.reason == "is not a date and time, and was loaded as null"


def test_a_dropped_table_starts_from_scratch(trial: Trial) -> None:
    trial.begins()
    trial.loads({"user_id": 1, "email": "a"})
    trial.warehouse.execute('DROP TABLE "Heap:users" CASCADE')

    assert trial.begins() == set()
    trial.loads({"user_id": 2, "email": "b"}, dump=2)
    assert trial.rows() == [(2, "b", 2)]
    assert {mark.dump_id for mark in trial.begins()} == {2}


@pytest.mark.parametrize(
    ("table", "types", "reason"),
    [
        ("users:resolved", PEOPLE, "has the name of one of the courier's views"),
        ("All_events:union", PEOPLE, "has the name of one of the courier's views"),
        ("users", nullable(**{"user_id": "long", "a\0b": "string"}), "has a NUL character in its name"),
    ],
)
def test_names_that_cannot_be_used_are_refused(trial: Trial, table: str, types: Any, reason: str) -> None:
    trial.begins(table)

    with pytest.raises(SchemaError, match=reason):
        trial.loads(table=table, types=types)
    assert trial.warehouse.columns(f"Heap:{table}") == {}


def test_a_table_that_was_not_created_from_dumps_is_refused(trial: Trial) -> None:
    trial.warehouse.execute('CREATE TABLE "Heap:users" (user_id bigint)')
    trial.begins()

    with pytest.raises(SchemaError, match="was not created from dumps of Heap Connect"):
        trial.loads({"user_id": 1, "email": "a"})


def test_a_table_of_another_courier_is_refused(trial: Trial, warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    trial.begins()
    trial.loads({"user_id": 1, "email": "a"})
    other = Trial(warehouse, tmp_path, courier="weekly")
    other.begins()

    with pytest.raises(SchemaError, match="is loaded by the courier `daily`"):
        other.loads({"user_id": 2, "email": "b"}, dump=2)
    assert trial.rows() == [(1, "a", 1)]


def test_a_plan_is_not_executed_if_another_run_has_loaded_the_table(
    trial: Trial, warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    again = Trial(warehouse, tmp_path)
    trial.begins()
    again.begins()
    again.loads({"user_id": 1, "email": "a"}, dump=2)

    with pytest.raises(OvertakenError, match="Another run loaded dumps of the table `Heap:users` in the meantime"):
        trial.loads({"user_id": 1, "email": "z"}, dump=1)
    assert trial.rows() == [(1, "a", 2)]


def test_finished_dumps_are_remembered_until_one_of_their_tables_is_dropped(trial: Trial) -> None:
    trial.begins()
    trial.loads({"user_id": 1, "email": "a"})
    trial.loader.finish([(1, frozenset({"_other"}))])

    assert trial.loader.finished() == {1: frozenset({"_other"})}
    trial.warehouse.execute('DROP TABLE "Heap:users" CASCADE')
    trial.begins()
    assert trial.loader.finished() == {}
