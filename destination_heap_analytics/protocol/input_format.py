"""Recognises an input without Airbyte messages by its first line, and says what to do.

Otherwise a sync of such an input would succeed without loading a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from destination_heap_analytics.errors import ConfigError, Reason
from destination_heap_analytics.protocol.messages import Blank, Message, Noise, Unreadable
from destination_heap_analytics.protocol.singer import RECORD

_WRAP: Final = f"Pipe the output of a source's `read` instead, or make each row a message: `{RECORD}`."
_MAGIC: Final = (
    (b"\x1f\x8b", "gzip-compressed data", "Decompress it first, as in `gunzip -c FILE`."),
    (b"(\xb5/\xfd", "zstd-compressed data", "Decompress it first, as in `zstd -dc FILE`."),
    (b"\xff\xfe", "UTF-16 text", "Re-export it as UTF-8."),
    (b"\xfe\xff", "UTF-16 text", "Re-export it as UTF-8."),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", _WRAP),
    (b"PAR1", "a Parquet file", _WRAP),
    (b"Obj\x01", "an Avro file", _WRAP),
    (b"<", "HTML or XML", _WRAP),
)
_DELIMITED: Final = re.compile(rb"[^,;\t|]+[,;\t|]")


@dataclass(slots=True)
class InputFormat:
    """Whether an input contains any Airbyte messages.

    Attributes:
        is_known: whether at least one line was a message.
    """

    is_known: bool = False
    _first: bytes | None = None

    def see(self, message: Message) -> None:
        """Take note of a parsed line."""
        if isinstance(message, Noise):
            self._first = self._first or message.beginning
        elif isinstance(message, Unreadable) and message.reason is Reason.NO_DATA:
            self._first = self._first or message.line
        elif not isinstance(message, Blank):
            self.is_known = True

    def check(self, lines: int) -> None:
        """Check at the end of an input with that many lines.

        Raises:
            ConfigError: no line was a message.
        """
        if self.is_known or not lines:
            return
        if self._first is None:
            raise ConfigError(f"Standard input has only blank lines, no Airbyte messages. {_WRAP}")
        kind, remedy = _kind(self._first)
        raise ConfigError(f"Standard input has no Airbyte messages: it looks like {kind}. {remedy}")


def _kind(first: bytes) -> tuple[str, str]:
    for magic, kind, remedy in _MAGIC:
        if first.startswith(magic):
            return kind, remedy
    try:
        value: Any = orjson.loads(first)
    except orjson.JSONDecodeError:
        text = first.lstrip(b"\xef\xbb\xbf \t")
        if text.startswith((b"{", b"[")):
            return "a JSON document that spans several lines, or is damaged", _WRAP
        if _DELIMITED.match(text):
            return "delimited text (CSV)", _WRAP
        return "plain text", _WRAP
    if isinstance(value, dict):
        return "plain rows, one JSON object per line (NDJSON)", _WRAP
    return ("a JSON array" if isinstance(value, list) else "plain JSON values"), _WRAP
