"""Readers see a state that the warehouse has committed, whatever happens during publication."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from courier.unit_tests.delta.conftest import Publisher, same
from heap_courier.delta import published
from heap_courier.errors import SetupError
from heap_courier.project.model import WarehouseSettings

USERS = 'CREATE TABLE "Heap:users" (id BIGINT, name VARCHAR)'
ADA = "INSERT INTO \"Heap:users\" (id, name) VALUES (1, 'Ada')"
MORE = "INSERT INTO \"Heap:users\" (id, name) VALUES (2, 'Ben'), (3, 'Ben')"


class KilledError(BaseException):
    """Stands in for killing the process."""


def domain_rows(publisher: Publisher, name: str = "Heap:users") -> list[dict[str, Any]]:
    with publisher.warehouse() as warehouse:
        columns = list(warehouse.columns(name))
        return [dict(zip(columns, row, strict=True)) for row in warehouse.query(f'SELECT * FROM "{name}"')]


def test_a_table_is_created_then_left_alone_until_it_changes(publisher: Publisher) -> None:
    publisher.execute(USERS, ADA)
    created = publisher.publish()["Heap:users"]
    assert (created.how, created.rows, created.version) == ("created", 1, 0)
    assert created.address == str(publisher.place / "Heap.users")
    assert publisher.how() == {"Heap:users": "unchanged"}
    assert publisher.table("Heap:users").version() == 0


def test_after_rows_were_added_only_those_are_written(publisher: Publisher) -> None:
    publisher.execute(USERS, ADA)
    publisher.publish()
    publisher.execute(MORE)
    result = publisher.publish()["Heap:users"]
    assert (result.how, result.rows, result.version) == ("added rows", 2, 1)
    assert same(publisher.rows("Heap:users"), domain_rows(publisher))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE \"Heap:users\" SET name = 'Eva' WHERE id = 1",
        'DELETE FROM "Heap:users" WHERE id = 1',
        'DELETE FROM "Heap:users"',
        'ALTER TABLE "Heap:users" ADD COLUMN born DATE',
        'ALTER TABLE "Heap:users" DROP COLUMN name',
        'ALTER TABLE "Heap:users" ALTER COLUMN id TYPE VARCHAR',
        'ALTER TABLE "Heap:users" RENAME COLUMN name TO called',
    ],
)
def test_any_other_change_writes_the_table_again(publisher: Publisher, change: str) -> None:
    publisher.execute(USERS, ADA, MORE)
    publisher.publish()
    publisher.execute(change)
    assert publisher.how() == {"Heap:users": "rewritten"}
    assert same(publisher.rows("Heap:users"), domain_rows(publisher))
    assert publisher.how() == {"Heap:users": "unchanged"}


def test_an_empty_table_has_its_columns(publisher: Publisher) -> None:
    publisher.execute(USERS)
    assert publisher.how() == {"Heap:users": "created"}
    assert publisher.table("Heap:users").to_pyarrow_table().schema.names == ["id", "name"]
    publisher.execute(ADA)
    assert publisher.how() == {"Heap:users": "added rows"}
    assert same(publisher.rows("Heap:users"), domain_rows(publisher))


def test_a_view_is_published_if_the_project_lists_it(tmp_path: Path) -> None:
    publisher = Publisher(
        tmp_path, WarehouseSettings("duckdb", path=tmp_path / "heap.duckdb"), ("Heap:users:resolved",)
    )
    publisher.execute(USERS, ADA, 'CREATE VIEW "Heap:users:resolved" AS SELECT id FROM "Heap:users"')
    assert publisher.how() == {"Heap:users": "created", "Heap:users:resolved": "created"}
    assert publisher.rows("Heap:users:resolved") == [{"id": 1}]
    publisher.execute("UPDATE \"Heap:users\" SET name = 'Eva'")
    assert publisher.how() == {"Heap:users": "rewritten", "Heap:users:resolved": "unchanged"}


def test_a_view_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path, WarehouseSettings("duckdb", path=tmp_path / "heap.duckdb"), ("Heap:user",))
    publisher.execute(USERS)
    with pytest.raises(SetupError, match=r"delta\.views: there is no view `Heap:user` \(did you mean `Heap:users`\?\)"):
        publisher.publish()


STEPS = st.lists(
    st.sampled_from(
        [
            ADA,
            MORE,
            "UPDATE \"Heap:users\" SET name = 'Eva' WHERE id = 1",
            'DELETE FROM "Heap:users" WHERE id = 2',
            'DELETE FROM "Heap:users"',
            'ALTER TABLE "Heap:users" ADD COLUMN IF NOT EXISTS born DATE',
            'ALTER TABLE "Heap:users" ALTER COLUMN id TYPE VARCHAR',
            "publish",
            "publish, killed before the commit",
            "publish, killed after the commit",
        ]
    ),
    max_size=8,
)


@given(STEPS)
@settings(max_examples=8)
def test_readers_see_the_committed_state_whatever_was_killed_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    publisher = Publisher(folder, WarehouseSettings("duckdb", path=folder / "heap.duckdb"))
    publisher.execute(USERS)
    for step in steps:
        if step.startswith("publish"):
            before = domain_rows(publisher)
            with pytest.MonkeyPatch.context() as patch:
                kill(patch, step.removeprefix("publish"))
                try:
                    publisher.publish()
                except KilledError:
                    continue
            assert same(publisher.rows("Heap:users"), before)
        else:
            publisher.execute(step)
    publisher.publish()
    assert same(publisher.rows("Heap:users"), domain_rows(publisher))


def kill(patch: pytest.MonkeyPatch, when: str) -> None:
    """Simulates a kill at the first version that is written."""

    def killed(*arguments: Any, **options: Any) -> None:
        if "after" in when:
            write_deltalake(*arguments, **options)
        raise KilledError

    if when:
        patch.setattr(published, "write_deltalake", killed)


def test_a_publication_that_was_killed_between_tables_is_completed_by_the_next(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [f"Heap:t{number}" for number in range(3)]
    publisher.execute(*(f'CREATE TABLE "{name}" AS SELECT 1 AS id' for name in tables))
    with monkeypatch.context() as patch:
        kill(patch, "after")
        with pytest.raises(KilledError):
            publisher.publish()
    assert publisher.how() == {"Heap:t0": "unchanged", "Heap:t1": "created", "Heap:t2": "created"}


def test_of_two_publishers_the_slower_one_retries_and_adds_no_row_twice(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.execute(USERS, ADA)
    publisher.publish()
    publisher.execute(MORE)
    raced = threading.Event()

    def another_first(target: Any, data: Any, **options: Any) -> None:
        if not raced.is_set():
            raced.set()
            rows = data.read_all()
            write_deltalake(DeltaTable(target.table_uri), rows, **options)
            data = rows
        write_deltalake(target, data, **options)

    monkeypatch.setattr(published, "write_deltalake", another_first)
    result = publisher.publish()["Heap:users"]
    assert (raced.is_set(), result.how, result.version) == (True, "unchanged", 1)
    assert same(publisher.rows("Heap:users"), domain_rows(publisher))


def test_a_table_changed_by_someone_else_is_rewritten(publisher: Publisher) -> None:
    publisher.execute(USERS, ADA)
    publisher.publish()
    publisher.table("Heap:users").delete("id = 1")
    assert publisher.how() == {"Heap:users": "rewritten"}
    assert same(publisher.rows("Heap:users"), domain_rows(publisher))


def test_maintenance_by_someone_else_does_not_count_as_a_change(publisher: Publisher) -> None:
    publisher.execute(USERS, ADA)
    publisher.publish()
    publisher.execute(MORE)
    publisher.publish()
    publisher.table("Heap:users").optimize.compact()
    publisher.table("Heap:users").vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert publisher.how() == {"Heap:users": "unchanged"}


def test_a_foreign_table_is_not_changed_and_the_others_are_published(publisher: Publisher) -> None:
    publisher.execute(USERS, ADA, 'CREATE TABLE "Heap:visits" AS SELECT 1 AS id')
    write_deltalake(str(publisher.place / "Heap.users"), pa.table({"id": [7]}))
    results = publisher.publish()
    assert {name: each.how for name, each in results.items()} == {"Heap:users": "failed", "Heap:visits": "created"}
    assert "that heap-courier did not write" in results["Heap:users"].message
    assert publisher.table("Heap:users").version() == 0


def test_old_files_are_removed_even_if_nothing_has_changed_since(publisher: Publisher) -> None:
    publisher.execute(USERS, ADA)
    publisher.publish()
    first = set(publisher.place.glob("*/*.parquet"))
    publisher.execute("UPDATE \"Heap:users\" SET name = 'Eva'")
    publisher.publish()
    assert first <= set(publisher.place.glob("*/*.parquet"))
    project = publisher.context.project
    assert project.delta
    delta = replace(project.delta, keep=timedelta())
    publisher.context = replace(publisher.context, project=replace(project, delta=delta))
    assert publisher.how() == {"Heap:users": "unchanged"}
    assert not first & set(publisher.place.glob("*/*.parquet"))
    assert same(publisher.rows("Heap:users"), domain_rows(publisher))
    assert publisher.how() == {"Heap:users": "unchanged"}


@pytest.mark.parametrize("name", ["50%", "a#b", "a[b]"])
def test_a_path_that_the_library_misreads_is_refused(tmp_path: Path, name: str) -> None:
    publisher = Publisher(tmp_path, WarehouseSettings("duckdb", path=tmp_path / "heap.duckdb"))
    project = publisher.context.project
    assert project.delta
    publisher.execute(USERS)
    delta = replace(project.delta, folder=tmp_path / name)
    publisher.context = replace(publisher.context, project=replace(project, delta=delta))
    with pytest.raises(SetupError, match="which the library for Delta tables does not support"):
        publisher.publish()
    assert not (tmp_path / name).exists()
