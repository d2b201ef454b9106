"""Mapped rows: the payloads for Heap, and what is needed to settle them.

From the mapping on, rows are kept in columns; an object for a single row is created only if it is handled by itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, cast, overload

import orjson

from destination_heap_analytics.protocol.checkpoints import Checkpoint

Source = bytes | Mapping[str, Any] | None
"""The line or the record of a row; None if it is not kept."""


def serialised(elements: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Serialise payloads, in as little memory as possible.

    The bytes are copied, because orjson writes to a buffer of 4 kB, which it does not shrink. A copy takes less time
    than fresh memory pages for such buffers.

    Raises:
        orjson.JSONEncodeError: a text cannot be written as UTF-8.
    """
    return [bytes(memoryview(text)) for text in map(orjson.dumps, elements)]


@dataclass(slots=True, eq=False)
class Payload:
    """A row that is ready to be sent. Not frozen, because that would take three times as long to create.

    Attributes:
        number: the position of the row in the input, from 1.
        checkpoint: the checkpoint with which it is settled.
        source: the line or the record, to store it if it is rejected; None if rejected rows are not stored.
        key: its identity or account; rows with the same key reach Heap in the order read.
        body: the serialised JSON object for Heap, without `app_id`.
        token: the idempotency key; None if the API needs none.
        user_body: the body that sets the properties of the event's user; empty if none are set.
    """

    number: int
    checkpoint: Checkpoint
    source: Source
    key: str
    body: bytes
    token: str | None
    user_body: bytes = b""

    @property
    def kept(self) -> int:
        """The bytes that it occupies until it is settled, without a record passed in process, owned by the caller."""
        return len(self.body) + len(self.user_body) + (len(self.source) if isinstance(self.source, bytes) else 0)


class Parts(Sequence[bytes]):
    """Consecutive parts of a longer text, one byte apart, without memory of their own."""

    __slots__ = ("_ends", "_whole")

    def __init__(self, whole: bytes, start: int, lengths: Iterable[int]) -> None:
        self._whole = whole
        self._ends = array("Q", accumulate([length + 1 for length in lengths], initial=start - 1))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, at: int) -> bytes: ...

    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...

    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[position] for position in range(*at.indices(len(self)))]
        position = range(len(self))[at]
        return self._whole[self._ends[position] + 1 : self._ends[position + 1]]


@dataclass(slots=True, eq=False)
class Payloads(Sequence[Payload]):
    """Rows that are ready to be sent, in the order read: a list for each attribute of `Payload`.

    While they are being sent, `bodies` are `Parts`, and nothing can be added.
    """

    numbers: list[int] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    bodies: list[bytes] | Parts = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[Payload]) -> Payloads:
        """Convert rows to columns; columns are returned unchanged."""
        if isinstance(rows, cls):
            return rows
        columns = cls()
        for row in rows:
            columns.append(row)
        return columns

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Payload]:
        return map(Payload, self.numbers, self.checkpoints, self.sources, self.keys, self.bodies, self.tokens)

    @overload
    def __getitem__(self, at: int) -> Payload: ...

    @overload
    def __getitem__(self, at: slice) -> Payloads: ...

    def __getitem__(self, at: int | slice) -> Payload | Payloads:
        columns = (self.numbers, self.checkpoints, self.sources, self.keys, self.bodies, self.tokens)
        part: Any = [column[at] for column in columns]
        return Payloads(*part) if isinstance(at, slice) else Payload(*part)

    def append(self, row: Payload) -> None:
        """Add a row at the end."""
        self.numbers.append(row.number)
        self.checkpoints.append(row.checkpoint)
        self.sources.append(row.source)
        self.keys.append(row.key)
        cast("list[bytes]", self.bodies).append(row.body)
        self.tokens.append(row.token)

    def extend(self, rows: Payloads) -> None:
        """Add rows at the end."""
        self.numbers += rows.numbers
        self.checkpoints += rows.checkpoints
        self.sources += rows.sources
        self.keys += rows.keys
        cast("list[bytes]", self.bodies).extend(rows.bodies)
        self.tokens += rows.tokens

    def point_into(self, request: bytes, start: int) -> None:
        """Replace the bodies by references into a request, which contains them from `start` on, separated by commas."""
        self.bodies = Parts(request, start, map(len, self.bodies))

    def up_to(self, number: int) -> Payloads:
        """The rows up to this number."""
        return (
            self
            if not self.numbers or max(self.numbers) <= number
            else Payloads.of(row for row in self if row.number <= number)
        )

    @property
    def kept(self) -> int:
        """The bytes that they occupy until they are settled."""
        return sum(map(len, self.bodies)) + sum([len(source) for source in self.sources if isinstance(source, bytes)])
