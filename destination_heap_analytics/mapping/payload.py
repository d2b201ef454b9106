"""A record that has been mapped: the payload that Heap gets, and what is needed to settle it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from destination_heap_analytics.protocol.checkpoints import Checkpoint


@dataclass(slots=True, eq=False)
class Payload:
    """A row that is ready to go. Not frozen: one is made for every row, and that would take three times as long.

    Attributes:
        number: the row's position in the input, from 1.
        checkpoint: where it counts when it is delivered or rejected.
        source: the line or the record it came from, for the place of rejected rows; None where there is no such place.
        key: its identity or account; rows of one key reach Heap in the order read.
        body: the JSON object that Heap is to be told, without `app_id`; serialised once.
        token: the idempotency key; None where the API needs none.
    """

    number: int
    checkpoint: Checkpoint
    source: bytes | Mapping[str, Any] | None
    key: str
    body: bytes
    token: str | None

    @property
    def kept(self) -> int:
        """Bytes that it takes until it has ended; of a record handed over in process the size is its owner's."""
        return len(self.body) + (len(self.source) if isinstance(self.source, bytes) else 0)
