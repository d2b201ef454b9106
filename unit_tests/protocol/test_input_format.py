"""An input without a single Airbyte message is never a successful sync."""

from __future__ import annotations

from typing import Any

import pytest

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.protocol.input_format import InputFormat
from destination_heap_analytics.protocol.messages import parse_line


def check(*lines: bytes) -> None:
    seen = InputFormat()
    for position, line in enumerate(lines, 1):
        seen.see(parse_line(line, position))
    seen.check(len(lines))


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([b'{"email":"a"}', b'{"email":"b"}'], "plain rows, one JSON object per line (NDJSON)"),
        ([b"", b'{"type":"click","email":"a"}'], "plain rows, one JSON object per line (NDJSON)"),
        ([b'{"type":"RECORD","email":"a"}'], "plain rows, one JSON object per line (NDJSON)"),
        ([b"id,email", b"1,a"], "delimited text (CSV)"),
        ([b"\xef\xbb\xbfid;email", b"1;a"], "delimited text (CSV)"),
        ([b"id\temail", b"1\ta"], "delimited text (CSV)"),
        ([b'[{"email":"a"}]'], "a JSON array"),
        ([b"[", b'{"email":"a"}', b"]"], "a JSON document that spans several lines"),
        ([b"{", b'"email": "a"', b"}"], "a JSON document that spans several lines"),
        ([b"hello"], "plain text"),
        ([b"1", b"2"], "plain JSON values"),
        ([b"<html>"], "HTML or XML"),
        ([b"\x1f\x8b\x08", b"\x00"], "gzip-compressed data. Decompress it first"),
        ([b"PK\x03\x04"], "a zip archive or an Excel workbook"),
        ([b"PAR1\x15"], "a Parquet file"),
        ([b"\xff\xfe{\x00"], "UTF-16 text. Re-export it as UTF-8"),
    ],
)
def test_input_that_is_not_messages_is_recognised(lines: list[bytes], kind: str) -> None:
    """With what to do, and without any content of a row."""
    with pytest.raises(ConfigError) as refused:
        check(*lines)
    assert str(refused.value).startswith(f"Standard input has no Airbyte messages: it looks like {kind}")
    assert "email" not in str(refused.value)


def test_blank_lines_are_not_input_either() -> None:
    """The pipe had content, but no message."""
    with pytest.raises(ConfigError, match="only blank lines"):
        check(b"", b"  ")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b'{"type":"STATE","state":{}}'],
        [b"hello", b'{"type":"LOG","log":{"level":"INFO","message":"x"}}', b"id,email"],
        [b'{"type":"RECORD","record":{"stream":"users","data":{}}}'],
        [b'{"type":"RECORD","record":{"stream":"users","data":{"a":'],
        [b'{"type":"FUTURE","future":{}}'],
    ],
)
def test_an_input_with_a_message_or_without_a_line_is_one(lines: list[bytes]) -> None:
    """A source may have no messages, and may print other things between them."""
    check(*lines)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"RECORD","stream":"users","record":{"id":1}}',
        b'{"type":"SCHEMA","stream":"users","schema":{}}',
        b'{"type":"STATE","value":{"bookmark":1}}',
    ],
)
def test_singer_messages_are_recognised(line: Any) -> None:
    """Otherwise each row would be rejected in a sync that succeeds."""
    with pytest.raises(ConfigError, match=r"^Line 1 of the input is a Singer message"):
        check(line)
