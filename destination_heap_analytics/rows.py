"""A row on its way through the run."""

from __future__ import annotations

from dataclasses import dataclass

from destination_heap_analytics.checkpoints import Leg
from destination_heap_analytics.protocol import Record


@dataclass(slots=True)
class Row:
    """A row of the source. Not frozen: one is made for every row, and that would take three times as long.

    Attributes:
        number: its position among all rows of the input, from 1.
        leg: where it counts when it is delivered or rejected.
    """

    number: int
    record: Record
    leg: Leg
