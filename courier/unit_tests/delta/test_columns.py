"""Values read back from a published table equal those of the warehouse."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courier.unit_tests.delta.conftest import Publisher, same
from heap_courier.data_types.field_types import BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.delta.columns import published_columns
from heap_courier.errors import SchemaError
from heap_courier.project.model import WarehouseSettings
from heap_courier.warehouse.upsert import Table, TableColumn, load

TYPES = (BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING, FieldType(Kind.DECIMAL, 38, 5), FieldType(Kind.DECIMAL, 9, 9))
TABLE = Table("Heap:all types", tuple(TableColumn(f"c{n}", each) for n, each in enumerate(TYPES)), key=())
NAMES = [column.name for column in TABLE.columns]
LIMIT = 10**33 - 1
EXACT = Context(prec=60)
VALUES = st.tuples(
    *map(
        st.one_of,
        [st.none()] * len(TYPES),
        (
            st.booleans(),
            st.dates(),
            st.datetimes(),
            st.floats(),
            st.integers(-(2**63), 2**63 - 1),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            st.integers(-LIMIT * 10**5, LIMIT * 10**5).map(lambda number: EXACT.scaleb(number, -5)),
            st.integers(-999_999_999, 999_999_999).map(lambda number: EXACT.scaleb(number, -9)),
        ),
    )
)


def published_and_back(publisher: Publisher, rows: list[tuple[Any, ...]]) -> None:
    values = list(zip(*rows, strict=True))
    kinds = [column.type.arrow for column in TABLE.columns]
    batch = pa.RecordBatch.from_arrays(list(map(pa.array, values, kinds)), schema=TABLE.schema)
    with publisher.warehouse() as warehouse:
        load(warehouse, TABLE, [batch])
    assert publisher.publish()[TABLE.name].how == "created"
    instants = [[each and each.replace(tzinfo=timezone.utc) for each in values[2]]]
    in_utc = [pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) else kind for kind in kinds]
    expected = pa.table(list(map(pa.array, [*values[:2], *instants, *values[3:]], in_utc)), names=NAMES)
    found = publisher.table(TABLE.name).to_pyarrow_table()
    assert found.schema.types == in_utc
    assert same(found.to_pylist(), expected.to_pylist())


@given(st.lists(VALUES, min_size=1, max_size=8))
@settings(max_examples=6)
def test_values_read_back_equal(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]) -> None:
    folder = tmp_path_factory.mktemp("values")
    published_and_back(Publisher(folder, WarehouseSettings("duckdb", path=folder / "heap.duckdb")), rows)


def test_values_of_postgresql_read_back_equal(postgresql: str, tmp_path: Path) -> None:
    first, last = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001  (as Datetimes are stored)
    least = (False, date.min, first, float("-inf"), -(2**63), "", Decimal(-LIMIT), Decimal("-0.999999999"))
    most = (True, date.max, last, float("nan"), 2**63 - 1, "é\n", Decimal(LIMIT), Decimal("0.999999999"))
    rows = [least, most, (None,) * len(TYPES), (None, None, None, 5e-324, 0, "x", Decimal("0.00001"), Decimal(0))]
    published_and_back(Publisher(tmp_path, WarehouseSettings("postgresql", dsn=postgresql)), rows)


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("TIMESTAMPTZ", "'2026-03-01 10:00:00+02'", datetime(2026, 3, 1, 8, tzinfo=timezone.utc)),
        ("TIMESTAMP_NS", "'2026-03-01 10:00:00.123456789'", "2026-03-01 10:00:00.123456789"),
        ("HUGEINT", "170141183460469231731687303715884105727", "170141183460469231731687303715884105727"),
        ("UBIGINT", "18446744073709551615", Decimal(18446744073709551615)),
        ("UINTEGER", "4294967295", 4294967295),
        ("TINYINT", "-128", -128),
        ("FLOAT", "0.1", pa.scalar(0.1, pa.float32()).as_py()),
        ("BLOB", r"'\x00\xff'::BLOB", b"\x00\xff"),
        ("UUID", "'2b1455ce-16d3-4595-951c-3d4365d23278'", "2b1455ce-16d3-4595-951c-3d4365d23278"),
        ("BIGINT[]", "[1, NULL]", [1, None]),
        ("VARCHAR[]", "['a', '']", ["a", ""]),
        ("STRUCT(a INTEGER)", "{a: 1}", "{'a': 1}"),
        ("DATE[]", "[DATE '2026-03-01']", "[2026-03-01]"),
        ("TIME", "'10:00:00.5'", "10:00:00.5"),
    ],
)
def test_a_type_that_no_feed_has_is_exact_or_text(publisher: Publisher, kind: str, value: str, read: object) -> None:
    publisher.execute(f'CREATE TABLE "Heap:odd" (c {kind})', f'INSERT INTO "Heap:odd" VALUES ({value})')
    publisher.publish()
    (row,) = publisher.rows("Heap:odd")
    assert row["c"] == read


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DATE", "infinity"),
        ("TIMESTAMP", "-infinity"),
        ("DATE", "10000-01-01"),
        ("TIMESTAMP", "0001-01-01 (BC) 00:00:00"),
    ],
)
def test_a_time_that_readers_do_not_read_is_refused(publisher: Publisher, kind: str, value: str) -> None:
    publisher.execute(f'CREATE TABLE "Heap:odd" (c {kind})', f"INSERT INTO \"Heap:odd\" VALUES ('{value}')")
    result = publisher.publish()["Heap:odd"]
    assert result.how == "failed"
    assert result.message.startswith("The column `c` contains a time outside the years 1 to 9999")
    assert not (publisher.place / "Heap.odd").exists() or result.version is None


def test_a_number_that_is_not_finite_is_refused_with_its_column(postgresql: str, tmp_path: Path) -> None:
    publisher = Publisher(tmp_path, WarehouseSettings("postgresql", dsn=postgresql))
    publisher.execute('CREATE TABLE "Heap:odd" (c numeric(9,2))', "INSERT INTO \"Heap:odd\" VALUES ('NaN')")
    assert (
        "The column `c` contains a value that is not a finite `decimal128(9, 2)`"
        in publisher.publish()["Heap:odd"].message
    )


def test_columns_that_readers_cannot_distinguish_are_refused() -> None:
    with pytest.raises(SchemaError, match="`Email` and `email` differ only in case"):
        published_columns({"Email": "text", "email": "text"})
