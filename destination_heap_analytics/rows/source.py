"""Reads a file of rows, or standard input, as a stream of RECORD messages, handled like any others from there on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import orjson

from destination_heap_analytics.config.column_list import ColumnList
from destination_heap_analytics.config.grammar import GrammarError, parse_column_list
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.mapping.columns.column import Column, column_names
from destination_heap_analytics.names import as_setting, did_you_mean
from destination_heap_analytics.process.volume import Volume, size_of
from destination_heap_analytics.protocol.catalog import Path as ColumnPath
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.messages import Record, parse_line
from destination_heap_analytics.rows.binary import BLOCK, STANDARD_INPUT, named, read_blocks
from destination_heap_analytics.rows.delimited import Delimited
from destination_heap_analytics.rows.json_rows import JsonLines, JsonList
from destination_heap_analytics.rows.text import decoded, lines_of

_LINE_BYTES: Final = 48
"""The memory of a line in addition to its characters."""

_SHOWN: Final = 20

_Reader = Delimited | JsonLines | JsonList


@dataclass(frozen=True, slots=True)
class Rows:
    """The content of a file.

    Attributes:
        stream: as a catalog would describe it.
        blocks: the rows as lines of messages, in blocks, each with its size in bytes. Iterating raises ConfigError if
            the file is damaged.
        hint: returns a hint about columns that are sent as text; None if there are none.
        volume: estimates the number of rows.
    """

    stream: Stream
    blocks: Generator[tuple[list[bytes], int], None, None]
    hint: Callable[[ColumnList], str | None]
    volume: Volume


def open_rows(path: str, *, stream: str | None = None, primary_key: str | None = None) -> Rows:
    """Open a file of rows and read its first row.

    Args:
        path: the path of the file; `-` for standard input.
        stream: the name of the stream; None for the file's name.
        primary_key: the columns that together identify a row, separated by commas; None if there are none.

    Raises:
        ConfigError: the file cannot be read, has no rows, or its first row lacks a column of the primary key.
    """
    volume = Volume(size_of(path, STANDARD_INPUT))
    reader = _reader(path, volume)
    rows = reader.rows()
    first = next(rows, None)
    if first is None:
        raise ConfigError(f"{named(path)} has no rows.")
    name = stream or _stream_name(path)
    prefix = b'{"type":"RECORD","record":{"stream":%b,"emitted_at":0,"data":' % orjson.dumps(name)
    keys = _primary_key(primary_key, prefix + first + b"}}", path) if primary_key else ()
    return Rows(
        Stream(name, None, "full_refresh", "append_dedup" if keys else "append", keys, {}),
        volume.of_rows(_in_blocks(chain([first], rows), prefix)),
        reader.hint if isinstance(reader, Delimited) else lambda _: None,
        volume,
    )


def _stream_name(path: str) -> str:
    """The file's name without the extensions of its format."""
    name = Path(path).name.removesuffix(".gz")
    return (Path(name).stem or name) if path != STANDARD_INPUT else "rows"


def _reader(path: str, volume: Volume) -> _Reader:
    """The reader for the file's format, which is determined by the file's name and its first character."""
    name = named(path)
    texts = decoded(volume.of_bytes(read_blocks(path)), name)
    first = next((text for text in texts if text.strip()), "")
    whole = chain([first], texts)
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    beginning = first.lstrip()[:1]
    if suffix in {".csv", ".tsv", ".tab"} or beginning not in {"{", "["}:
        return Delimited(lines_of(whole, name), name, None if suffix not in {".tsv", ".tab"} else "\t")
    if beginning == "[" and suffix not in {".ndjson", ".jsonl"}:
        return JsonList(whole, name)
    return JsonLines(lines_of(whole, name), name)


def _primary_key(text: str, line: bytes, path: str) -> tuple[ColumnPath, ...]:
    try:
        listed = parse_column_list(text)
    except GrammarError as wrong:
        raise ConfigError(f"`--primary-key` {wrong}.") from None
    if listed.selects_all or any(item.source != item.name or item.cast for item in listed.items):
        raise ConfigError("`--primary-key` must be a list of column names, separated by commas.")
    message = parse_line(line, 1)
    data = message.data if isinstance(message, Record) else {}
    keys = []
    for item in listed.items:
        column = Column(item.name).found_in(data)
        if column.path is None:
            names = list(column_names(data.items()))
            shown = ", ".join(f"`{as_setting(name)}`" for name in list(data)[:_SHOWN])
            raise ConfigError(
                f"`--primary-key` lists the column `{item.name}`, which the first row of {named(path)} does not have"
                f"{did_you_mean(item.name, names)}. Its columns: {shown}."
            )
        keys.append(column.path)
    return tuple(keys)


def _in_blocks(rows: Iterator[bytes], prefix: bytes) -> Generator[tuple[list[bytes], int], None, None]:
    lines: list[bytes] = []
    size = 0
    damage = None
    while True:
        try:
            row = next(rows, None)
        except ConfigError as wrong:  # raised after the rows before it
            row, damage = None, wrong
        if row is not None:
            lines.append(prefix + row + b"}}")
            size += len(lines[-1]) + _LINE_BYTES
        if lines and (row is None or size >= BLOCK):
            yield lines, size
            lines, size = [], 0
        if row is None:
            break
    if damage:
        raise damage
