"""The result of a step: what was loaded into a domain table, or why nothing was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from heap_courier.warehouse.run_log import Rejected, TableRun


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step, or of a manifest that cannot be read.

    Attributes:
        dump_id: None if a manifest cannot be read.
        run: the result of the domain table, or of a manifest by its key; a message says why nothing was loaded.
        unreadable: by column, the number of values that could not be read and were loaded as null.
        examples: the first of these: row and column, never the value.
        notice: sentences for the user about a loaded step, or None.
        files: the keys of the files that were loaded.
    """

    dump_id: int | None
    run: TableRun
    unreadable: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Rejected, ...] = ()
    notice: str | None = None
    files: tuple[str, ...] = ()
