"""`feed activate` accepts what `feed add` writes, for small random files of every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heap_courier.errors import SetupError
from heap_courier.feeds.activation import activate
from heap_courier.feeds.reader import read_feed
from heap_courier.feeds.samples import file_of, path_of, propose_feed, sample_of
from heap_courier.feeds.writer import write_feed
from heap_courier.project.model import Project, WarehouseSettings
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

NOON: Final = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
NAMES: Final = [
    "id",
    "user_id",
    "order_id",
    "email",
    "Email",
    "time",
    "created_at",
    "updated_at",
    "zip",
    "a",
    "a.b",
    "a.b.c",
    "_pk",
    "_updated",
    "email#1",
    "#1",
    "null",
    "generated",
    "日本",
    "",
    " x y",
    'Revenue, "USD"',
    "l\nm",
    "primary key",
]
NUMBERS: Final = count(1)

distinct_names = st.lists(st.sampled_from([name for name in NAMES if name]), min_size=1, max_size=4, unique=True)
any_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
whole = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9) | st.integers(1664923193, 1664923199)
instants = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001  (text without a zone)
plain_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


class Folder:
    """A project in a folder, and a warehouse that is opened only once."""

    def __init__(self, path: Path, warehouse: Warehouse) -> None:
        self.path, self.warehouse = path, warehouse

    def holds(self, content: bytes, ending: str, rows: int) -> None:
        """A sample of so many rows is refused by name, or proposed as a feed that loads all of them."""
        number = next(NUMBERS)
        project = Project(self.path, WarehouseSettings("duckdb", self.path / "x"), {}, self.path / f"feeds{number}", {})
        path = self.path / f"sample{number}{ending}"
        path.write_bytes(content)
        try:
            proposal = propose_feed(project, f"Heap:T{number}", sample_of(project, path, None))
        except SetupError as error:
            assert "primary key" in str(error) or "no columns" in str(error)  # noqa: PT017  (the only valid refusals)
            return
        written = path_of(project, proposal.feed)
        write_feed(proposal.feed, written)
        feed = read_feed(written)
        assert feed == proposal.feed
        loaded = activate(self.warehouse, feed, file_of(project, feed), now=NOON, truncate=False, workers=1)
        assert loaded is not None
        assert (loaded.table.rows, loaded.table.rejected) == (rows, 0)


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgresql", marks=pytest.mark.thorough)])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    path = tmp_path_factory.mktemp("project")
    opened: Warehouse
    if request.param == "duckdb":
        opened = DuckDBWarehouse(path / "heap.duckdb", wait=lambda _seconds: None)
    else:
        opened = PostgreSQLWarehouse(request.getfixturevalue("postgresql_server").format("postgres"))
    with closing(opened) as warehouse:
        yield Folder(path, warehouse)


def column(kinds: list[st.SearchStrategy[Any]], rows: int) -> st.SearchStrategy[list[Any]]:
    """Values of one kind, or of any; some or all of them null."""

    def of(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
        return st.lists(kind, min_size=rows, max_size=rows)

    return st.one_of(*(of(kind) | of(kind | st.none()) for kind in kinds), of(st.one_of(*kinds)), of(st.none()))


many = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


TEXTS: Final = [
    whole.map(str),
    st.integers(0, 999).map("{:05}".format),
    st.decimals(-999, 999, places=2).map(str),
    st.sampled_from(
        ["-0", "1e5", "0x1F", "+1", " 7 ", "9223372036854775808", "1234567890123456789", "NaN", "1.", ".5"]
    ),
    st.dates().map(str),
    instants.map(str),
    st.sampled_from(["2022-10-04T22:39:53Z", "2022-10-04 22:39", "2022-10-04T22:39:53+0200", "2022-02-30"]),
    st.sampled_from(["true", "FALSE", "t", "0", ""]),
    st.sampled_from([" ", "\t", "\xa0", ""]),
    plain_text,
]


@pytest.mark.parametrize(("ending", "separator"), [(".csv", ","), (".csv", ";"), (".tsv", "\t"), (".psv", "|")])
@many
@given(data=st.data())
def test_delimited_text(folder: Folder, ending: str, separator: str, data: st.DataObject) -> None:
    names = data.draw(any_names)
    rows = data.draw(st.integers(0, 4))
    columns = [data.draw(column(TEXTS, rows)) for _ in names]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL if data.draw(st.booleans()) else 0)
    writer.writerows([names, *zip(*columns, strict=True)])
    folder.holds(out.getvalue().encode(), ending, rows)


JSON_VALUES: Final = [
    whole,
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    *TEXTS,
    st.lists(whole | plain_text, max_size=2),
    st.dictionaries(st.sampled_from(NAMES), whole | plain_text | st.none(), max_size=3),
]


@pytest.mark.parametrize("ending", [".json", ".ndjson", ".jsonl"])
@many
@given(data=st.data())
def test_json(folder: Folder, ending: str, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    rows = data.draw(st.integers(0, 4))
    columns = [data.draw(column(JSON_VALUES, rows)) for _ in names]
    objects = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    lines = "".join(f"{json.dumps(each)}\n" for each in objects) or "\n"
    folder.holds((json.dumps(objects) if ending == ".json" else lines).encode(), ending, rows)


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


ARROW: Final[list[tuple[pa.DataType, st.SearchStrategy[Any]]]] = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    (pa.int8(), integers(8, signed=True)),
    (pa.int64(), whole),
    (pa.uint32(), integers(32, signed=False)),
    (pa.uint64(), integers(64, signed=False)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.decimal128(5, 2), st.decimals(-999, 999, places=2)),
    (pa.decimal128(38, 38), st.decimals("-0.5", "0.5", places=38)),
    (pa.decimal128(38, 37), st.decimals(-1, 1, places=37)),
    (pa.decimal256(60, 5), st.integers(-(10**50), 10**50).map(Decimal)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), st.integers(-(2**62), 2**62) | instants),
    (pa.timestamp("ms", "UTC"), st.integers(-(2**50), 2**50)),
    (pa.timestamp("ns"), st.integers(-(2**62), 2**62)),
    (pa.time32("ms"), st.integers(-1, 86_400_000)),
    (pa.time64("us"), st.integers(0, 86_399_999_999)),
    (pa.duration("us"), st.integers(0, 10**12).map(lambda size: timedelta(microseconds=size))),
    (pa.string(), st.one_of(*TEXTS)),
    (pa.large_string(), st.one_of(*TEXTS)),
    (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["1", "2", "a", ""])),
    (pa.binary(), st.binary(max_size=3) | st.sampled_from([b"a", b"12"])),
    (pa.binary(4), st.binary(min_size=4, max_size=4)),
    (pa.uuid(), st.binary(min_size=16, max_size=16)),
    (pa.list_(pa.int64()), st.lists(whole, max_size=2)),
    (pa.list_(pa.binary()), st.lists(st.binary(max_size=2), max_size=2)),
    (
        pa.map_(pa.string(), pa.int64()),
        st.dictionaries(plain_text, whole, max_size=2).map(lambda kept: [*kept.items()]),
    ),
    (
        pa.struct([("b", pa.binary()), ("b.c", pa.int64()), ("", pa.date32())]),
        st.fixed_dictionaries({"b": st.binary(max_size=2), "b.c": whole, "": st.dates()}),
    ),
]


@many
@given(data=st.data())
def test_parquet(folder: Folder, data: st.DataObject) -> None:
    names = data.draw(any_names)
    rows = data.draw(st.integers(0, 4))
    arrays = []
    for _ in names:
        kind, values = data.draw(st.sampled_from(ARROW))
        arrays.append(pa.array(data.draw(column([values], rows)), kind))
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, names=names), out)
    folder.holds(out.getvalue().to_pybytes(), ".parquet", rows)


def fixed(size: int, **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": f"f{next(NUMBERS)}", "size": size, **more}


AVRO: Final[list[tuple[Any, st.SearchStrategy[Any]]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", integers(32, signed=True)),
    ("long", whole),
    ("float", st.floats(width=32)),
    ("double", st.floats()),
    ("bytes", st.binary(max_size=3) | st.sampled_from([b"a", b"12"])),
    ("string", st.one_of(*TEXTS)),
    ("fixed4", st.sampled_from([b"\x12\x34\x56\x78", b"\x20\x22\x10\x04"])),
    ({"type": "int", "logicalType": "date"}, st.dates() | st.integers(-(2**31), 2**31 - 1)),
    ({"type": "long", "logicalType": "timestamp-micros"}, st.integers(-(2**62), 2**62)),
    ({"type": "int", "logicalType": "time-millis"}, st.integers(-1, 86_400_000)),
    ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, st.decimals(-999, 999, places=2)),
    ({"type": "array", "items": "bytes"}, st.lists(st.binary(max_size=2), max_size=2)),
    ({"type": "map", "values": "long"}, st.dictionaries(plain_text, whole, max_size=2)),
    (["null", "long", "string"], whole | st.one_of(*TEXTS)),
    (["null", "bytes", "long"], st.sampled_from([b"\x12", b"\xab", 5])),
]


@many
@given(data=st.data())
def test_avro(folder: Folder, data: st.DataObject) -> None:
    names = data.draw(
        st.lists(st.sampled_from(["id", "user_id", "Id", "time", "zip", "_pk"]), min_size=1, max_size=4, unique=True)
    )
    rows = data.draw(st.integers(0, 4))
    fields, columns = [], []
    for name in names:
        kind, values = data.draw(st.sampled_from(AVRO))
        kind = fixed(4) if kind == "fixed4" else kind
        if is_record := data.draw(st.booleans()) and not isinstance(kind, list):
            kind = {"type": "record", "name": f"r{next(NUMBERS)}", "fields": [{"name": "x", "type": kind}]}
        drawn = data.draw(st.lists(values, min_size=rows, max_size=rows))
        fields.append({"name": name, "type": kind})
        columns.append([{"x": value} for value in drawn] if is_record else drawn)
    out = io.BytesIO()
    schema = {"type": "record", "name": "row", "fields": fields}
    fastavro.writer(out, schema, [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])
    folder.holds(out.getvalue(), ".avro", rows)
