"""The columns and types of a table after a step, and how rows of a file are cast to them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.errors import SchemaError
from heap_courier.heap_connect.manifests import Step
from heap_courier.heap_connect.table_schema import DUMP, InexactIntegersError, cast_rows, field_type, target_table
from heap_courier.warehouse.upsert import Table

MIDNIGHT = datetime(2026, 3, 1)  # noqa: DTZ001  (a Datetime has no zone: it is UTC)
MILLISECONDS = 1_772_323_200_000


def step(table: str = "users", columns: tuple[str, ...] | None = ("user_id", "plan"), **more: Any) -> Step:
    return Step(7, table, full=False, columns=columns, files=("a.avro",), **more)


def made(
    step: Step, stored: dict[str, FieldType], *files: dict[str, pa.DataType], fresh: bool = False, **more: Any
) -> Table:
    return target_table(
        step, "Heap:users", stored, [pa.schema(list(each.items())) for each in files], fresh=fresh, **more
    )


def types(table: Table) -> dict[str, FieldType]:
    return {column.name: column.type for column in table.columns}


def test_the_manifest_determines_the_columns_and_the_files_their_types() -> None:
    table = made(step(), {}, {"user_id": pa.int64(), "plan": pa.string(), "other": pa.int64()}, fresh=True)

    assert types(table) == {"user_id": INTEGER, "plan": STRING, DUMP: INTEGER}
    assert (table.key, table.newest) == (("user_id",), (DUMP,))


def test_a_manifest_without_columns_adds_those_of_the_files_and_drops_none() -> None:
    table = made(step(columns=None), {"user_id": INTEGER, "old": DATE, DUMP: INTEGER}, {"plan": pa.bool_()})

    assert types(table) == {"user_id": INTEGER, "old": DATE, "plan": BOOLEAN, DUMP: INTEGER}


def test_a_late_dump_changes_no_columns() -> None:
    table = made(step(late=True), {"user_id": INTEGER, "old": DATE, DUMP: INTEGER}, {"plan": pa.bool_()})

    assert types(table) == {"user_id": INTEGER, "old": DATE, DUMP: INTEGER}


def test_a_key_stays_even_if_the_manifest_does_not_list_it() -> None:
    assert "user_id" in types(made(step(columns=("plan",)), {"user_id": INTEGER}, {"plan": pa.string()}))


@pytest.mark.parametrize(
    ("stored", "brought", "expected"),
    [
        (INTEGER, pa.int32(), INTEGER),
        (INTEGER, pa.float64(), FLOAT),
        (FLOAT, pa.int64(), FLOAT),
        (INTEGER, pa.string(), STRING),
        (BOOLEAN, pa.int64(), STRING),
        (DATE, pa.null(), DATE),
        (FieldType(Kind.DECIMAL, 10, 2), pa.decimal128(10, 2), FieldType(Kind.DECIMAL, 10, 2)),
        (FieldType(Kind.DECIMAL, 10, 2), pa.decimal128(12, 2), STRING),
    ],
)
def test_a_type_is_widened(stored: FieldType, brought: pa.DataType, expected: FieldType) -> None:
    assert types(made(step(), {"user_id": INTEGER, "plan": stored}, {"plan": brought}))["plan"] == expected


def test_stored_types_do_not_count_if_all_stored_rows_are_replaced() -> None:
    assert (
        types(made(step(), {"user_id": INTEGER, "plan": STRING}, {"plan": pa.int64()}, fresh=True))["plan"] == INTEGER
    )


def test_a_column_without_a_type_gets_a_default_in_an_empty_table_and_is_not_added_to_others() -> None:
    columns = ("user_id", "session_id", "plan")

    assert types(made(step(columns=columns), {}, fresh=True)) == {
        "user_id": INTEGER,
        "session_id": INTEGER,
        "plan": STRING,
        DUMP: INTEGER,
    }
    assert types(made(step(columns=columns), {"user_id": INTEGER})) == {"user_id": INTEGER, DUMP: INTEGER}


@pytest.mark.parametrize("brought", [pa.int64(), pa.string(), pa.float64()])
def test_a_time_becomes_an_instant_and_its_raw_value_is_kept(brought: pa.DataType) -> None:
    table = made(step(columns=("user_id", "joindate")), {}, {"joindate": brought}, fresh=True)

    assert types(table)["joindate"] == DATETIME
    assert types(table)["joindate_raw"] == field_type(brought)


def test_a_time_that_is_an_instant_in_the_file_has_no_raw_value() -> None:
    table = made(step(columns=("user_id", "joindate")), {}, {"joindate": pa.timestamp("us")}, fresh=True)

    assert "joindate_raw" not in types(table)


def test_columns_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(
        SchemaError, match="`users` has columns that differ only in case: rename `plan` or `Plan` in Heap"
    ):
        made(step(columns=("user_id", "plan", "Plan")), {}, fresh=True)


@pytest.mark.parametrize(
    ("table", "columns", "key", "newest"),
    [
        ("users", ("user_id", "last_modified"), ("user_id",), (DUMP, "last_modified")),
        ("user_migrations", ("from_user_id", "to_user_id", "time"), ("from_user_id",), (DUMP, "time")),
        ("sign_up", ("event_id", "time"), ("event_id",), (DUMP,)),
        ("notes", ("text",), (), (DUMP,)),
    ],
)
def test_the_key_and_the_newest_row_of_each_table(
    table: str, columns: tuple[str, ...], key: tuple[str, ...], newest: tuple[str, ...]
) -> None:
    found = made(step(table, columns), {}, fresh=True)

    assert (found.key, found.newest) == (key, newest)


# Rows


def rows_of(table: Table, **columns: pa.Array) -> list[dict[str, Any]]:
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    found: list[dict[str, Any]] = cast_rows(batch, table, 7).batch.to_pylist()
    return found


def test_rows_have_their_dump_and_null_for_what_the_file_lacks() -> None:
    table = made(step(), {}, {"user_id": pa.int64()}, fresh=True)

    assert rows_of(table, user_id=pa.array([1, 2])) == [
        {"user_id": 1, "plan": None, DUMP: 7},
        {"user_id": 2, "plan": None, DUMP: 7},
    ]


@pytest.mark.parametrize("value", [MILLISECONDS, f"{MILLISECONDS}", MILLISECONDS // 1000, "2026-03-01T00:00:00Z"])
def test_a_time_is_read_in_any_unit(value: Any) -> None:
    array = pa.array([value])
    table = made(step(columns=("joindate",)), {}, {"joindate": array.type}, fresh=True)

    assert rows_of(table, joindate=array) == [{"joindate": MIDNIGHT, "joindate_raw": value, DUMP: 7}]


def test_the_time_0_means_unknown() -> None:
    table = made(step(columns=("joindate",)), {}, {"joindate": pa.int64()}, fresh=True)

    assert rows_of(table, joindate=pa.array([0]))[0]["joindate"] is None


def test_a_time_that_is_text_because_it_is_hashed_is_unchanged() -> None:
    table = made(step(columns=("time",)), {}, {"time": pa.string()}, fresh=True, as_text=("time",))
    texts = pa.array(["1970-01-01", "0", "", None, "2026-03-01"])

    assert cast_rows(pa.record_batch({"time": texts}), table, 7).batch.column("time").equals(texts)


def test_rows_are_read_without_importing_pandas(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("raise RuntimeError('pandas is imported')")
    done = subprocess.run(  # (this file's own program, in a process that has imported nothing)
        [sys.executable, "-c", READ_ROWS],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stderr, done.stdout) == ("", "2 False\n")


READ_ROWS = """
import io, sys
import fastavro
import pyarrow as pa
from heap_courier.formats.avro import reader
from heap_courier.heap_connect.manifests import Step
from heap_courier.heap_connect.table_schema import cast_rows, target_table

fields = [{"name": "event_id", "type": "long"}, {"name": "time", "type": ["null", "string"]}]
stream = io.BytesIO()
rows = [{"event_id": 1, "time": "2026-03-01 10:00:00"}, {"event_id": 2, "time": None}]
fastavro.writer(stream, {"type": "record", "name": "row", "fields": fields}, rows, codec="snappy")
stream.seek(0)
schema = reader.schema(stream, "a.avro")
step = Step(7, "pageviews", full=False, columns=tuple(schema.names), files=("a.avro",))
table = target_table(step, "Heap:pageviews", {}, [schema], fresh=True)
stream.seek(0)
for chunk in reader.chunks(stream, "a.avro"):
    print(cast_rows(chunk.decode().batch, table, 7).batch.num_rows, "pandas" in sys.modules)
"""


def test_whole_floats_become_text_like_integers() -> None:
    table = made(step(columns=("plan",)), {}, {"plan": pa.string()}, fresh=True)

    assert [row["plan"] for row in rows_of(table, plan=pa.array([7.0, 1e16, 0.5]))] == ["7", "10000000000000000", "0.5"]


def test_a_value_that_cannot_be_read_is_null_and_reported() -> None:
    table = made(step(columns=("joindate",)), {}, {"joindate": pa.string()}, fresh=True)
    batch = pa.RecordBatch.from_arrays([pa.array(["2026-03-01", "soon", None])], names=["joindate"])

    found = cast_rows(batch, table, 7)

    assert [row["joindate"] for row in found.batch.to_pylist()] == [MIDNIGHT, None, None]
    assert {name: wrong.to_pylist() for name, wrong in found.unreadable.items()} == {"joindate": [False, True, False]}


def test_integers_that_a_float_cannot_represent_are_not_cast() -> None:
    table = made(step(), {"user_id": INTEGER, "plan": FLOAT}, {"plan": pa.int64()})

    assert rows_of(table, plan=pa.array([2**53 - 1]))[0]["plan"] == 2**53 - 1
    with pytest.raises(InexactIntegersError) as inexact:
        rows_of(table, plan=pa.array([2**53 + 1]))
    assert inexact.value.column == "plan"
