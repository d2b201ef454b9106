"""Files of every format become batches."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import cramjam
import fastavro
import pyarrow as pa
import pyarrow.parquet
import pytest

from heap_courier.errors import RejectedRow, SetupError, UnreadableFileError
from heap_courier.formats import readers
from heap_courier.formats.file_format import FileFormat
from heap_courier.formats.nesting import MOST_LEVELS, TOO_DEEP

CSV = FileFormat("text/csv")
JSON = FileFormat("application/json")
LINES = FileFormat("application/x-ndjson")
PARQUET = FileFormat("application/x-parquet")
AVRO = FileFormat("application/avro")
NAME = "2022/users"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users"


def read(path: Path, file_format: FileFormat, data: bytes | str) -> tuple[list[dict[str, Any]], list[RejectedRow]]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    decoded = [chunk.decode() for chunk in readers.chunks(path, file_format, NAME)]
    rows = [row for part in decoded for row in part.batch.to_pylist()]
    return rows, [row for part in decoded for row in part.rejected]


def avro(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    fields = [{"name": name, "type": ["null", "string"]} for name in rows[0]]
    fastavro.writer(stream, {"type": "record", "name": "row", "fields": fields}, rows, codec="snappy")
    return stream.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pa.parquet.write_table(table, stream, **options)
    return stream.getvalue()


# Delimited text


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("text/csv", 'a,b\n1,"x, ""y""\nz"\n'),
        ("text/csv", '\ufeffa,b\r\n\r\n1,"x, ""y""\nz"\r\n'),
        ("text/tab-separated-values", 'a\tb\n1\t"x, ""y""\nz"'),
        ("text/pipe-separated-values", 'a|b\n1|"x, ""y""\nz"'),
    ],
)
def test_delimited_text_is_read_with_its_quotes(path: Path, content_type: str, data: str) -> None:
    assert read(path, FileFormat(content_type), data) == ([{"a": "1", "b": 'x, "y"\nz'}], [])


def test_separator_quote_and_escape_can_be_changed(path: Path) -> None:
    file_format = FileFormat("text/csv", separator=";", quote="'", escape="\\")
    assert read(path, file_format, "a;b\n'1;\\'2';x\n")[0] == [{"a": "1;'2", "b": "x"}]


def test_every_column_is_text_and_empty_without_quotes_is_null(path: Path) -> None:
    rows, _ = read(path, CSV, 'a,b,c\n007,,""\nNULL,true,1.50\n')
    assert rows == [{"a": "007", "b": None, "c": ""}, {"a": "NULL", "b": "true", "c": "1.50"}]


def test_columns_without_a_header_are_numbered(path: Path) -> None:
    assert read(path, FileFormat("text/csv", header_rows=0), "x,y\n")[0] == [{"column_1": "x", "column_2": "y"}]
    assert read(path, CSV, "a,\n1,2\n")[0] == [{"a": "1", "column_2": "2"}]


def test_a_file_with_only_a_header_has_columns_and_no_rows(path: Path) -> None:
    assert read(path, CSV, "a,b\n") == ([], [])
    assert readers.schema(path, CSV, NAME) == pa.schema([("a", pa.string()), ("b", pa.string())])


def test_a_line_of_another_length_is_a_rejected_row_with_its_number(path: Path) -> None:
    wrong = {1, 50_000, 50_001, 299_998, 300_000}
    data = "a,b\n" + "".join(f"{n}\n" if n in wrong else f"{n},{'x' * 40}\n" for n in range(1, 300_001))
    path.write_text(data)
    chunks = list(readers.chunks(path, CSV, NAME))
    assert len(chunks) > 2
    rejected = []
    for chunk in chunks:
        decoded = chunk.decode()
        rejected += decoded.rejected
        left_out = {row.row for row in decoded.rejected}
        numbers = range(chunk.first_row, chunk.first_row + decoded.batch.num_rows + len(left_out))
        assert [str(n) for n in numbers if n not in left_out] == decoded.batch.column("a").to_pylist()
    assert {row.row for row in rejected} == wrong
    assert rejected[0] == RejectedRow(1, None, "has 1 column, but the first line has 2")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty; a file without rows still needs a header"),
        (b"a,b\n1,\xff\n", "is not valid UTF-8"),
        (b'a,b\n1,"' + b"x\n" * 5_000_000, "has a row of more than 1,000,000 bytes, or an unclosed quote"),
    ],
)
def test_unreadable_delimited_text_is_reported(path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=f"`{NAME}` {reason}"):
        read(path, CSV, data)


# JSON


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/json", '[{"a": 1}, {"a": 2}]'),
        ("application/json", ' \n{"a": 1}\n{"a": 2}'),
        ("application/json", '\ufeff[{"a": 1}, {"a": 2}]'),
        ("application/x-json-stream", '{"a": 1}{"a": 2}'),
        ("application/x-ndjson", '\ufeff{"a": 1}\n\n{"a": 2}'),
    ],
)
def test_json_is_read_in_all_its_forms(path: Path, content_type: str, data: str) -> None:
    assert read(path, FileFormat(content_type), data) == ([{"a": 1}, {"a": 2}], [])


@pytest.mark.parametrize("file_format", [JSON, LINES])
def test_values_of_json_keep_all_their_digits(path: Path, file_format: FileFormat) -> None:
    data = (
        '{"n": 1, "f": 1.50, "big": 12345678901234567890123, "mixed": "x", "list": [1.50, null], "o": {"a": {"b": 1}}}'
        "\n"
        '{"f": 2, "big": 1, "mixed": {"x": 1.50, "y": 12345678901234567890123}, "o": null, "yes": true, "none": null}\n'
    )
    rows, _ = read(path, file_format, data)
    assert rows == [
        {"n": 1, "f": "1.50", "big": "12345678901234567890123", "mixed": "x", "list": "[1.50,null]"}
        | {"o": {"a": {"b": 1}}, "yes": None, "none": None},
        {"n": None, "f": "2", "big": "1", "mixed": '{"x":1.50,"y":12345678901234567890123}', "list": None}
        | {"o": None, "yes": True, "none": None},
    ]


def test_an_object_with_data_as_keys_is_text(path: Path) -> None:
    rows, _ = read(path, LINES, json.dumps({"o": {str(n): n for n in range(300)}}))
    assert rows[0]["o"].startswith('{"0":0,"1":1,')


@pytest.mark.parametrize("line", ["nonsense", "[1]", "5", '{"a": "\\ud800"}', '{"a": 1', "\xff"])
def test_a_line_that_is_not_an_object_is_a_rejected_row(path: Path, line: str) -> None:
    rows, rejected = read(path, LINES, f'{{"a": 1}}\n{line}\n{{"a": 3}}\n'.encode("latin-1"))
    assert rows == [{"a": 1}, {"a": 3}]
    assert rejected == [RejectedRow(2, None, "is not a JSON object")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": NaN}', "contains NaN, which is not JSON"),
        ('{"a": 1e99999999999999999999}', "has a number whose exponent is out of range"),
        ('{"a": [-1E-99999999999999999999]}', "has a number whose exponent is out of range"),
        *((f'{{"a": {"[" * depth}{"]" * depth}}}', TOO_DEEP) for depth in (250, 300, 480, 600, 20_000, 100_000)),
        *((f'{{"a": {{"x": {"[" * depth}{"]" * depth}}}}}', TOO_DEEP) for depth in (250, 300, 600, 20_000)),
        ("[" * 9_999, TOO_DEEP),
    ],
)
def test_a_line_whose_value_exceeds_a_limit_is_a_rejected_row(path: Path, line: str, reason: str) -> None:
    rows, rejected = read(path, LINES, f'{{"a": 1}}\n{line}\n{{"a": 3}}\n')
    assert rows == [{"a": 1}, {"a": 3}]
    assert rejected == [RejectedRow(2, None, reason)]


@pytest.mark.parametrize("file_format", [JSON, LINES])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_values_nested_up_to_the_limit_are_read(
    path: Path, file_format: FileFormat, opening: str, closing: str
) -> None:
    depth = MOST_LEVELS - 1  # the row is a level
    value = f"{opening * depth}1{closing * depth}"
    rows, rejected = read(path, file_format, f'{{"a": {value}}}\n')
    assert (rows[0]["a"] if isinstance(rows[0]["a"], str) else json.dumps(rows[0]["a"]).replace(" ", "")) == value
    assert rejected == []


@pytest.mark.parametrize(("file_format", "data"), [(LINES, "{}\n5\n{}\n"), (JSON, "[{}, 5, {}]")])
def test_rows_of_only_empty_objects_are_rejected_not_lost(path: Path, file_format: FileFormat, data: str) -> None:
    empty, none = "is an empty object", "is not a JSON object"

    assert read(path, file_format, data) == (
        [],
        [RejectedRow(1, None, empty), RejectedRow(2, None, none), RejectedRow(3, None, empty)],
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "is empty"),
        ("[1", "is truncated, after row 1"),
        ('{"a": ', "is not valid JSON or is truncated"),
        ('[{"a": 1}', "is truncated, after row 1"),
        ("nonsense", "is not valid JSON or is truncated"),
    ],
)
def test_truncated_json_is_reported_with_its_position(path: Path, data: str, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=f"^`{NAME}` {reason}; export it again"):
        read(path, JSON, data)


def test_json_without_rows_has_no_columns(path: Path) -> None:
    path.write_text("[]")
    assert list(readers.chunks(path, JSON, NAME)) == []
    assert readers.schema(path, JSON, NAME) == pa.schema([])


# Parquet


def test_parquet_is_read_in_chunks_with_its_types(path: Path) -> None:
    table = pa.table(
        {"n": range(50_000), "text": ["x" * 500] * 50_000, "at": pa.array([0] * 50_000, pa.timestamp("ms"))}
    )
    path.write_bytes(parquet(table, row_group_size=20_000, use_dictionary=False))
    chunks = list(readers.chunks(path, PARQUET, NAME))
    assert len(chunks) > 5
    assert [chunk.first_row for chunk in chunks] == [chunk.decode().batch["n"][0].as_py() + 1 for chunk in chunks]
    assert pa.Table.from_batches([chunk.decode().batch for chunk in chunks]) == table
    assert readers.schema(path, PARQUET, NAME) == table.schema


@pytest.mark.parametrize("data", [b"", b"PAR1", b"a,b\n1,2\n", parquet(pa.table({"n": range(1000)}))[:-20]])
def test_a_file_that_is_not_parquet_is_reported(path: Path, data: bytes) -> None:
    with pytest.raises(UnreadableFileError, match=f"`{NAME}` is not a Parquet file, or is damaged"):
        read(path, PARQUET, data)


def test_parquet_with_text_that_is_not_utf8_is_reported(path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\4\0\0\0"), pa.py_buffer(b"M\xfcll")])
    with pytest.raises(UnreadableFileError, match=f"`{NAME}` .* or contains text that is not UTF-8"):
        read(path, PARQUET, parquet(pa.table({"n": text})))


def test_parquet_with_a_column_name_that_is_not_utf8_is_reported(path: Path) -> None:
    data = parquet(pa.table({"caf\N{LATIN SMALL LETTER E WITH ACUTE}": [1]}), store_schema=False)
    with pytest.raises(UnreadableFileError, match=f"`{NAME}` .* or contains text that is not UTF-8"):
        read(path, PARQUET, data.replace(b"caf\xc3\xa9", b"caf\xc3\xc3"))


# All formats


FILES = [
    (CSV, b"a\nx\n"),
    (JSON, b'[{"a":"x"}]'),
    (LINES, b'{"a":"x"}\n'),
    (PARQUET, parquet(pa.table({"a": ["x"]}))),
    (AVRO, avro([{"a": "x"}])),
]


@pytest.mark.parametrize(("file_format", "data"), FILES)
def test_a_gzip_file_is_decompressed_while_it_is_read(tmp_path: Path, file_format: FileFormat, data: bytes) -> None:
    assert read(tmp_path / "users.gz", file_format, gzip.compress(data)) == ([{"a": "x"}], [])
    assert readers.schema(tmp_path / "users.gz", file_format, NAME) == pa.schema([("a", pa.string())])


@pytest.mark.parametrize(("file_format", "data"), FILES)
def test_an_invalid_or_truncated_gzip_file_is_reported(tmp_path: Path, file_format: FileFormat, data: bytes) -> None:
    for packed in (data, gzip.compress(data)[:-12]):
        with pytest.raises(UnreadableFileError, match=f"`{NAME}` is no"):
            read(tmp_path / "users.gz", file_format, packed)


@pytest.mark.parametrize("content_type", ["application/xml", "application/ingest-pack+cbor", "text/plain"])
def test_unsupported_formats_are_reported(path: Path, content_type: str) -> None:
    with pytest.raises(
        SetupError, match=rf"`{NAME}`: files of content type `.*` are not supported; export the file as"
    ):
        read(path, FileFormat(content_type), b"x")


LONG = "x" * 1000
ROW = {"a": LONG, "b": LONG}
LARGE = [
    (CSV, lambda: b"a,b\n" + f"{LONG},{LONG}\n".encode() * 60_000, 45_000_000),  # Arrow reads ahead
    (LINES, lambda: (json.dumps(ROW) + "\n").encode() * 20_000, 25_000_000),
    (JSON, lambda: (json.dumps(ROW) + "\n").encode() * 20_000, 25_000_000),
    (PARQUET, lambda: parquet(pa.Table.from_pylist([ROW] * 20_000), use_dictionary=False), 10_000_000),
    (AVRO, lambda: avro([ROW] * 20_000), 25_000_000),
]
"""Formats, their files (240 MB together, so created by the tests), and the memory that they may need."""


@pytest.mark.parametrize(("file_format", "make", "most"), LARGE)
def test_no_chunk_of_a_large_file_is_large(
    path: Path, file_format: FileFormat, make: Callable[[], bytes], most: int
) -> None:
    """Rows of 2,000 bytes; Python's own memory is measured too."""
    path.write_bytes(make())
    rows = 0
    tracemalloc.start()
    for chunk in readers.chunks(path, file_format, NAME):
        batch = chunk.decode().batch
        rows += batch.num_rows
        assert batch.nbytes < 12_000_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows in (20_000, 60_000)
    assert peak < most


# Files that were once read incorrectly


@pytest.mark.parametrize("filler", [999_990, 999_995, 999_999, 1_000_000])
def test_a_line_end_inside_quotes_is_kept_anywhere(path: Path, filler: int) -> None:
    """Arrow loses the line feed of CRLF at the end of its block: https://github.com/apache/arrow/issues/51368."""
    data = "a,b\r\n" + "".join(f'"{number}","x\r\ny"\r\n' for number in range(filler // 14 + 2000))
    rows, rejected = read(path, CSV, data)
    assert {row["b"] for row in rows} == {"x\r\ny"}
    assert rejected == []


def test_a_quote_that_is_never_closed_refuses_the_file(path: Path) -> None:
    """The rest of the file would become one value."""
    with pytest.raises(UnreadableFileError, match="`2022/users` ends inside a quoted value"):
        read(path, CSV, 'id,note\n1,fine\n2,"i am an unclosed comment\n3,x\n4,y\n')


def test_quotes_can_be_switched_off(path: Path) -> None:
    """For files without quotes."""
    rows, _ = read(path, FileFormat("text/tab-separated-values", quote=""), 'id\tnote\n1\t"open\n2\tx\n')
    assert rows == [{"id": "1", "note": '"open'}, {"id": "2", "note": "x"}]


@pytest.mark.parametrize("data", ["a,b", "a,b\n", "a,b\r\n", "\ufeffa,b\n\n"])
def test_a_header_alone_is_a_file_without_rows(path: Path, data: str) -> None:
    """With or without a line end."""
    assert read(path, CSV, data) == ([], [])
    assert readers.schema(path, CSV, NAME).names == ["a", "b"]


def test_timestamps_of_spark_keep_their_year(path: Path) -> None:
    """INT96 reaches beyond the years 1677 to 2262, the range of 64-bit nanoseconds."""
    instants = [datetime(1, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, 3, tzinfo=timezone.utc), None]
    table = pa.table({"at": pa.array(instants, pa.timestamp("us")), "n": [1, 2, 3]})
    rows, _ = read(path, PARQUET, parquet(table, use_deprecated_int96_timestamps=True))
    assert [row["at"] and row["at"].replace(tzinfo=timezone.utc) for row in rows] == instants


def test_a_timestamp_out_of_range_does_not_get_another_year(path: Path) -> None:
    """A day in INT96 may be millions of years away; its microseconds would wrap around."""
    table = pa.table({"at": pa.array([0], pa.timestamp("us"))})
    data = parquet(table, use_deprecated_int96_timestamps=True, compression="none", use_dictionary=False)
    epoch = (2_440_588).to_bytes(4, "little")
    assert data.count(bytes(8) + epoch) == 1
    path.write_bytes(data.replace(bytes(8) + epoch, bytes(8) + (2**31 - 1).to_bytes(4, "little")))
    (chunk,) = readers.chunks(path, PARQUET, NAME)
    assert chunk.decode().batch.column("at").cast(pa.int64()).to_pylist() > [253_402_300_800_000_000]


def test_a_changed_byte_of_a_parquet_page_with_a_checksum_is_noticed(path: Path) -> None:
    """Otherwise a wrong value would be loaded."""
    table = pa.table({"text": ["aaaa", "bbbb"]})
    data = parquet(table, write_page_checksum=True, write_statistics=False, compression="none", use_dictionary=False)
    with pytest.raises(UnreadableFileError, match="is damaged"):
        read(path, PARQUET, data.replace(b"bbbb", b"bbbc", 1))


def test_content_after_an_array_is_not_dropped(path: Path) -> None:
    """The file is refused."""
    with pytest.raises(UnreadableFileError, match="has content after its array"):
        read(path, JSON, '[{"a": 1}] {"a": 2}')


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (["string", "double"], float("nan"), "NaN"),
        (["string", "double"], float("-inf"), "-Infinity"),
        (["string", "double"], 1.5, "1.5"),
        (["string", "boolean"], True, "true"),
        (["string", "long"], 7, "7"),
        (["string", "bytes"], b"\x00\xff", "00ff"),
        (["string", "null", "long"], None, None),
        ({"type": "map", "values": "double"}, {"a": float("nan")}, '{"a":"NaN"}'),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 2},
            Decimal("1" * 40 + ".50"),
            "1" * 40 + ".50",
        ),
    ],
)
def test_a_scalar_of_avro_becomes_its_own_text(path: Path, kind: Any, value: Any, text: str | None) -> None:
    """Without the quotes of JSON, and never as the text `null`."""
    stream = io.BytesIO()
    schema = {"type": "record", "name": "row", "fields": [{"name": "v", "type": kind}]}
    fastavro.writer(stream, schema, [{"v": value}])
    assert read(path, AVRO, stream.getvalue()) == ([{"v": text}], [])


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("kind", ["int", ["null", "int"], {"type": "int", "logicalType": "date"}])
def test_an_int_of_more_than_32_bits_is_never_truncated(path: Path, kind: Any, flat: bool) -> None:
    """Fastavro writes it; both readers refuse the file."""
    stream = io.BytesIO()
    fields = [
        {"name": "v", "type": kind},
        *([] if flat else [{"name": "x", "type": {"type": "array", "items": "int"}}]),
    ]
    wide = json.loads(json.dumps(fields).replace('"int"', '"long"').replace(', "logicalType": "date"', ""))
    fastavro.writer(stream, {"type": "record", "name": "row", "fields": wide}, [{"v": 2**40, "x": []}])
    path.write_bytes(rewritten(stream.getvalue(), fields))
    with pytest.raises(UnreadableFileError, match="such as an int of more than 32 bits"):
        [chunk.decode() for chunk in readers.chunks(path, AVRO, NAME)]


def rewritten(data: bytes, fields: list[Any]) -> bytes:
    """An Avro file with another schema in its header, and the same blocks."""
    reader = fastavro.block_reader(io.BytesIO(data))
    (block,) = reader
    header = io.BytesIO()
    schema = {"type": "record", "name": "row", "fields": fields}
    fastavro.writer(header, schema, [])
    sync = header.getvalue()[-16:]
    packed = block.bytes_.getvalue()

    def number(value: int) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, "long", value)
        return out.getvalue()

    return header.getvalue() + number(block.num_records) + number(len(packed)) + packed + sync


@pytest.mark.parametrize("file_format", [JSON, LINES])
def test_half_a_surrogate_pair_rejects_its_row_in_json_and_in_ndjson(path: Path, file_format: FileFormat) -> None:
    """No column can store it; a replacement would be another value."""
    rows, rejected = read(path, file_format, '{"a": "\\ud800"}\n{"a": "\\ud83d\\ude00"}\n{"a": "ok"}\n')
    assert rows == [{"a": "\U0001f600"}, {"a": "ok"}]
    assert [row.row for row in rejected] == [1]


@pytest.mark.parametrize("name", ["users", "users.gz"])
def test_a_file_of_only_empty_lines_is_refused(tmp_path: Path, name: str) -> None:
    """With `truncate`, a failed export would empty the table."""
    empty = tmp_path / name
    for content in (b"", gzip.compress(b""))[: 2 if name.endswith("gz") else 1]:
        empty.write_bytes(content)
        with pytest.raises(UnreadableFileError, match="`2022/users` is empty"):
            list(readers.chunks(empty, LINES, NAME))
    empty.write_bytes(gzip.compress(b"\n") if name.endswith("gz") else b"\n")
    assert list(readers.chunks(empty, LINES, NAME)) == []


NULLS = {"type": "record", "name": "row", "fields": [{"name": "v", "type": "null"}]}


def avro_block(schema: Any, codec: str, rows: int, packed: bytes) -> bytes:
    """A file of one block, which may declare a wrong number of rows."""
    header = io.BytesIO()
    fastavro.writer(header, schema, [], codec=codec)

    def number(value: int) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, "long", value)
        return out.getvalue()

    return header.getvalue() + number(rows) + number(len(packed)) + packed + header.getvalue()[-16:]


@pytest.mark.parametrize("rows", [2**40, 2**28, 1_000_001])
def test_more_rows_than_a_block_contains_are_an_error_immediately(path: Path, rows: int) -> None:
    """Otherwise 150 bytes could keep the reader busy forever."""
    path.write_bytes(avro_block(NULLS, "null", rows, b""))
    with pytest.raises(UnreadableFileError, match="declares more rows than"):
        [chunk.decode() for chunk in readers.chunks(path, AVRO, NAME)]


@pytest.mark.parametrize(
    ("codec", "pack"),
    [
        ("deflate", lambda data: zlib.compress(data, 9)[2:-4]),
        ("bzip2", bz2.compress),
        ("xz", lzma.compress),
        ("zstandard", lambda data: bytes(cramjam.zstd.compress(data))),
        ("snappy", lambda data: bytes(cramjam.snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")),
    ],
)
def test_a_block_that_decompresses_to_more_than_the_limit_is_an_error(
    path: Path, codec: str, pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it fills the memory."""
    monkeypatch.setattr("heap_courier.formats.avro.codecs.LARGEST_BLOCK", 100_000)
    longs = {"type": "record", "name": "row", "fields": [{"name": "v", "type": "long"}]}
    for size, fits in ((100_000, True), (100_001, False)):
        content = avro_block(longs, "null", size, pack(bytes(size)))
        path.write_bytes(content.replace(b"\x08null", bytes([2 * len(codec)]) + codec.encode(), 1))
        if fits:
            assert sum(chunk.decode().batch.num_rows for chunk in readers.chunks(path, AVRO, NAME)) == size
            continue
        with pytest.raises(UnreadableFileError, match=r"unpacks to more than 100,000 bytes|declares more rows"):
            [chunk.decode() for chunk in readers.chunks(path, AVRO, NAME)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "windows-1252", "utf-8"])
def test_text_in_another_encoding_is_read_correctly(path: Path, encoding: str) -> None:
    data = "id,name\n1,Zoë\n".encode(encoding)
    assert read(path, FileFormat("text/csv", encoding=encoding), data) == ([{"id": "1", "name": "Zoë"}], [])


def test_text_that_is_not_in_its_encoding_is_refused(path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="is not valid ascii, its declared encoding"):
        read(path, FileFormat("text/csv", encoding="ascii"), "id\nZoë\n".encode())
