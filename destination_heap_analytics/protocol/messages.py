"""Parses Airbyte messages, and writes states.

The CDK's own parser is not sufficient: it drops records with NaN, fails on unknown messages, and loses unknown keys of
a STATE, although the platform needs every key back, above all `id`
(https://github.com/airbytehq/airbyte/issues/69138). So a line is parsed into plain dictionaries, and a STATE is
returned as the text that arrived, with only `destinationStats` inserted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import orjson
from airbyte_protocol_dataclasses.models import AirbyteMessage, AirbyteStateStats, Type

from destination_heap_analytics.errors import ConfigError, DefectError, Reason
from destination_heap_analytics.protocol.numbers import exact_integer, has_too_many_digits, written_float
from destination_heap_analytics.protocol.singer import SINGER, TYPES, is_singer


@dataclass(slots=True)
class Record:
    """One row of the source.

    Attributes:
        data: the record.
        is_exact: whether `data` is the exact reading (values.py).
        line: the line that it was parsed from; None for a message passed in process.
    """

    stream: str
    namespace: str | None
    data: Mapping[str, Any]
    is_exact: bool
    line: bytes | None

    @property
    def size(self) -> int:
        """The size of the line in bytes; 0 for a message passed in process, whose memory belongs to the caller."""
        return len(self.line or b"")

    @property
    def source(self) -> bytes | Mapping[str, Any]:
        """The line, or the data of a message passed in process."""
        return self.line or self.data

    def exactly(self) -> Mapping[str, Any]:
        """The exact reading: all digits are kept, and floats remember how they were written."""
        if self.is_exact or self.line is None:
            return self.data
        data: Mapping[str, Any] = _read_exactly(self.line)["record"]["data"]
        return data


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read; it counts as rejected.

    Attributes:
        line: the line that arrived.
    """

    reason: Reason
    line: bytes


@dataclass(frozen=True, slots=True)
class Noise:
    """A line that is not a message.

    Attributes:
        beginning: the beginning of the line.
    """

    beginning: bytes


@dataclass(frozen=True, slots=True)
class Blank:
    """A blank line."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that a destination ignores, such as a LOG, or of a type that a later protocol added."""


@dataclass(slots=True)
class State:
    """A state of the source. Its content is opaque, and is returned unchanged.

    Attributes:
        stream: name and namespace of its stream; None if it covers all streams (GLOBAL and LEGACY).
        message: the message to return, still without counts.
    """

    stream: tuple[str, str | None] | None
    message: AirbyteMessage

    @property
    def size(self) -> int:
        """The length of its text; 0 for a state passed in process."""
        return len(self.message.line) if isinstance(self.message, EchoedState) else 0

    def acknowledged(self, delivered: int, rejected: int) -> AirbyteMessage:
        """The message to return, with the counts of the rows since the previous state."""
        if isinstance(self.message, EchoedState):
            stats = {"recordCount": float(delivered), "rejectedRecordCount": float(rejected)}
            return replace(self.message, line=_with_stats(self.message.line, json.dumps(stats)))
        counts = StateStats(recordCount=float(delivered), rejectedRecordCount=float(rejected))
        return replace(self.message, state=replace(self.message.state, destinationStats=counts))


Message = Record | State | Unreadable | Noise | Blank | Ignored


@dataclass
class EchoedState(AirbyteMessage):  # type: ignore[misc]  # its package ships no types
    """A STATE that is returned as the text that arrived.

    Attributes:
        line: the text. Bytes that are not UTF-8 are surrogates in it, and are returned unchanged.
    """

    line: str = field(default="", repr=False)


@dataclass
class StateStats(AirbyteStateStats):  # type: ignore[misc]  # its package ships no types
    """The counts of a state, including the field that protocol 0.18 added."""

    rejectedRecordCount: float | None = None  # noqa: N815  # the protocol's spelling


_TYPES: Final = frozenset(kind.value for kind in Type)
_BEGINNING_BYTES: Final = 4096


def parse_line(line: bytes, position: int) -> Message:
    """Parse one line of standard input.

    Args:
        line: the line, with or without its line end.
        position: its number in the input, from 1, for messages to the user.

    Raises:
        DefectError: the line begins like a STATE but cannot be parsed, so it is unknown which rows the state covers.
        ConfigError: the line is a Singer message.
    """
    is_exact = False
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        if not line.strip():
            return Blank()
        try:
            message = _read_exactly(line)
            is_exact = True
        except (ValueError, RecursionError):
            return _unreadable(line, position)
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str):
        return Noise(line[:_BEGINNING_BYTES])
    if kind in TYPES and is_singer(message):
        raise ConfigError(f"Line {position} of the input {SINGER}")
    if kind == "RECORD":
        return _record(message.get("record"), line, is_exact=is_exact)
    if kind == "STATE":
        if not isinstance(message.get("state"), dict):
            raise DefectError(f"Line {position} of the input is a STATE message without a state.")
        return State(_state_stream(message["state"]), EchoedState(type=Type.STATE, line=line_text(line)))
    return Ignored() if _is_message(kind, message) else Noise(line[:_BEGINNING_BYTES])


def _is_message(kind: str, message: Mapping[str, Any]) -> bool:
    """Whether this is a message of this or a later protocol: a plain row may have a column called `type` too.

    A message of type CONNECTION_STATUS contains an object `connectionStatus`, or in some models `connection_status`.
    """
    if kind in _TYPES:
        return True
    words = kind.lower().split("_")
    names = ("_".join(words), words[0] + "".join(map(str.title, words[1:])))
    return kind.isupper() and any(isinstance(message.get(name), dict) for name in names)


def parse_message(message: AirbyteMessage, dump: Callable[[AirbyteMessage], Mapping[str, Any]]) -> Message:
    """Convert a message that was passed in process.

    Args:
        message: an object of the protocol's models, or of the CDK's, which redeclares some of them.
        dump: converts such an object to a JSON document.
    """
    if message.type is Type.RECORD and message.record is not None:
        record = message.record
        return Record(record.stream, record.namespace, _as_read(record.data), is_exact=True, line=None)
    if message.type is Type.STATE and message.state is not None:
        return State(_state_stream(dump(message)["state"]), message)
    return Ignored()


def _as_read(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record as it would be parsed from a line: keys are text, and so are integers with too many digits."""
    try:
        return data if _is_plain(data) else _plain(data)
    except RecursionError:
        return data  # nested too deeply, or contains itself: the mapping will reject it


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return False
        value = value.values()
    for member in value:
        if isinstance(member, int):
            if has_too_many_digits(member):
                return False
        elif isinstance(member, Mapping | list) and not _is_plain(member):
            return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, int) and has_too_many_digits(value):
        return str(Decimal(value))  # unlike str(value), without a limit
    return value


def _record(record: Any, line: bytes, *, is_exact: bool) -> Record | Unreadable:
    if isinstance(record, dict):
        data, stream, namespace = record.get("data"), record.get("stream"), record.get("namespace")
        if isinstance(data, dict) and isinstance(stream, str):
            if namespace is None or isinstance(namespace, str):
                return Record(stream, namespace, data, is_exact, line)
            return Unreadable(Reason.NAMESPACE, line)
    return Unreadable(Reason.NO_DATA, line)


def _state_stream(state: Mapping[str, Any]) -> tuple[str, str | None] | None:
    stream = state.get("stream")
    descriptor = stream.get("stream_descriptor") if isinstance(stream, Mapping) else None
    if state.get("type") != "STREAM" or not isinstance(descriptor, Mapping):
        return None
    return str(descriptor.get("name")), descriptor.get("namespace")


_BEGINNING: Final = re.compile(rb'[^"]{0,20}"(record|state)"\s*:|.{0,300}?"type"\s*:\s*"(RECORD|STATE)"', re.DOTALL)


def _unreadable(line: bytes, position: int) -> Unreadable | Noise:
    beginning = _BEGINNING.match(line)
    kind = (beginning[1] or beginning[2]).upper() if beginning else b""
    if kind == b"STATE":
        raise DefectError(
            f"Line {position} of the input begins like a STATE message but is not valid JSON ({len(line)} bytes). "
            "The sync stops here, because it cannot tell which rows the state covers."
        )
    return Unreadable(Reason.UNREADABLE, line) if kind == b"RECORD" else Noise(line[:_BEGINNING_BYTES])


def _read_exactly(line: bytes) -> Any:
    """Parse a line with Python's own parser, which keeps all digits, NaN, infinities, surrogates and invalid UTF-8."""
    return json.loads(line_text(line), parse_float=written_float, parse_int=exact_integer)


def line_text(line: bytes) -> str:
    """A line as text; bytes that are not UTF-8 become surrogates."""
    return line.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()


_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\],:]|[^\s"{}\[\],:]+', re.DOTALL)


def _with_stats(line: str, stats: str) -> str:
    """The line of a STATE message with `destinationStats` inserted; every other character is unchanged."""
    state_at = next(start for key, start, _ in json_members(line, 0) if key == "state")
    members = list(json_members(line, state_at))
    for key, start, end in members:
        if key == "destinationStats":
            return line[:start] + stats + line[end:]
    separator = "," if members else ""
    return f'{line[:state_at]}{{"destinationStats":{stats}{separator}{line[state_at + 1 :]}'


def json_members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """(key, start and end of its value) for each member of the object that begins at `at`; `text` is valid JSON.

    It scans tokens instead of parsing values, so any depth and any number are accepted.
    """
    depth, start, end = 0, -1, -1
    key: str | None = None
    for token in _TOKEN.finditer(text, at):
        part = token[0]
        if depth == 1 and part in ",}":
            if key is not None:
                yield key, start, end
            key, start = None, -1
            if part == "}":
                return
        elif depth == 1 and key is None:
            key = json.loads(part)
        elif depth == 1 and start < 0 and part != ":":
            start = token.start()
        depth += (part in "{[") - (part in "}]")
        end = token.end()
