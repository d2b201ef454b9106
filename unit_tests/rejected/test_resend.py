"""Stored rejected rows become messages again, with every digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError
from destination_heap_analytics.protocol.messages import Record, parse_line
from destination_heap_analytics.rejected.resend import _message, resend
from destination_heap_analytics.rejected.store import path_part, rejected_line

NULL = RowRejectedError(Reason.NULL, "email")


def record_line(data: str) -> bytes:
    return f'{{"type":"RECORD","record":{{"stream":"users","data":{data}}}}}'.encode("utf-8", "surrogateescape")


def message(data: str, stream: str = "users") -> bytes:
    text = f'{{"type": "RECORD", "record": {{"stream": "{stream}", "data": {data}, "emitted_at": 5}}}}'
    return text.encode("utf-8", "surrogateescape")


def resent(folder: Path, content: bytes, stream: str | None = "users") -> list[bytes]:
    folder.mkdir(exist_ok=True)
    file = folder / "rejected.jsonl"
    file.write_bytes(content)
    return list(resend([file], stream, 5))


ROWS = [
    "{}",
    "{ \t}",
    '{"id": 1}',
    '{"big":12345678901234567890123,"price":12.50,"tiny":1e-400,"nan":NaN,"long":' + "7" * 5000 + "}",
    '{"z":1,"a":2,"z":3}',
    '{"a":"\\ud800 \\u00e9 é \u2028 }\\"{"}',
    '{"raw":"\udcff\udc80"}',
    '{ "a" : 1 ,\t"b" : "}" }',
    '{"rejected_reason":"mine","rejected_field":0,"rejected_message":[]}',
    '{"a":1,"rejected\\u005freason":"unreadable","b":2}',
    '{"rejected_reason":"unreadable","unreadable_line":"mine"}',
    '{"deep":' + "[" * 900 + "]" * 900 + "}",
]


@pytest.mark.parametrize("data", ROWS)
def test_a_row_is_resent_as_the_source_wrote_it(data: str, tmp_path: Path) -> None:
    """Its own keys stay, even those with our names; only ours are removed."""
    assert resent(tmp_path, rejected_line(record_line(data), NULL) + b"\n") == [message(data)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
keys = st.text() | st.sampled_from(["rejected_reason", "rejected_field", "rejected_message", "unreadable_line", "data"])


@given(st.dictionaries(keys, json_values), st.booleans(), st.sampled_from([None, 0, 1]))
def test_any_row_is_restored_exactly(row: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    """Character by character."""
    data = json.dumps(row, ensure_ascii=ascii_only, indent=indent).replace("\n", "\t")
    assert _message(rejected_line(record_line(data), NULL), "users", 5) == message(data)


@given(st.binary())
def test_a_line_stored_whole_is_resent_unchanged(line: bytes) -> None:
    """Byte for byte."""
    kept = rejected_line(line + b"\n", RowRejectedError(Reason.UNREADABLE))
    assert _message(kept, "users", 5) == line


def test_the_connector_accepts_resent_rows(tmp_path: Path) -> None:
    """As rows of the stream, in any namespace."""
    (line,) = resent(tmp_path, rejected_line({"id": 1}, NULL), 'a"é\ud800')
    assert parse_line(line, 1) == Record('a"é\ud800', None, {"id": 1}, is_exact=True, line=line)


@pytest.mark.parametrize(
    ("mended", "data"),
    [
        ('{"email":"a@b.c","id":1}', '{"email":"a@b.c","id":1}'),
        ('{"rejected_reason":"null","rejected_field":null,"rejected_message":"m", "id":1}', '{ "id":1}'),
        ('{"id":1,"rejected_reason":"null","email":"a@b.c"}', '{"id":1,"email":"a@b.c"}'),
        ('\ufeff {"rejected_message":"m" , "id":1 } \r', '{ "id":1 }'),
        ('{"id":1,"rejected_reason":[]}', '{"id":1}'),
        ('{"rejected_reason":"unreadable","unreadable_line":7}', '{"unreadable_line":7}'),
    ],
)
def test_a_row_may_have_been_fixed_by_hand_or_by_a_tool(mended: str, data: str, tmp_path: Path) -> None:
    """Our keys may be anywhere, or missing."""
    assert resent(tmp_path, mended.encode()) == [message(data)]


def test_blank_lines_are_skipped_and_the_last_may_lack_its_end(tmp_path: Path) -> None:
    """As editors leave them."""
    assert resent(tmp_path, b'{"id":1}\n\n \r\n{"id":2}') == [message('{"id":1}'), message('{"id":2}')]


@pytest.mark.parametrize("name", ["users", "crm/users", "..", "a b~"])
def test_the_stream_is_named_by_the_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the path is relative to that folder."""
    folder = tmp_path / path_part(name)
    assert resent(folder, b'{"id":1}', None) == [message('{"id":1}', name)]
    monkeypatch.chdir(folder)
    assert list(resend([Path("rejected.jsonl")], None, 5)) == [message('{"id":1}', name)]


def test_a_given_name_takes_precedence_over_the_folder(tmp_path: Path) -> None:
    """The files may have been moved."""
    assert resent(tmp_path / "Downloads", b"{}", "users") == [message("{}")]


@pytest.mark.parametrize("folder", [path_part("x" * 300), "%FF"])
def test_a_folder_without_a_usable_name_is_reported(folder: str, tmp_path: Path) -> None:
    """With the remedy."""
    with pytest.raises(
        ConfigError,
        match=r"stream of `.*rejected.jsonl` is unknown, because its folder is not named after it. Set it, as in `--s",
    ):
        resent(tmp_path / folder, b"{}", None)


def test_a_file_at_the_root_has_no_stream_name() -> None:
    """Its folder has no name."""
    with pytest.raises(ConfigError, match="its folder is not named after it"):
        list(resend([Path("/rejected.jsonl")], None, 5))


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_an_unreadable_file_is_reported_after_the_rows_before_it(name: str, tmp_path: Path) -> None:
    """With the system's reason."""
    file = tmp_path / "rejected.jsonl"
    file.write_bytes(b"{}")
    messages = resend([file, tmp_path / name], "users", 5)
    assert next(messages) == message("{}")
    with pytest.raises(ConfigError, match=r"cannot be read \((No such file or|Is a) directory\)\. Pass files"):
        next(messages)


@pytest.mark.parametrize(
    "line",
    [
        b'{"secret":',
        b"secret",
        b'["secret"]',
        b'"secret"',
        b'{"secret":1}{"rejected_reason":"null"}',
        b"[" * 200_000,
        b'{"rejected_reason":"unreadable","unreadable_line":"secret \\ud83d"}',
    ],
)
def test_a_line_that_is_not_a_row_is_reported_by_its_number_alone(line: bytes, tmp_path: Path) -> None:
    """Without its content; the lines before it are valid."""
    (tmp_path / "rejected.jsonl").write_bytes(b'{"id":1}\n\n' + line + b"\n{}")
    messages = resend([tmp_path / "rejected.jsonl"], "users", 5)
    assert next(messages) == message('{"id":1}')
    with pytest.raises(ConfigError, match=r"Line 3 of `.*rejected.jsonl` is not a rejected row:") as failed:
        next(messages)
    assert "secret" not in failed.value.message
