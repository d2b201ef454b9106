"""Notices about a run of a courier: it started, loaded a table, finished, or could not start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from heap_courier.data_types.field_types import in_utc
from heap_courier.documents.wording import duration
from heap_courier.errors import CourierError
from heap_courier.notices.notice import Kind, Notice
from heap_courier.warehouse.run_log import COMPLETED, FAILED, Run, TableRun

_FILES: Final = 20  # the most files that a notice lists


def began(run: Run) -> Notice:
    """A run that has started."""
    return Notice("running", "run-started", f"Courier `{run.courier}`, {run.what}: started.", run.courier, run=run.id)


def loaded(run: Run, table: TableRun) -> Notice:
    """The result of a table: loaded or not."""
    details: dict[str, str | int | float] = {
        "table": table.domain_table,
        "files": table.files,
        "rows": table.rows,
        "rejected": table.rejected,
        "changed": table.merged,
    }
    if table.stored is not None:
        details["stored"] = table.stored
    if table.message:
        text = f"{table.domain_table} was not loaded: {table.message}"
        return Notice("trouble", "table-failed", text, run.courier, run=run.id, details=details)
    text = f"{table.domain_table} was loaded: {table.rows:,} rows read, {table.rejected:,} rejected."
    return Notice("note", "table-loaded", text, run.courier, run=run.id, details=details)


def ended(
    run: Run,
    now: datetime,
    outcome: str,
    message: str | None,
    *,
    tables: Sequence[TableRun],
    notices: Iterable[str] = (),
    files: Iterable[str] = (),
    is_incomplete: bool = False,
) -> Notice:
    """The end of a run.

    Args:
        run: the run.
        now: the current time.
        outcome: as in the run log.
        message: why it did not complete, if so.
        tables: the results of its tables.
        notices: sentences for the user.
        files: files with rejected rows.
        is_incomplete: whether files were missing.
    """
    seconds = (in_utc(now) - run.started).total_seconds()
    rejected = sum(table.rejected for table in tables)
    kind: Kind = "trouble"  # the person who stopped it knows
    if outcome == FAILED:
        kind = "error"
    elif outcome == COMPLETED:
        kind = "warning" if rejected or is_incomplete else "completed"
    took = "in" if outcome == COMPLETED else "after"
    lines = [f"Courier `{run.courier}`, {run.what}: {outcome} {took} {duration(seconds)}."]
    if message:
        lines.append(message)
    lines += [f"{table.domain_table} not loaded: {table.message}" for table in tables if table.message]
    return Notice(
        kind,
        f"run-{outcome}",
        "\n".join([*lines, *notices]),
        run.courier,
        run=run.id,
        details={
            "outcome": outcome,
            "seconds": round(seconds, 3),
            "files": sum(table.files for table in tables),
            "rows": sum(table.rows for table in tables),
            "rejected": rejected,
        },
        files=tuple(dict.fromkeys(files))[:_FILES],
    )


def refused(courier: str, error: CourierError, run: Run | None) -> Notice:
    """A run that could not start, or whose files are missing; `run` if the run log has it."""
    return Notice("error", "run-refused", f"Courier `{courier}`: {error}", courier, run=run.id if run else "")
