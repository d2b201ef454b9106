"""Unusual or damaged files give correct rows, or an error with the file's name: never a traceback or a crash."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heap_courier.data_types.field_types import DATETIME, FLOAT, INTEGER, STRING, FieldType, Kind
from heap_courier.errors import CourierError, SetupError, UnreadableFileError
from heap_courier.feeds.column_mapping import map_columns
from heap_courier.feeds.model import Field
from heap_courier.feeds.proposal import propose
from heap_courier.formats import readers
from heap_courier.formats.chunk import Chunk
from heap_courier.formats.file_format import FileFormat
from heap_courier.formats.nesting import TOO_DEEP

CSV = FileFormat("text/csv")
JSON = FileFormat("application/json")
LINES = FileFormat("application/x-ndjson")
PARQUET = FileFormat("application/x-parquet")
AVRO = FileFormat("application/avro")
KEY = "2026/users"
TYPES = (STRING, INTEGER, FLOAT, DATETIME, FieldType(Kind.DECIMAL, 10, 2))


def rows_of(path: Path, file_format: FileFormat) -> list[dict[str, Any]]:
    """Reads a file in every way: as rows for feeds of text and of other types, and for a proposed feed."""
    incoming = readers.schema(path, file_format, KEY)
    chunks = list(readers.chunks(path, file_format, KEY))
    rows = []
    for kind in TYPES:
        fields = [Field(f"f{at}", kind, f"{name}#1") for at, name in enumerate(dict.fromkeys(incoming.names))]
        try:
            shaped = map_columns(incoming, fields, key=(), name=KEY)
        except CourierError:  # not every type can be cast to every other
            continue
        for chunk in chunks:
            decoded = chunk.decode()
            rows += shaped.conform(decoded.batch, chunk.first_row, decoded.rejected).batch.to_pylist()
    with suppress(SetupError):
        propose(incoming, (chunk.decode().batch for chunk in chunks), source="Heap", name="x", feed_id="df-1")
    return rows


def avro(schema: Any, block: bytes, rows: int = 1) -> bytes:
    """A file with these bytes as its rows."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    header = b"Obj\x01" + number(1) + number(11) + b"avro.schema" + number(len(text)) + text + number(0) + bytes(16)
    return header + number(rows) + number(len(block)) + block + bytes(16)


def number(value: int) -> bytes:
    left = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while left >= 0x80:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def record(**fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "row", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


def decimal(precision: Any, scale: Any = 2, kind: str = "bytes", **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": "decimal", "precision": precision, "scale": scale, **more}


def lists(depth: int) -> bytes:
    """A schema of nested lists."""
    kind = b'{"type":"array","items":' * depth + b'"string"' + b"}" * depth
    return b'{"type":"record","name":"row","fields":[{"name":"a","type":' + kind + b"}]}"


CHAIN = record(id="long", next=["null", "row"])
EMPTY_RECORD = {"type": "record", "name": "e", "fields": []}
NULL_RECORD = {"type": "record", "name": "e", "fields": [{"name": "x", "type": "null"}]}
ENDLESS = "has lists of more than 1,000,000 values that take no space in rows 1 to 1"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (avro(record(a=decimal(4)), number(10) + b"\x7f" + b"\xff" * 9), "a decimal with more digits than its schema"),
        (avro(record(a=decimal(4)), number(2) + (12345).to_bytes(2, "big")), "a decimal with more digits than its"),
        (avro(record(a=decimal(50)), number(30) + b"\x81" * 30), "a decimal with more digits than its schema allows"),
        (avro(record(a={"type": "array", "items": decimal(4)}), number(1) + number(2) + b"\x81\0\0"), "more digits"),
        (avro(record(a=decimal(10**9, 10**9 - 1)), number(1) + b"a"), "has decimals of more than 1,000 digits"),
        *((avro(lists(depth), number(1) * depth + number(0) * (depth + 1)), TOO_DEEP) for depth in (255, 300)),
        *((avro(lists(depth), b""), "has a schema that is nested too deeply") for depth in (1_000, 20_000, 100_000)),
        *((avro(CHAIN, number(1) * 2 * depth + b"\0\0"), TOO_DEEP) for depth in (260, 900, 20_000, 100_000)),
        (avro(b"[" * 100_000 + b"]" * 100_000, b""), "has a schema that is nested too deeply"),
        (avro(record(a={"type": "array", "items": "null"}), number(2**40) + b"\0"), ENDLESS),
        (avro(record(a={"type": "array", "items": {"type": "null"}}), number(2**40) + b"\0"), ENDLESS),
        (avro(record(a={"type": "array", "items": EMPTY_RECORD}), number(2**40) + b"\0"), ENDLESS),
        (avro(record(e=EMPTY_RECORD, a={"type": "array", "items": "e"}), number(2**40) + b"\0"), ENDLESS),
        (avro(record(a={"type": "array", "items": NULL_RECORD}), number(2**40) + b"\0"), ENDLESS),
        (avro(record(a={"type": "array", "items": {"type": "fixed", "name": "f", "size": 0}}), number(2**40)), ENDLESS),
        (avro(record(a={"type": "array", "items": "null"}), number(400_000) * 3 + b"\0"), ENDLESS),
        (avro(record(a={"type": "fixed", "name": "f", "size": 10**12}), b"a"), "is damaged in block 1"),
        (avro(record(a="string"), number(-5) + b"a"), "is damaged in block 1"),
        (avro(record(a=["null", "string", "int"]), number(1) + number(2**60) + b"a"), "is damaged in block 1"),
        (avro(record(a=["null", "string"]), number(7)), "is damaged in block 1"),
        (avro({"type": "record", "name": "r", "fields": None}, b""), "has an invalid schema"),
        (avro({"type": "record", "name": "r", "fields": [{"name": 5, "type": "int"}]}, b""), "has an invalid schema"),
        (avro({"type": "record", "name": ["r"], "fields": [{"name": "a"}]}, b""), "has an invalid schema"),
        (avro(record(a={"type": "int", "logicalType": "date"}), number(2**40)), "a value that its schema does not"),
    ],
)
def test_an_invalid_avro_file_is_refused_with_its_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UnreadableFileError, match=f"^`{KEY}` .*{reason}"):
        rows_of(path, AVRO)


@pytest.mark.parametrize(
    ("schema", "block", "text"),
    [
        (decimal(4), number(2) + (9999).to_bytes(2, "big"), "99.99"),
        (decimal(4), number(4) + (-9999).to_bytes(4, "big", signed=True), "-99.99"),
        (decimal(4), number(9) + bytes(9), "0.00"),
        (decimal(50, 0), number(21) + (10**49 + 1).to_bytes(21, "big"), str(10**49 + 1)),
        ({"type": "array", "items": decimal(50, 1)}, number(1) + number(1) + b"\x0f\0", '["1.5"]'),
        (decimal(4, kind="string"), number(2) + b"ab", "ab"),
        (decimal(4, kind="int"), number(150), "150"),
        (decimal(4, 9), number(1) + b"a", "a"),
        (decimal(0), number(1) + b"a", "a"),
        (decimal("4"), number(1) + b"a", "a"),
        (decimal(4, -2), number(1) + b"a", "a"),
        (decimal(4, kind="fixed", name="f", size=1), b"\x7f", "7f"),
        (decimal(2, kind="fixed", name="f", size=1), b"\x7f", None),
        ({"type": "array", "items": "null"}, number(3) + b"\0", "[null,null,null]"),
        ({"type": "array", "items": EMPTY_RECORD}, number(2) + b"\0", "[{},{}]"),
    ],
)
def test_an_unusual_avro_type_is_read_as_the_specification_requires(
    tmp_path: Path, schema: Any, block: bytes, text: str | None
) -> None:
    """An invalid logical type is ignored; a decimal is exact or refused."""
    path = tmp_path / "file"
    path.write_bytes(avro(record(a=schema), block))
    if text is None:
        with pytest.raises(UnreadableFileError):
            rows_of(path, AVRO)
        return
    assert rows_of(path, AVRO)[0] == {"f0": text}


def parquet_schema(depth: int) -> bytes:
    """A Parquet file whose schema, in Thrift's compact protocol, has groups nested this deep."""

    def element(name: bytes, *, children: bool) -> bytes:
        return b"\x35\x02\x18" + bytes([len(name)]) + name + (b"\x15\x02\x00" if children else b"\x00")

    elements = element(b"schema", children=True) + element(b"x", children=True) * depth
    elements += b"\x15\x02\x25\x02\x18\x01y\x00"  # a leaf of type INT32
    size = bytearray()
    left = depth + 2
    while left >= 0x80:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    footer = b"\x15\x02\x19\xfc" + bytes([*size, left]) + elements + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


@pytest.mark.parametrize("depth", [300, 20_000, 100_000])
def test_a_parquet_file_that_is_nested_too_deeply_is_refused(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(parquet_schema(10))
    readers.schema(path, PARQUET, KEY)
    path.write_bytes(parquet_schema(depth))
    with pytest.raises(UnreadableFileError, match=f"^`{KEY}` is nested too deeply"):
        rows_of(path, PARQUET)


@pytest.mark.parametrize("kind", [pa.time32("ms"), pa.time64("us")])
@pytest.mark.parametrize("days", [-1, 1])
def test_an_impossible_time_rejects_its_row_and_not_its_parquet_file(
    tmp_path: Path, kind: pa.DataType, days: int
) -> None:
    stored = pa.int32() if kind == pa.time32("ms") else pa.int64()
    unit = 1_000 if kind == pa.time32("ms") else 1_000_000
    times = pa.array([0, days * 86_400 * unit, unit], stored).view(kind)
    path = tmp_path / "file"
    pa.parquet.write_table(pa.table({"at": times}), path)
    incoming = readers.schema(path, PARQUET, KEY)
    mapping = map_columns(incoming, [Field("at", STRING, "at")], key=(), name=KEY)

    (chunk,) = readers.chunks(path, PARQUET, KEY)
    conformed = mapping.conform(chunk.decode().batch, 1)

    assert [text[:8] for text in conformed.batch.column(0).to_pylist()] == ["00:00:00", "00:00:01"]
    assert [(row.row, row.column) for row in conformed.rejected] == [(2, "at")]


@pytest.mark.parametrize("file_format", [CSV, JSON, LINES, PARQUET, AVRO])
def test_an_empty_sample_is_refused(tmp_path: Path, file_format: FileFormat) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UnreadableFileError, match=f"^`{KEY}` "):
        rows_of(path, file_format)


@pytest.mark.parametrize("error", [RuntimeError("secret"), MemoryError("secret"), RecursionError("secret"), OSError()])
@pytest.mark.parametrize("begins", [True, False])
def test_an_unexpected_error_of_a_reader_is_reported_as_a_failure_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, *, begins: bool
) -> None:
    """By its class, because its text may contain the content of a row."""

    def fails(*_: Any) -> Any:
        raise error

    def chunks(*_: Any) -> Sequence[Chunk]:
        return fails() if begins else [Chunk(1, fails)]

    monkeypatch.setattr("heap_courier.formats.json_reader.lines", chunks)
    path = tmp_path / "file"
    path.write_bytes(b"{}")
    with pytest.raises(UnreadableFileError) as failed:
        [chunk.decode() for chunk in readers.chunks(path, LINES, KEY)]
    assert f"`{KEY}` " in str(failed.value)
    assert "secret" not in str(failed.value)
    assert (
        "memory" in str(failed.value) if isinstance(error, MemoryError) else type(error).__name__ in str(failed.value)
    )


@pytest.mark.parametrize(
    ("file_format", "data"),
    [
        (CSV, b"a,b\n" + b"1,2\n" * 1_000_000),
        (LINES, b'{"a": 1}\n' * 300_000),
        (JSON, b"[" + b'{"a": 1},' * 300_000 + b"1]"),
        (JSON, b"[" + b" " * 3_000_000 + b"1]"),
        (AVRO, avro(record(a="string"), number(2_500_000) + bytes(2_500_000))),
    ],
)
def test_a_gzipped_file_beyond_its_limit_is_refused(tmp_path: Path, file_format: FileFormat, data: bytes) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(UnreadableFileError, match=f"`{KEY}` unpacks to more than 2,000,000 bytes"):
        list(readers.chunks(path, file_format, KEY, most=2_000_000))


# Files with changed bytes


ROWS = [{"id": n, "email": f"é{n}@example.com", "at": f"2026-01-0{n}T00:00:00Z", "tags": ["a", n]} for n in range(1, 9)]


@cache
def valid() -> dict[str, tuple[FileFormat, bytes]]:
    """A valid file of each format."""
    flat = record(
        id="long", email=["null", "string"], score="double", at={"type": "long", "logicalType": "timestamp-millis"}
    )
    flat_rows = [{"id": n, "email": f"é{n}", "score": n / 3, "at": 1_700_000_000_000 + n} for n in range(8)]
    deep = record(
        id="long",
        tags={"type": "array", "items": ["string", "long"]},
        more={"type": "map", "values": "double"},
        price=decimal(10),
        next=["null", "row"],
        kind={"type": "enum", "name": "kind", "symbols": ["a", "b"]},
        plain={"type": "fixed", "name": "plain", "size": 4},
    )
    deep_rows = [
        {
            "id": n,
            "tags": ["a", n],
            "more": {"x": n / 3},
            "price": Decimal(n),
            "next": None,
            "kind": "b",
            "plain": b"abcd",
        }
        for n in range(8)
    ]
    made: dict[str, tuple[FileFormat, bytes]] = {}
    for name, schema, rows in (("flat", flat, flat_rows), ("deep", deep, deep_rows)):
        for codec in ("null", "snappy", "deflate"):
            stream = io.BytesIO()
            fastavro.writer(stream, schema, rows, codec=codec, sync_interval=64)
            made[f"avro, {name}, {codec}"] = AVRO, stream.getvalue()
    for compression in ("none", "snappy", "gzip"):
        stream = io.BytesIO()
        table = pa.table({"id": [1, 2, None], "at": pa.array([1, 2, 3], pa.timestamp("us")), "x": [["a"], [], None]})
        pa.parquet.write_table(table, stream, compression=compression, write_page_checksum=True)
        made[f"parquet, {compression}"] = PARQUET, stream.getvalue()
    text = "id,email,at\r\n" + "".join(f'{row["id"]},"{row["email"]}, ""x""",{row["at"]}\r\n' for row in ROWS)
    made["csv"] = CSV, text.encode()
    made["csv, utf-16"] = FileFormat("text/csv", encoding="utf-16"), text.encode("utf-16")
    made["json"] = JSON, json.dumps(ROWS).encode()
    made["lines"] = LINES, "\n".join(map(json.dumps, ROWS)).encode()
    return made


Mutation = Callable[[bytes], bytes]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Some bytes are changed, inserted, removed or duplicated, or the file is truncated."""
    where = draw(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.sampled_from("sssiidxc")), min_size=1, max_size=4)
    )

    def mutated(data: bytes) -> bytes:
        for part, byte, how in where:
            at = int(part * (len(data) - 1)) if data else 0
            if how == "s":
                data = data[:at] + bytes([byte]) + data[at + 1 :]
            elif how == "i":
                data = data[:at] + bytes([byte]) * (1 + byte % 7) + data[at:]
            elif how == "d":
                data = data[:at] + data[at + 1 + byte % 7 :]
            elif how == "x":
                data = data[:at] + data[at : at + byte] * 3 + data[at:]
            else:
                data = data[:at]
        return data

    return mutated


@pytest.mark.parametrize("name", valid())
@given(mutate=mutations(), is_packed=st.booleans())
@settings(max_examples=25)
def test_a_file_with_changed_bytes_is_read_or_refused(name: str, mutate: Mutation, is_packed: bool) -> None:
    file_format, data = valid()[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.gz" if is_packed else "file")
        path.write_bytes(mutate(gzip.compress(data, mtime=0)) if is_packed else mutate(data))
        before = pa.total_allocated_bytes()
        said = f"`{KEY}` "
        try:
            rows_of(path, file_format)
        except UnreadableFileError as error:
            said = str(error)
        assert f"`{KEY}` " in said
        assert "unexpected" not in said
        assert pa.total_allocated_bytes() - before < 100_000_000
