"""Splits JSON objects, one per line or in one list, into rows of unchanged text, so that no number loses a digit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.rows.text import LONGEST_LINE

_SURELY_WRONG: Final = 16
"""An error this far from the end of the data read so far is not caused by missing data: no token is longer."""

_DECODER: Final = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)
"""Reads numbers of any length without converting them."""


class JsonLines:
    """The rows of a text with one JSON object per line."""

    kind: Final = "NDJSON"

    def __init__(self, lines: Iterator[str], name: str) -> None:
        self._lines = lines
        self._name = name

    def rows(self) -> Iterator[bytes]:
        """Each row, as a JSON object; blank lines are skipped.

        Raises:
            ConfigError: a line is not a JSON object; the message has its number.
        """
        for number, line in enumerate(self._lines, 1):
            text = line.strip()
            if text:
                value = self._value(text, number)
                if not isinstance(value, dict):
                    raise ConfigError(
                        f"{self._name}, line {number:,}: the line is {_kind(value)}, not a JSON object of columns and "
                        "values."
                    )
                if value.get("type") in ("RECORD", "STATE") and isinstance(
                    value.get("record", value.get("state")), dict
                ):
                    raise ConfigError(
                        f"{self._name} contains Airbyte messages, not rows. Pipe it into the command with `--catalog` "
                        "instead of `--rows`."
                    )
                yield text.encode()

    def _value(self, text: str, number: int) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
        try:
            return _DECODER.decode(text)  # NaN and half surrogate pairs, for which the mapping rejects the row
        except RecursionError:
            raise ConfigError(f"{self._name}, line {number:,}: the line is nested too deeply to be read.") from None
        except json.JSONDecodeError as wrong:
            if number == 1 and text in {"{", "["}:
                raise ConfigError(
                    f"{self._name} is a JSON document of several lines, not one object per line. Convert it, as in "
                    "`jq -c '.[]' FILE | ... --rows -`."
                ) from None
            raise ConfigError(
                f"{self._name}, line {number:,}: the line is not valid JSON: {_place(wrong)} at character "
                f"{wrong.colno:,}."
            ) from None


class JsonList:
    """The rows of a text that is one JSON list of objects, read incrementally."""

    kind: Final = "JSON"

    def __init__(self, texts: Iterable[str], name: str) -> None:
        self._texts = iter(texts)
        self._name = name
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._has_ended = False

    def rows(self) -> Iterator[bytes]:
        """Each row, as a JSON object.

        Raises:
            ConfigError: the text is not a list of JSON objects; the message has the line number.
        """
        self._expect("[")
        if self._next() == "]":
            self._at += 1
        else:
            while True:
                self._next()
                yield self._object()
                if self._next() == "]":
                    self._at += 1
                    break
                self._expect(",")
        if self._next():
            raise self._wrong("text follows the end of the list")

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise self._wrong(f"`{character}` is missing" if self._next() else "the list ends in the middle")
        self._at += 1

    def _next(self) -> str:
        """The next character that is not white space, without consuming it; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                character = self._buffer[self._at]
                if character not in " \t\r\n":
                    return character
                self._line += character == "\n"
                self._at += 1
            if not self._read_on():
                return ""

    def _object(self) -> bytes:
        wanted = 1
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except RecursionError:
                raise self._wrong("an object is nested too deeply to be read") from None
            except json.JSONDecodeError as wrong:
                can_go_on = wrong.msg.startswith("Unterminated") or wrong.pos > len(self._buffer) - _SURELY_WRONG
                if not can_go_on or not self._read_on(wanted):
                    self._line += self._buffer.count("\n", self._at, wrong.pos)
                    reason = (
                        f"the object is not valid JSON: {_place(wrong)}"
                        if not self._has_ended
                        else ("the list ends in the middle of an object, or the object is not valid JSON")
                    )
                    raise self._wrong(reason) from None
                wanted *= 2
                continue
            if not isinstance(value, dict):
                if end == len(self._buffer) and self._read_on():  # a number may be incomplete
                    continue
                raise self._wrong(f"an item of the list is {_kind(value)}, not an object")
            text = self._buffer[self._at : end]
            self._line += text.count("\n")
            self._at = end
            return text.replace("\n", " ").replace("\r", " ").encode()

    def _read_on(self, blocks: int = 1) -> bool:
        """Read more text. Returns whether there was any."""
        parts = []
        for text in self._texts:
            parts.append(text)
            if len(parts) >= blocks:
                break
        self._has_ended = not parts
        self._buffer = self._buffer[self._at :] + "".join(parts)
        self._at = 0
        if len(self._buffer) > LONGEST_LINE * 2:
            raise self._wrong("an object is longer than 64 million characters, or not valid JSON")
        return bool(parts)

    def _wrong(self, reason: str) -> ConfigError:
        return ConfigError(f"{self._name}, line {self._line:,}: {reason}. A JSON file must be one list of objects.")


def _place(wrong: json.JSONDecodeError) -> str:
    return wrong.msg.removesuffix(" at").lower()  # a fixed phrase of the parser, never the content


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "null" if value is None else "true or false" if isinstance(value, bool) else "a number"
