"""Avro files of every schema and codec are read in chunks, and never silently wrong."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import cramjam
import fastavro
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from heap_courier.errors import UnreadableFileError
from heap_courier.formats.avro import container, flat_records, reader

NAME = "sync_1/users/part-0.avro"


def written(
    fields: list[dict[str, Any]], rows: list[dict[str, Any]], codec: str = "null", block: int = 16_000
) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, {"type": "record", "name": "row", "fields": fields}, rows, codec=codec, sync_interval=block)
    return stream.getvalue()


def read(data: bytes) -> pa.Table:
    batches = [chunk.decode().batch for chunk in reader.chunks(io.BytesIO(data), NAME)]
    return pa.Table.from_batches(batches, reader.schema(io.BytesIO(data), NAME))


def nullable(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind]}


HEAP = [nullable("user_id", "long"), nullable("email", "string"), nullable("joindate", "string")]


def heap_rows(count: int) -> list[dict[str, Any]]:
    return [
        {"user_id": number, "email": None if number % 3 else f"{number}@example.com", "joindate": str(number * 1000)}
        for number in range(count)
    ]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "bzip2", "xz"])
def test_every_codec_that_fastavro_writes_is_read(codec: str) -> None:
    assert read(written(HEAP, heap_rows(1000), codec)).to_pylist() == heap_rows(1000)


def test_zstandard_is_read() -> None:
    data = written(HEAP, heap_rows(10))
    header, sync = data[: data.index(data[-16:]) + 16], data[-16:]
    rows, packed = data[len(header) : -16], bytes(cramjam.zstd.compress(data[len(header) + 3 : -16]))
    assert rows[0] == 20  # ten, in Avro's encoding
    header = header.replace(b"\x14avro.codec\x08null", b"\x14avro.codec\x12zstandard")
    zigzag = 2 * len(packed)
    size = bytes([zigzag & 127 | 128, zigzag >> 7])
    assert read(header + b"\x14" + size + packed + sync).to_pylist() == heap_rows(10)


def test_a_large_file_is_read_in_chunks_with_their_first_rows() -> None:
    rows = [{"user_id": number, "email": "x" * 1000, "joindate": None} for number in range(20_000)]
    parts = list(reader.chunks(io.BytesIO(written(HEAP, rows, "snappy")), NAME))
    decoded = [part.decode().batch for part in parts]
    assert len(parts) > 3
    assert max(batch.nbytes for batch in decoded) < 8_000_000
    assert [part.first_row for part in parts] == [batch.column("user_id")[0].as_py() + 1 for batch in decoded]
    assert sum(batch.num_rows for batch in decoded) == 20_000


def test_a_file_without_rows_still_has_columns() -> None:
    table = read(written(HEAP, []))
    assert table.num_rows == 0
    assert table.schema == pa.schema([("user_id", pa.int64()), ("email", pa.string()), ("joindate", pa.string())])


def test_avro_types_become_arrow_types() -> None:
    fields = [
        {"name": "date", "type": {"type": "int", "logicalType": "date"}},
        nullable("millis", {"type": "long", "logicalType": "timestamp-millis"}),
        {"name": "micros", "type": [{"type": "long", "logicalType": "timestamp-micros"}, "null"]},
        nullable("local", {"type": "long", "logicalType": "local-timestamp-micros"}),
        nullable("time", {"type": "int", "logicalType": "time-millis"}),
        nullable("java", {"type": "string", "avro.java.string": "String"}),
        {"name": "nothing", "type": "null"},
    ]
    instant = datetime(2022, 10, 4, 22, 39, 53, 627000, tzinfo=timezone.utc)
    row = {
        "date": date(2022, 10, 4),
        "millis": instant,
        "micros": instant + timedelta(microseconds=1),
        "local": instant.replace(tzinfo=None),
        "time": time(1, 2, 3),
        "java": "Ada",
        "nothing": None,
    }
    table = read(written(fields, [row, row]))
    assert table.to_pylist() == [row, row]
    assert [str(field.type) for field in table.schema] == [
        "date32[day]",
        "timestamp[ms, tz=UTC]",
        "timestamp[us, tz=UTC]",
        "timestamp[us]",
        "time32[ms]",
        "string",
        "null",
    ]


def test_nested_records_are_read() -> None:
    fields = [
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["web", "ios"]}},
        nullable("again", "Kind"),
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
        nullable("price", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}),
        nullable(
            "traits",
            {
                "type": "record",
                "name": "Traits",
                "fields": [
                    nullable("email", "string"),
                    nullable("when", {"type": "long", "logicalType": "timestamp-millis"}),
                ],
            },
        ),
        {"name": "list", "type": {"type": "array", "items": "long"}},
        {"name": "map", "type": {"type": "map", "values": "boolean"}},
        {"name": "either", "type": ["null", "string", "long", "boolean"]},
        {"name": "number", "type": ["int", "long", "null"]},
        nullable("parent", "row"),
    ]
    when = datetime(2022, 10, 4, tzinfo=timezone.utc)
    row = {
        "kind": "ios",
        "again": "web",
        "hash": b"\x01\xff",
        "price": Decimal("12.50"),
        "traits": {"email": "ada@example.com", "when": when},
        "list": [1, 2],
        "map": {"a": True},
        "either": 5,
        "number": 2**40,
        "parent": None,
    }
    other = row | {"traits": None, "either": "five", "again": None, "price": None}
    as_read = {"hash": "01ff", "list": "[1,2]", "map": '{"a":true}', "either": "5"}
    assert read(written(fields, [row, other])).to_pylist() == [row | as_read, other | as_read | {"either": "five"}]


# polars decodes flat records, fastavro all others: the result must not depend on the reader

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(),
    "string": st.text(st.characters(exclude_categories=["Cs"])),
}


@st.composite
def flat_files(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    fields, values = [], {}
    for position, kind in enumerate(draw(st.lists(st.sampled_from(sorted(PRIMITIVES)), min_size=1, max_size=6))):
        form = draw(st.sampled_from([kind] if kind == "null" else [kind, ["null", kind], [kind, "null"]]))
        fields.append({"name": f"field{position}", "type": form})
        values[f"field{position}"] = PRIMITIVES[kind] | st.none() if isinstance(form, list) else PRIMITIVES[kind]
    return fields, draw(st.lists(st.fixed_dictionaries(values), min_size=1, max_size=30))


@given(flat_files(), st.sampled_from(["null", "snappy"]), st.sampled_from([1, 100, 16_000]))
@settings(max_examples=300)
def test_polars_reads_what_fastavro_reads(
    file: tuple[list[dict[str, Any]], list[dict[str, Any]]], codec: str, block: int
) -> None:
    fields, rows = file
    data = written(fields, rows, codec, block)
    assume(any(field["type"] != "null" for field in fields))
    header = container.read_header(stream := io.BytesIO(data), NAME)
    blocks = list(container.read_blocks(stream, header))
    plain = [reader._unpacked(header, each) for each in blocks]
    by_polars = flat_records.fast_reading(header.records)
    assert by_polars is not None
    batch = flat_records.decode_fast(by_polars, header.records, blocks, plain)
    assert batch is not None
    assert batch.equals(reader._decoded(header, blocks, plain))
    assert batch.to_pylist() == list(fastavro.reader(io.BytesIO(data)))


# Files that are not valid


def test_a_file_truncated_anywhere_but_between_blocks_is_refused() -> None:
    data = written(HEAP, heap_rows(300), "snappy", block=1000)
    blocks = list(fastavro.block_reader(io.BytesIO(data)))
    ends = {len(data) - sum(block.size for block in blocks[number:]) for number in range(len(blocks) + 1)}
    for length in range(len(data)):
        if length in ends:
            continue
        with pytest.raises(UnreadableFileError, match=NAME):
            read(data[:length])


def test_a_truncated_file_is_reported_with_its_block_and_rows() -> None:
    data = written(HEAP, heap_rows(300), "snappy", block=1000)
    with pytest.raises(
        UnreadableFileError, match=r"`sync_1/users/part-0.avro` is truncated in block \d+, after 2\d\d rows; "
    ):
        read(data[:-5])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"user_id,email\n1,a@b.c\n", "is not an Avro file"),
        (written(HEAP, heap_rows(1)).replace(b"\x08null", b"\x08lzo4"), "is compressed with `lzo4`"),
        (written(HEAP, heap_rows(1)).replace(b'{"type"', b'["type"'), "has a schema that is not JSON"),
        (written(HEAP, heap_rows(1)).replace(b'"long"', b'"lnog"'), "has an invalid schema"),
        (
            written([{"name": "a", "type": "int"}, {"name": "b", "type": "int"}], []).replace(b'"b"', b'"a"'),
            "has a schema with two columns of the same name",
        ),
    ],
)
def test_a_file_that_is_not_avro_is_reported_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=f"`{NAME}` {reason}"):
        read(data)


def flipped(codec: str) -> Iterator[pa.Table | None]:
    """The same 200 rows, each time with another bit changed; None if the reader noticed."""
    data = written(HEAP, heap_rows(200), codec, block=1000)
    begin = data.index(data[-16:])  # before it are the names of columns, where a changed bit only gives another name
    chance = random.Random(5)
    for position in range(begin, len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << chance.randrange(8)
        try:
            yield read(bytes(damaged))
        except UnreadableFileError:
            yield None


def test_a_changed_bit_of_a_file_with_checksums_is_noticed_or_changes_nothing() -> None:
    tables = list(flipped("snappy"))
    unnoticed = [table.to_pylist() for table in tables if table is not None]
    assert all(rows == heap_rows(200) for rows in unnoticed)  # compressed differently, but the same
    assert len(unnoticed) < len(tables) / 100


def test_a_changed_bit_of_a_file_without_checksums_is_noticed_or_affects_only_a_value() -> None:
    """A letter may become another letter, but no row is lost, added or shifted."""
    tables = list(flipped("null"))
    unnoticed = [table.to_pylist() for table in tables if table is not None]
    for rows in unnoticed:
        assert sum(new != old for new, old in zip(rows, heap_rows(200), strict=True)) <= 2
    assert len(unnoticed) < len(tables)


def test_flat_records_are_never_decoded_by_fastavro(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_decoded", None)
    assert read(written(HEAP, heap_rows(10), "snappy")).num_rows == 10
