"""Writes a run's tables, ids, views and changes into the warehouse, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa

from heap_courier.data_types.field_types import DATETIME, in_utc
from heap_courier.errors import LaterError
from heap_courier.stitch.scratch import Scratch
from heap_courier.stitch.tables.definitions import CHANGE_COLUMNS, CHANGES, IDS, KEYS, RECORDS, Columns, Output
from heap_courier.stitch.tables.views import Views
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.system_tables import make_tables
from heap_courier.warehouse.views import DroppedViews

LABELS: Final = "stitch_labels"
_RUNS: Final = "stitch_runs"
_DIGESTS: Final = "stitch_tables"
_STAGED: Final = "heap_courier_stitched"
_SYSTEM_TABLES: Final = {
    RECORDS: "record text, customer_id text, present boolean",
    IDS: "customer_id text",
    KEYS: "tag text, value text, customer_id text",
    LABELS: "row_id text, label_id text, partition_id text, datasource text, semantic text, value text",
    _RUNS: "run bigint, finished timestamp",
    _DIGESTS: "name text, digest text",
}


@dataclass(frozen=True, slots=True)
class State:
    """The state of Stitch when a run began.

    Attributes:
        run: the number of the last run that changed a customer.
        digests: the names of tables with digests of their rows; these also change if a run changes no customer.
    """

    run: int
    digests: frozenset[tuple[str, str]]


def make_state(warehouse: Warehouse) -> None:
    """Creates the tables of Stitch's state. Must be called outside a transaction."""
    make_tables(warehouse, _SYSTEM_TABLES)


def read_state(warehouse: Warehouse, scratch: Scratch) -> State:
    """Reads the state of the last run into the scratch tables `remembered` and `given_id`.

    Must be called before records are read, so that `land` notices a run that has finished since then.
    """
    state = _state(warehouse)
    for name, table, columns in (
        ("remembered", RECORDS, ("record", "customer_id", "present")),
        ("given_id", IDS, ("customer_id",)),
    ):
        schema = pa.schema([(each, pa.bool_() if each == "present" else pa.string()) for each in columns])
        batches = warehouse.batches(f"SELECT {', '.join(columns)} FROM heap_courier.{table}")
        with scratch.transaction():
            scratch.stage(name, schema, (batch.cast(schema) for batch in batches))
    return state


def land(
    warehouse: Warehouse,
    scratch: Scratch,
    state: State,
    prepared: Sequence[Prepared],
    *,
    views: Callable[[], Views],
    now: datetime,
) -> tuple[str, ...]:
    """Writes the result of a run completely or not at all; returns warnings, in sentences.

    Tables whose rows have not changed since the last run are not written.

    Raises:
        LaterError: another run has finished in the meantime.
    """
    with warehouse.transaction():
        warehouse.lock(f"heap_courier.{_RUNS}")
        if _state(warehouse) != state:
            raise LaterError(
                "Another run of Stitch has finished in the meantime; this one wrote nothing. Run it again."
            )
        dropped = DroppedViews(warehouse)
        for each in prepared:
            each.write(warehouse, dropped)
        _append_changes(warehouse, scratch, state.run + 1, now)
        wanted = views()
        dropped.create(wanted.queries)
    return wanted.notices


class Prepared:
    """The rows of an output table, prepared in the scratch with their digest, without the warehouse."""

    def __init__(self, scratch: Scratch, number: int, output: Output) -> None:
        self._scratch = scratch
        self._output = output
        self._rows = f"output_{number}"
        if output.before:
            scratch.execute(output.before)
        scratch.execute(f"CREATE TABLE {self._rows} AS {output.query}")
        ((count, total),) = scratch.query(f"SELECT count(*), sum(hash(o)) FROM {self._rows} AS o")
        self._digest = f"{count} {total} {' '.join(name for name, _ in output.columns)}"

    def write(self, warehouse: Warehouse, dropped: DroppedViews) -> None:
        """Replaces the table's rows unless they are unchanged. Must be called in a transaction."""
        output = self._output
        stored = warehouse.query(f"SELECT digest FROM heap_courier.{_DIGESTS} WHERE name = $1", (output.name,))
        if stored == [(self._digest,)] and _fits(warehouse, output):
            return
        name = quoted(output.name) if output.is_domain_table else f"heap_courier.{output.name}"
        if output.is_domain_table:
            _make(warehouse, dropped, output.name, output.columns)
        warehouse.stage(_STAGED, output.schema, self._batches())
        warehouse.execute(f"DELETE FROM {name}")
        columns = ", ".join(quoted(column) for column, _ in output.columns)
        warehouse.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {_STAGED}")
        warehouse.execute(f"DROP TABLE {_STAGED}")
        warehouse.execute(f"DELETE FROM heap_courier.{_DIGESTS} WHERE name = $1", (output.name,))
        warehouse.execute(f"INSERT INTO heap_courier.{_DIGESTS} VALUES ($1, $2)", (output.name, self._digest))

    def _batches(self) -> Iterable[pa.RecordBatch]:
        columns = ", ".join(quoted(name) for name, _ in self._output.columns)
        for batch in self._scratch.batches(f"SELECT {columns} FROM {self._rows}"):
            yield batch.cast(self._output.schema)


def _fits(warehouse: Warehouse, output: Output) -> bool:
    if not output.is_domain_table:
        return True
    return dict(warehouse.columns(output.name)) == {name: warehouse.sql_type(kind) for name, kind in output.columns}


def _make(warehouse: Warehouse, dropped: DroppedViews, name: str, columns: Columns) -> None:
    """Creates a domain table, or replaces it if its columns have changed; its views are recreated."""
    wanted = {column: warehouse.sql_type(kind) for column, kind in columns}
    there = dict(warehouse.columns(name))
    if there and there != wanted:
        dropped.drop(name)
        warehouse.execute(f"DROP TABLE {quoted(name)}")
    if there != wanted:
        made = ", ".join(f"{quoted(column)} {kind}" for column, kind in wanted.items())
        warehouse.execute(f"CREATE TABLE {quoted(name)} ({made})")


def _append_changes(warehouse: Warehouse, scratch: Scratch, run: int, now: datetime) -> None:
    """Appends the changes of this run; a run without changes is not recorded."""
    columns = (*CHANGE_COLUMNS, ("finished", DATETIME))
    if not warehouse.columns(CHANGES):
        made = ", ".join(f"{quoted(name)} {warehouse.sql_type(kind)}" for name, kind in columns)
        warehouse.execute(f"CREATE TABLE {quoted(CHANGES)} ({made})")
    if not scratch.query("SELECT 1 FROM change LIMIT 1"):
        return
    schema = pa.schema([(name, kind.arrow) for name, kind in CHANGE_COLUMNS])
    rows = scratch.batches(
        f"SELECT CAST({run} AS BIGINT), change, customer_id, other_customer_id, records FROM change ORDER BY ALL"
    )
    warehouse.stage(_STAGED, schema, (batch.rename_columns(schema.names).cast(schema) for batch in rows))
    names = ", ".join(schema.names)
    warehouse.execute(
        f"INSERT INTO {quoted(CHANGES)} ({names}, finished) SELECT {names}, CAST($1 AS timestamp) FROM {_STAGED}",
        (in_utc(now),),
    )
    warehouse.execute(f"DROP TABLE {_STAGED}")
    warehouse.execute(f"INSERT INTO heap_courier.{_RUNS} VALUES ($1, $2)", (run, in_utc(now)))


def _state(warehouse: Warehouse) -> State:
    run = int(warehouse.query(f"SELECT COALESCE(max(run), 0) FROM heap_courier.{_RUNS}")[0][0])
    digests = warehouse.query(f"SELECT name, digest FROM heap_courier.{_DIGESTS}")
    return State(run, frozenset((name, digest) for name, digest in digests))
