"""The result of a step: what was loaded into a domain table, or why nothing did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from heap_courier.warehouse.run_log import Rejected, TableRun


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step, or of a manifest that cannot be read.

    Attributes:
        dump_id: None where a manifest cannot be read.
        run: of the domain table, or of none (an empty name) with a manifest; a message says why nothing was loaded.
        unreadable: how many values of which column could not be read: they are null in the table.
        examples: the first of them; row and column, never the value.
        notice: sentences for the user about a loaded step, or None.
        files: whose rows were loaded.
    """

    dump_id: int | None
    run: TableRun
    unreadable: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Rejected, ...] = ()
    notice: str | None = None
    files: tuple[str, ...] = ()
