"""The files of a feed are loaded into its domain table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from heap_courier.data_types.field_types import DATETIME, INTEGER, STRING
from heap_courier.errors import RejectedRow, SchemaError, TooManyRejectsError, UnreadableFileError
from heap_courier.feeds.ingest import FeedResult, ingest
from heap_courier.feeds.model import Feed, Field
from heap_courier.files.fileset import FetchedFile
from heap_courier.formats.file_format import FileFormat
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.run_log import Rejected, TableRun

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
USERS = Feed(
    id="df-users001",
    source="Heap",
    name="Users",
    fields=(Field("id", INTEGER, "ID"), Field("email", STRING, "email"), Field("seen", DATETIME, "seen")),
    primary_key=("id",),
    last_updated="seen",
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    opened = DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)
    yield opened
    opened.close()


@pytest.fixture
def load(warehouse: Warehouse, tmp_path: Path) -> Any:
    """Loads CSV files, given by their lines; an hour passes with each call."""
    times = iter(range(1000))

    def ingested(*contents: str, feed: Feed = USERS, truncate: bool = False) -> FeedResult:
        hour = next(times)
        files = []
        for number, content in enumerate(contents):
            path = tmp_path / f"{hour}-{number}.csv"
            path.write_text(content)
            day = date(2026, 11, 1 + number)
            files.append(FetchedFile(path, path.name, "users", day, FileFormat("text/csv"), len(content), NOON))
        outcomes: list[FeedResult] = []
        done = ingest(
            warehouse,
            feed,
            files,
            truncate=truncate,
            now=NOON + timedelta(hours=hour),
            workers=2,
            advance=lambda _rows: None,
            after=outcomes.append,
        )
        assert outcomes == [done]
        return done

    return ingested


def rows(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.query('SELECT * FROM "Heap:Users" ORDER BY 1, 2')


def test_rows_of_several_files_are_loaded_by_the_feeds_fields(load: Any, warehouse: Warehouse) -> None:
    done = load("id,email,seen\n1,a,2026-11-01\n", "id,email,seen\n2,b,2026-11-02T10:00:00Z\n")

    assert rows(warehouse) == [(1, "a", datetime(2026, 11, 1)), (2, "b", datetime(2026, 11, 2, 10))]  # noqa: DTZ001
    assert done.table == TableRun("Heap:Users", files=2, rows=2, rejected=0, merged=2, stored=2)


def test_of_equally_new_rows_the_later_day_wins_and_then_the_later_row(load: Any, warehouse: Warehouse) -> None:
    load("id,email,seen\n1,a,2026-11-01\n1,b,2026-11-01\n", "id,email,seen\n1,c,2026-11-01\n1,d,2026-11-01\n")

    assert [row[1] for row in rows(warehouse)] == ["d"]


def test_a_generated_last_updated_field_lets_new_rows_win(load: Any, warehouse: Warehouse) -> None:
    generated = replace(USERS, last_updated=None)
    load("id,email,seen\n1,first,2026-11-30\n", feed=generated)
    load("id,email,seen\n1,second,2026-11-01\n", feed=generated)

    (row,) = rows(warehouse)
    assert row == (1, "second", datetime(2026, 11, 1), datetime(2026, 11, 21, 13))  # noqa: DTZ001


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("last_updated", ["seen", None])
@pytest.mark.parametrize("key", [("id",), ("id", "email")])
def test_files_that_are_loaded_again_unchanged_add_and_change_nothing(
    load: Any, *, key: tuple[str, ...], last_updated: str | None, truncate: bool
) -> None:
    feed = replace(USERS, primary_key=key, last_updated=last_updated)
    content = "id,email,seen\n1,a,2026-11-30\n2,b,2026-11-01\n"
    load(content, feed=feed)

    assert load(content, feed=feed, truncate=truncate).table.merged == 0
    assert load(f"{content}3,c,2026-11-01\n", feed=feed, truncate=truncate).table.merged == 1


def test_the_fields_of_a_composite_key_are_joined_in_one_column(load: Any, warehouse: Warehouse) -> None:
    load("id,email,seen\n1,a,2026-11-01\n1,b,2026-11-01\n", feed=replace(USERS, primary_key=("id", "email")))

    assert [row[3] for row in rows(warehouse)] == ["1|a", "1|b"]


def test_truncate_removes_all_earlier_rows(load: Any, warehouse: Warehouse) -> None:
    load("id,email,seen\n1,a,2026-11-30\n2,b,2026-11-30\n")
    load("id,email,seen\n2,c,2026-11-01\n", truncate=True)

    assert [row[:2] for row in rows(warehouse)] == [(2, "c")]


def test_rejected_rows_up_to_the_threshold_are_skipped_and_listed(load: Any, warehouse: Warehouse) -> None:
    lines = "".join(f"{number},a,2026-11-01\n" for number in range(1, 100))

    done = load(f"id,email,seen\n{lines}x,secret,2026-11-01\n")

    assert done.table == TableRun("Heap:Users", files=1, rows=100, rejected=1, merged=99, stored=99)
    assert done.rejected == (Rejected("0-0.csv", RejectedRow(100, "id", "is not a 64-bit integer")),)
    assert len(rows(warehouse)) == 99


def test_one_rejected_row_more_and_nothing_is_loaded(load: Any, warehouse: Warehouse) -> None:
    load("id,email,seen\n500,old,2026-11-01\n")
    lines = "".join(f"{number},a,2026-11-01\n" for number in range(1, 99))

    with pytest.raises(TooManyRejectsError) as stopped:
        load(f"id,email,seen\n{lines}x,secret,2026-11-01\n,secret,2026-11-01\n", truncate=True)

    assert [row[:2] for row in rows(warehouse)] == [(500, "old")]
    assert str(stopped.value).startswith(
        "Heap:Users: 2 of 100 rows were rejected, more than the error threshold of 1% allows, so nothing was loaded. "
        "The first is row 99 of `1-0.csv`: column `id` is not a 64-bit integer."
    )
    assert "secret" not in str(stopped.value)
    assert (stopped.value.rows, stopped.value.rejected) == (100, 2)
    assert [(file, row.row) for file, row in stopped.value.named] == [("1-0.csv", 99), ("1-0.csv", 100)]


@pytest.mark.parametrize(("threshold", "is_loaded"), [(0, False), (50, True), (100, True)])
def test_the_threshold_is_the_feeds(load: Any, *, threshold: int, is_loaded: bool) -> None:
    feed = replace(USERS, error_threshold=threshold)
    content = "id,email,seen\nx,a,2026-11-01\n1,a,2026-11-01\n"
    if is_loaded:
        assert load(content, feed=feed).table.rejected == 1
    else:
        with pytest.raises(TooManyRejectsError):
            load(content, feed=feed)


def test_if_a_file_lacks_the_key_no_file_is_loaded(load: Any, warehouse: Warehouse) -> None:
    with pytest.raises(SchemaError, match=r"`0-1\.csv` has no column `ID`"):
        load("id,email,seen\n1,a,2026-11-01\n", "email,seen\na,2026-11-01\n")

    assert not warehouse.columns("Heap:Users")


def test_if_a_file_cannot_be_read_no_file_is_loaded(load: Any, warehouse: Warehouse) -> None:
    with pytest.raises(UnreadableFileError):
        load("id,email,seen\n1,a,2026-11-01\n", "")

    assert not warehouse.columns("Heap:Users")


def test_columns_without_a_field_are_reported(load: Any) -> None:
    done = load("id,email,seen,plan\n1,a,2026-11-01,pro\nx,a,2026-11-01,pro\n", feed=replace(USERS, error_threshold=50))

    assert list(done.notices("RUN")) == [
        "Heap:Users: 1 row was rejected; `heap-courier runs RUN` lists them.",
        "Heap:Users: ignored columns, for which the feed has no field: `plan`.",
    ]
