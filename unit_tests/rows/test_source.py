"""A file of rows becomes the messages that a source would send, or is refused with the line number."""

from __future__ import annotations

import csv
import gzip
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.config.grammar import parse_column_list
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.protocol.messages import Record, parse_line
from destination_heap_analytics.rows import binary, json_rows, text
from destination_heap_analytics.rows.source import Rows, open_rows


def packed(content: bytes) -> bytes:
    """Compressed without a timestamp: contents are part of test names, which must be the same in each process."""
    return gzip.compress(content, mtime=0)


def opened(folder: Path, content: bytes | str, name: str = "orders.csv", **options: Any) -> Rows:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_rows(str(file), **options)


def data(rows: Rows) -> list[Any]:
    """The record of each message, exactly."""
    records = []
    for lines, size in rows.blocks:
        assert size >= sum(map(len, lines))
        for line in lines:
            message = parse_line(line, 1)
            assert isinstance(message, Record)
            assert (message.stream, message.namespace) == (rows.stream.name, None)
            records.append(message.exactly())
    return records


TWO = [{"id": "1", "note": "a"}, {"id": "2", "note": None}]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (' "b"', '1," ""b"""'),
        ('5" disk', '1,5" disk'),
        (' 5" disk', '1, 5" disk'),
        ('Say, "b"', '1,"Say, ""b"""'),
        ('Say, \n "b"', '1,"Say, \n ""b"""'),
    ],
)
def test_quotes_and_spaces_that_belong_to_a_value_stay(tmp_path: Path, value: str, written: str) -> None:
    """Only a quote that a space keeps from opening a value is refused."""
    file = tmp_path / "a.csv"
    file.write_text(f"id,note\n{written}\n", newline="")
    lines = [json.loads(line) for block, _ in open_rows(str(file)).blocks for line in block]
    assert [line["record"]["data"] for line in lines] == [{"id": "1", "note": value}]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("orders.csv", "id,note\n1,a\n2,\n", TWO),
        ("orders.csv", "\ufeffid,note\r\n1,a\r\n\r\n2,", TWO),
        ("orders.csv", "id,note\r1,a\r2,\r", TWO),
        ("orders.csv", "\n\nid , note\n1,a\n2,\n", TWO),
        ("orders.csv", "id;note\n1;a\n2;\n", TWO),
        ("orders.csv", '"id|x",note\n1,a\n', [{"id|x": "1", "note": "a"}]),
        ("orders.tsv", "id\tnote\n1\ta\n2\t\n", TWO),
        ("orders.tab", "id\tnote, if any\n1\ta\n", [{"id": "1", "note, if any": "a"}]),
        ("orders.txt", "id|note\n1|a\n2|\n", TWO),
        ("orders", "id\n1\n", [{"id": "1"}]),
        ("orders.csv", 'id,note\n1,"a ""b"", c\nd"\n', [{"id": "1", "note": 'a "b", c\nd'}]),
        ("orders.csv", 'id,note\n1,5" pipe\n', [{"id": "1", "note": '5" pipe'}]),
        ("orders.csv", "id,note\n007,true\n", [{"id": "007", "note": "true"}]),
        ("orders.csv", "{id},note\n1,a\n", [{"{id}": "1", "note": "a"}]),
        (
            "orders.ndjson",
            '{"id": 1}\n\n{"id": 12345678901234567890, "x": 1.10}',
            [{"id": 1}, {"id": 12345678901234567890, "x": 1.1}],
        ),
        ("orders.jsonl", '\ufeff{"id": 1, "o": {"a": [1, null]}}\r\n', [{"id": 1, "o": {"a": [1, None]}}]),
        ("orders.json", '{"id": 1}\n{"id": 2}\n', [{"id": 1}, {"id": 2}]),
        (
            "orders.json",
            "[]x".replace("[]x", '[{"id": 1},\n {"id": 2, "t": "a\\n]"}\n]\n'),
            [{"id": 1}, {"id": 2, "t": "a\n]"}],
        ),
        ("orders.json", ' [ {"id":\n 1} ] ', [{"id": 1}]),
        ("anything", '{"id": 1}\n', [{"id": 1}]),
    ],
)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_the_rows_of_a_file(tmp_path: Path, name: str, content: str, rows: list[Any], is_compressed: bool) -> None:
    """Values of delimited text are text, or null if empty; JSON keeps its types and digits."""
    if is_compressed:
        loaded = opened(tmp_path, gzip.compress(content.encode()), f"{name}.gz")
    else:
        loaded = opened(tmp_path, content, name)
    assert loaded.stream.name == name.partition(".")[0]
    assert data(loaded) == rows


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.csv", "", "has no rows."),
        ("a.csv", "\n \n", "has no rows."),
        ("a.csv", "id,note\n", "has no rows."),
        ("a.json", "[]", "has no rows."),
        ("a.ndjson", "\n", "has no rows."),
        ("a.csv", "id,note\n1,a\n2\n", ", line 3: the row has 1 value, but the header has 2 columns."),
        ("a.csv", 'id,note\n"1\n",a\n2,a,b\n', ", line 4: the row has 3 values, but the header has 2 columns."),
        ("a.csv", "\nid,note\n1,a\n2\n", ", line 4: the row has 1 value"),
        ("a.csv", 'id,note\n1,a\n2,"b\n3,c\n', ", line 3: a quoted value in the row that begins here is not closed."),
        ("a.csv", 'id,note\n1,"b"c\n', ", line 2: text follows a closing quote in the row that begins here."),
        ("a.csv", 'id,note\n1,b\n2, "c"\n', ", line 3: a space precedes the opening quote of a value, which makes"),
        ("a.csv", 'id;note;n\n1;  "b" ;2\n', ", line 2: a space precedes the opening quote of a value"),
        ("a.csv", '"id", "note"\n"1","b"\n', ", line 1: a space precedes the opening quote of a value"),
        ("a.csv", "id,,note\n1,2,3\n", ": column 2 has no name in the header."),
        ("a.csv", "id,note, id\n1,2,3\n", ": columns 1 and 3 of the header have the same name, `id`."),
        ("a.csv", b"id,note\n1,a\n2,caf\xe9\n", "is not valid UTF-8 in line 3."),
        ("a.csv", b"id,note\n1,caf\xc3", "is not valid UTF-8 in line 2."),
        ("a.csv", "id,note\n1,2\n".encode("utf-16"), "is UTF-16 text, not CSV, TSV, NDJSON or a JSON list."),
        ("a.csv", "id,note\n1,2\n".encode("utf-16-le"), "is not text: it contains null bytes."),
        ("a.xlsx", b"PK\x03\x04rest", "is a zip archive or an Excel workbook, not CSV"),
        ("a.parquet", b"PAR1rest", "is a Parquet file, not CSV"),
        ("a.csv.gz", "id,note\n1,2\n", "is not compressed with gzip, although its name ends with .gz."),
        (
            "a.csv.gz",
            packed(b"id,note\n" + b"1,2\n" * 999)[:-10],
            "is damaged: its gzip data is incomplete or wrong.",
        ),
        ("a.csv.gz", packed(b"id,note\n1,2\n") + b"junk", "is damaged: its gzip data is incomplete or wrong."),
        ("a.csv.gz", b"\x1f\x8b\x08\x00junk and no more than that", "is damaged: its gzip data"),
        ("a.csv.gz", packed(packed(b"id\n1\n")), "is compressed twice"),
        (
            "a.ndjson",
            '{"id": 1}\n{"id": 2\n',
            ", line 2: the line is not valid JSON: expecting ',' delimiter at character 9.",
        ),
        (
            "a.ndjson",
            '{"id": 1}, "stream": "x", "data": {}\n',
            ", line 1: the line is not valid JSON: extra data at character 10.",
        ),
        ("a.ndjson", '{"id": 1}\n5\n', ", line 2: the line is a number, not a JSON object"),
        ("a.ndjson", '{"a": ' + "[" * 200_000 + "\n", ", line 1: the line is nested too deeply"),
        ("a.json", '{\n"id": 1}\n', "is a JSON document of several lines, not one object per line."),
        ("a.json", '[{"id": 1}\n{"id": 2}]', ", line 2: `,` is missing."),
        ("a.json", '[{"id": 1},\n{"id": 2', ", line 2: the list ends in the middle of an object"),
        ("a.json", '[{"id": 1},\n', ", line 2: the list ends in the middle"),
        ("a.json", '[{"id": 1},\n', ", line 2: the list ends"),
        ("a.json", '[{"id": 1}', ", line 1: the list ends in the middle."),
        ("a.json", '[{"id": 1}, 5, {}]', ", line 1: an item of the list is a number, not an object."),
        ("a.json", '[{"id": 1}] {"id": 2}', ", line 1: text follows the end of the list."),
        (
            "a.json",
            '[{"id": x, "a": "long enough to be seen at once"}]',
            ", line 1: the object is not valid JSON: expecting value.",
        ),
        (
            "a.jsonl",
            '{"type": "RECORD", "record": {"stream": "a", "data": {"id": 1}}}',
            "contains Airbyte messages, not rows.",
        ),
    ],
)
def test_a_file_that_is_not_rows_is_refused_with_the_line_number(
    tmp_path: Path, name: str, content: bytes | str, error: str
) -> None:
    """With what happened, where, and what to do, but without the content."""
    with pytest.raises(ConfigError) as refused:
        data(opened(tmp_path, content, name))
    assert str(refused.value).startswith(f"`{tmp_path / name}`")
    assert error in str(refused.value)
    assert "caf" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """So is a directory."""
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        open_rows(str(tmp_path / "missing.csv"))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        open_rows(str(tmp_path))


def test_the_rows_before_a_damaged_one_are_read(tmp_path: Path) -> None:
    """They are loaded before the command fails."""
    blocks = opened(tmp_path, "id\n1\n2\n3,4\n").blocks
    assert len(next(blocks)[0]) == 2
    with pytest.raises(ConfigError, match="line 4"):
        next(blocks)


@pytest.mark.parametrize(
    ("name", "content", "primary_key", "keys"),
    [
        ("a.csv", "id,region\n1,eu\n", "id", (("id",),)),
        ("a.csv", "id,region\n1,\n", "region, id", (("region",), ("id",))),
        ("a.csv", '"a,b"\n1\n', '"a,b"', (("a,b",),)),
        ("a.ndjson", '{"o": {"id": 1}}', "o.id", (("o", "id"),)),
        ("a.ndjson", '{"o.id": 1, "o": {"id": 2}}', "o.id", (("o.id",),)),
    ],
)
def test_a_primary_key_deduplicates_as_in_a_catalog(
    tmp_path: Path, name: str, content: str, primary_key: str, keys: tuple[tuple[str, ...], ...]
) -> None:
    """Its columns are looked up in the first row."""
    stream = opened(tmp_path, content, name, primary_key=primary_key, stream="sales").stream
    assert (stream.name, stream.primary_key, stream.is_deduplicated) == ("sales", keys, True)
    assert not opened(tmp_path, content, name).stream.is_deduplicated


@pytest.mark.parametrize(
    ("primary_key", "error"),
    [
        (
            "ID",
            r"lists the column `ID`, which the first row of .* does not have \(did you mean `id`\?\). Its columns: ",
        ),
        ("*", "must be a list of column names"),
        ("id::text", "must be a list of column names"),
        ("id as x", "must be a list of column names"),
        ('"id', "`--primary-key` has a double quote at character 1"),
    ],
)
def test_a_primary_key_that_no_row_has_is_refused(tmp_path: Path, primary_key: str, error: str) -> None:
    """Otherwise loading the file again would duplicate its events."""
    with pytest.raises(ConfigError, match=error):
        opened(tmp_path, "id,region\n1,eu\n", primary_key=primary_key)


MIXED = "id,amount,active,zip,flag,name,none\n1,12.5,true,08001,1,7,\n2,,no,8002,0,x,\n"


@pytest.mark.parametrize(
    ("columns", "casts"),
    [
        ("*", "`amount::number`, `active::boolean`, `flag::number`"),
        ("*, amount::number, active as on", "`active::boolean as on`, `flag::number`"),
        ("* except (flag), amount::text", "`active::boolean`"),
        ("amount as Order Amount, name", "`amount::number as Order Amount`"),
        ("amount::number, name, zip, none", None),
    ],
)
def test_numbers_and_booleans_that_would_be_sent_as_text_are_pointed_out(
    tmp_path: Path, columns: str, casts: str | None
) -> None:
    """With the cast to add; a code with leading zeros is not a number."""
    rows = opened(tmp_path, MIXED)
    data(rows)
    assert rows.hint(parse_column_list(columns)) == (
        casts and f"All values of a CSV file are text. To send numbers and booleans, cast them: {casts}."
    )
    assert opened(tmp_path, '{"id": "1"}', "a.ndjson").hint(parse_column_list("*")) is None


cells = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(cells.filter(bool), cells), min_size=1, max_size=8), st.integers(1, 9), st.booleans())
def test_a_file_reads_back_as_written(rows: list[tuple[str, str]], block: int, is_crlf: bool) -> None:
    """For any values and any block boundaries."""
    out = io.StringIO(newline="")
    end = "\r\n" if is_crlf else "\n"
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=end).writerows([("a", "b"), *rows])
    content = out.getvalue().encode()
    expected = [{"a": a, "b": b or None} for a, b in rows]
    assert _read("x.csv", content, block) == expected
    listed = json.dumps(expected, ensure_ascii=False, indent=1).encode()
    assert _read("x.json", listed, block) == expected
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in expected).encode()
    assert _read("x.ndjson", lines, block) == expected


def _read(name: str, content: bytes, block: int) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "destination_heap_analytics.rows.source.read_blocks",
            lambda _: (content[at : at + block] for at in range(0, len(content), block)),
        )
        return data(open_rows(name))


@given(
    st.binary(max_size=60) | st.text("[]{},:\"'\\ \n\r\t1a;|", max_size=30).map(str.encode),
    st.sampled_from(["csv", "tsv", "ndjson", "json"]),
)
def test_any_bytes_are_rows_or_refused(content: bytes, suffix: str) -> None:
    """No content makes the readers fail in another way."""
    with suppress(ConfigError):
        assert all(isinstance(row, dict) for row in _read(f"x.{suffix}", content, 7))


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unclosed quote, an endless line and an endless object are refused, not buffered."""
    for module in (text, json_rows):
        monkeypatch.setattr(module, "LONGEST_LINE", 10_000)
    monkeypatch.setattr("destination_heap_analytics.rows.delimited.LONGEST_LINE", 10_000)
    monkeypatch.setattr(binary, "BLOCK", 1000)
    with pytest.raises(ConfigError, match="line 2: a quoted value in the row that begins here is not closed"):
        data(opened(tmp_path, 'id\n"1\n' + "2\n" * 50_000))
    with pytest.raises(ConfigError, match="line 2: the line is longer than"):
        data(opened(tmp_path, "id\n" + "1" * 50_000))
    with pytest.raises(ConfigError, match="line 1: an object is longer than"):
        data(opened(tmp_path, '[{"id": "' + "1" * 50_000, "a.json"))
    rows = opened(tmp_path, "id\n" + "1\n" * 50_000)
    assert sum(len(lines) for lines, _ in rows.blocks) == 50_000
