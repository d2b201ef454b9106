"""Parses an HTTP/1 response from the bytes of a connection. Pure except for `receive`, which is passed in.

It answers two separate questions. What became of the request? The status line and headers say so, and they must be
complete. Can the connection carry another request? Only if the response ended exactly where its headers said, with
nothing after it. The content of a body matters only to the second question.

http.client gets both wrong: it treats an interim response other than 100 as final, and truncated headers as complete.
References: RFC 9110, section 15.2 (interim responses); RFC 9112, section 6.3 (body length).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from types import MappingProxyType
from typing import Final

BODY_BYTES: Final = 4096
"""Bytes of a body that are read. Heap's responses are shorter; after a longer one, the connection is closed."""

HEAD_BYTES: Final = 128 * 1024
"""Bytes of status line and headers, including interim responses."""

_BLOCK_BYTES: Final = 16 * 1024
_CHUNK_LINE_BYTES: Final = 256
_TRAILER_BYTES: Final = 8 * 1024

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n]*)\r?\n")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


class BrokenResponseError(HTTPException):
    """The status line and headers are incomplete or invalid, so the outcome of the request is unknown."""


@dataclass(frozen=True, slots=True)
class Response:
    """A final response.

    Attributes:
        version: 10 or 11.
        fields: header values by name in lower case; repeated headers are joined with a comma.
        body: the beginning of the body, without chunk framing.
        is_complete: whether the response ended exactly where its headers said.
        has_excess: whether bytes came after its end.
        closes: whether the server closes the connection after it.
    """

    version: int
    status: int
    reason: str
    fields: MappingProxyType[str, str]
    body: bytes
    is_complete: bool
    has_excess: bool
    closes: bool

    @property
    def is_reusable(self) -> bool:
        """Whether its connection can carry another request."""
        return self.is_complete and not self.has_excess and not self.closes


def read_response(receive: Callable[[int], bytes]) -> Response:
    """Read the final response with its body, skipping interim ones.

    Args:
        receive: returns up to that many bytes; empty at the end of the connection.

    Raises:
        BrokenResponseError: the bytes are not an HTTP/1 response, or end within its headers.
        OSError: what `receive` raises before the headers are complete.
    """
    source = _Source(receive)
    while True:
        head = _read_head(source)
        if head.status >= HTTPStatus.OK:
            break
        if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            raise BrokenResponseError("switching protocols, which was not requested")
    body = _Body(source)
    try:
        is_complete = body.read(head) and head.is_sound
    except (OSError, BrokenResponseError):
        is_complete = False
    tokens = head.fields.get("connection", "").lower()
    return Response(
        head.version,
        head.status,
        head.reason,
        MappingProxyType(head.fields),
        bytes(body.beginning),
        is_complete,
        has_excess=is_complete and bool(source.buffer),
        closes="close" in tokens or (head.version == 10 and "keep-alive" not in tokens),  # noqa: PLR2004
    )


class _Source:
    """The bytes of a connection, buffered until they are used."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self.buffer = bytearray()
        self.head_bytes = HEAD_BYTES
        self._receive = receive

    def line(self, limit: int) -> bytes:
        """The next line, including its end."""
        start = 0
        while (end := self.buffer.find(b"\n", start)) < 0:
            start = len(self.buffer)
            if start > limit:
                raise BrokenResponseError("a line that is too long")
            self._fill()
        if end >= limit:
            raise BrokenResponseError("a line that is too long")
        return self._take(end + 1)

    def some(self, most: int) -> bytes:
        """The next bytes: at least one, at most `most`."""
        if not self.buffer:
            self._fill()
        return self._take(most)

    def _fill(self) -> None:
        block = self._receive(_BLOCK_BYTES)
        if not block:
            raise BrokenResponseError("the connection ended")
        self.buffer += block

    def _take(self, count: int) -> bytes:
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken


@dataclass(slots=True)
class _Head:
    """Status line and headers; `is_sound` is False if a header is malformed."""

    version: int
    status: int
    reason: str
    fields: dict[str, str]
    is_sound: bool = True


def _read_head(source: _Source) -> _Head:
    match = _STATUS_LINE.fullmatch(_head_line(source))
    if not match:
        raise BrokenResponseError("not an HTTP/1 status line")
    minor, status, reason = match.groups()
    head = _Head(10 + int(minor), int(status), (reason or b"").decode("latin-1"), {})
    while (line := _head_line(source)) not in {b"\r\n", b"\n"}:
        if not (match := _FIELD.fullmatch(line)):
            head.is_sound = False
            continue
        name, value = match[1].decode("ascii").lower(), match[2].strip(b" \t").decode("latin-1")
        head.fields[name] = f"{head.fields[name]}, {value}" if name in head.fields else value
    lengths = head.fields.get("content-length", "")
    if len(set(map(str.strip, lengths.split(",")))) > 1:
        raise BrokenResponseError("two lengths")
    return head


def _head_line(source: _Source) -> bytes:
    line = source.line(source.head_bytes)
    source.head_bytes -= len(line)
    return line


class _Body:
    """The body of a response; `beginning` is the part that has been read."""

    def __init__(self, source: _Source) -> None:
        self.beginning = bytearray()
        self._source = source

    def read(self, head: _Head) -> bool:
        """Read the body, or its beginning. Returns whether it ended where the headers said.

        Raises:
            BrokenResponseError: the body was truncated, or has a line that is too long.
        """
        coding, lengths = head.fields.get("transfer-encoding"), head.fields.get("content-length")
        if head.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            return coding is None and lengths in {None, "0"}
        if coding is not None:
            if coding.lower() == "chunked":
                return self._chunks() and lengths is None and head.version == 11  # noqa: PLR2004
        elif lengths is not None and _LENGTH.fullmatch(lengths.encode("latin-1")):
            return self._exactly(int(lengths))
        while len(self.beginning) < BODY_BYTES:  # the body ends with the connection
            self._some(BODY_BYTES)
        return False

    def _exactly(self, count: int) -> bool:
        while count and len(self.beginning) < BODY_BYTES:
            count -= self._some(count)
        return not count

    def _some(self, most: int) -> int:
        block = self._source.some(min(most, BODY_BYTES - len(self.beginning)))
        self.beginning += block
        return len(block)

    def _chunks(self) -> bool:
        while True:
            match = _CHUNK_LINE.fullmatch(self._source.line(_CHUNK_LINE_BYTES))
            if not match:
                return False
            count = int(match[1], 16)
            if not count:
                return self._trailers()
            if not self._exactly(count) or self._source.line(2) != b"\r\n":
                return False

    def _trailers(self) -> bool:
        left = _TRAILER_BYTES
        while (line := self._source.line(left)) != b"\r\n":
            if not _FIELD.fullmatch(line):
                return False
            left -= len(line)
        return True
