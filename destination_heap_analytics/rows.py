"""A row on its way through the run."""

from __future__ import annotations

from typing import NamedTuple

from destination_heap_analytics.checkpoints import Leg
from destination_heap_analytics.protocol import Record


class Row(NamedTuple):
    """A row of the source.

    Attributes:
        number: its position among all rows of the input, from 1.
        leg: where it counts when it is delivered or rejected.
    """

    number: int
    record: Record
    leg: Leg
