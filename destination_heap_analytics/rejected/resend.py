"""Turns stored rejected rows, edited or not, back into messages for the connector."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.protocol.messages import json_members, line_text
from destination_heap_analytics.rejected.store import ADDED_KEYS, UNREADABLE_LINE, UNREADABLE_REASONS, part_name

_UNREADABLE: Final = tuple(reason.name.lower() for reason in UNREADABLE_REASONS)


def resend(files: Sequence[Path], stream: str | None, now_ms: int) -> Iterator[bytes]:
    """A RECORD message for each row in the files, as a line without its line end; blank lines are skipped.

    Rows are as the source wrote them, with any edits. A line that was stored whole is resent unchanged.

    Args:
        files: files of rejected rows; the folder of each is named after the stream.
        stream: the stream's name, if the files were moved or the name was too long for a folder.
        now_ms: milliseconds since the epoch, for `emitted_at`.

    Raises:
        ConfigError: a file or a line cannot be read, or the stream is unknown. The messages so far are valid.
    """
    for file in files:
        name = _stream_of(file) if stream is None else stream
        for number, line in _lines(file):
            message = _message(line, name, now_ms)
            if message is None:
                raise ConfigError(
                    f"Line {number} of `{file}` is not a rejected row: it is not a valid JSON object. "
                    "Fix or remove the line."
                )
            yield message


def _stream_of(file: Path) -> str:
    folder = file.absolute().parent.name
    name = part_name(folder) if folder else None
    if name is None:
        raise ConfigError(
            f"The stream of `{file}` is unknown, because its folder is not named after it. Set it, as in "
            "`--stream users`."
        )
    return name


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line
    except OSError as failure:
        raise ConfigError(
            f"`{file}` cannot be read ({failure.strerror}). Pass files in which rejected rows were stored."
        ) from None


def _message(line: bytes, stream: str, now_ms: int) -> bytes | None:
    """The message for one line; None if the line cannot be read."""
    text = line_text(line)
    try:
        row = _read(text)
        if not isinstance(row, dict):
            return None
        if row.get(ADDED_KEYS[0]) in _UNREADABLE and isinstance(whole := row.get(UNREADABLE_LINE), str):
            return whole.encode("utf-8", "surrogateescape")
    except (ValueError, RecursionError):
        return None
    beginning = f'{{"type": "RECORD", "record": {{"stream": {json.dumps(stream)}, "data": '
    return f'{beginning}{_without_added(text)}, "emitted_at": {now_ms}}}}}'.encode("utf-8", "surrogateescape")


def _read(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:  # a row may contain something that orjson refuses, such as NaN
        return json.loads(text, parse_int=str)


def _without_added(text: str) -> str:
    """The object without the last member of each added key; every other character is unchanged."""
    members: list[str] = []
    added: dict[str, int] = {}
    end = 1
    for position, (key, _, member_end) in enumerate(json_members(text, 0)):
        members.append(text[end:member_end])
        end = member_end
        if key in ADDED_KEYS:
            added[key] = position
    kept = "".join(member for position, member in enumerate(members) if position not in added.values())
    if 0 in added.values():
        kept = kept.lstrip().removeprefix(",")
    return f"{{{kept}{text[end:]}"
