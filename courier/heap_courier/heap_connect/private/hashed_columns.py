"""Which stored columns contain hashes, and with which secret; recorded in the transaction that stores the hashes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pyarrow as pa

from heap_courier.data_types.field_types import STRING, Kind
from heap_courier.documents.wording import listed
from heap_courier.errors import SchemaError
from heap_courier.heap_connect.private.private_columns import PrivateColumns
from heap_courier.heap_connect.table_schema import as_text
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.system_tables import make_tables
from heap_courier.warehouse.upsert import Table

_NAME: Final = "hashed_columns"
_TABLE: Final = f"heap_courier.{_NAME}"
_COLUMNS: Final = "source text, heap_table text, column_name text, secret text"


def hashed_columns(warehouse: Warehouse, source: str, table: str) -> frozenset[str]:
    """The columns of one of Heap's tables that contain hashes instead of values."""
    if not warehouse.query("SELECT 1 FROM information_schema.tables WHERE table_name = $1", (_NAME,)):
        return frozenset()
    rows = warehouse.query(f"SELECT column_name FROM {_TABLE} WHERE source = $1 AND heap_table = $2", (source, table))
    return frozenset(column for (column,) in rows)


class HashedColumns:
    """The hashed columns of a source, such as `Heap` in `Heap:users`."""

    def __init__(self, warehouse: Warehouse, source: str, private: PrivateColumns) -> None:
        self._warehouse = warehouse
        self._source = source
        self._private = private
        self._recorded: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def read(self) -> None:
        """Reads the records; creates their table if it is missing. Call it outside a transaction."""
        make_tables(self._warehouse, {_NAME: _COLUMNS})
        self._recorded.clear()
        rows = self._warehouse.query(
            f"SELECT heap_table, column_name, secret FROM {_TABLE} WHERE source = $1", (self._source,)
        )
        for table, column, secret in rows:
            self._recorded[table][column] = secret

    def of(self, table: str) -> frozenset[str]:
        """The columns of a table that contain hashes."""
        return frozenset(self._recorded.get(table, ()))

    def expect_rules(self, table: str, stored: Collection[str], *, of: str | None = None) -> None:
        """Refuses a table in which hashes and plain values, or hashes with different secrets, would mix.

        Args:
            table: the name under which its hashes are recorded.
            stored: its columns.
            of: the table whose rules apply to it; None: its own.

        Raises:
            SchemaError: they would mix; the message says how to keep the hashes, or to reload the table.
        """
        recorded = {column: secret for column, secret in self._recorded.get(table, {}).items() if column in stored}
        ruled = of or table
        kept = self._private.hashed(ruled, stored) | self._private.left_out(ruled, stored)
        if plain := sorted(recorded.keys() - kept):
            raise SchemaError(
                f"The columns {listed(plain)} of the table contain hashes, but `heap-connect/columns` no longer hashes "
                "them: restore the setting, or drop the table to load it again from its dumps."
            )
        hashed = self._private.hashed(ruled, stored)
        if plain := sorted(hashed - recorded.keys()):
            raise SchemaError(f"The stored values of {listed(plain)} could not be hashed, so the table was not loaded.")
        if any(secret != self._private.fingerprint for column, secret in recorded.items() if column in hashed):
            raise SchemaError(
                "The table contains hashes made with another secret: restore the value of "
                "`heap-connect/hash-secret-env`, or drop the table to load it again from its dumps."
            )

    def forget(self, table: str) -> None:
        """Removes the records of a dropped table. Call it inside a transaction."""
        self._warehouse.execute(f"DELETE FROM {_TABLE} WHERE source = $1 AND heap_table = $2", (self._source, table))
        self._recorded.pop(table, None)

    def record(self, table: str, columns: Collection[str]) -> None:
        """Records that columns of a table contain only hashes. Call it inside the transaction that stores them."""
        for column in sorted(set(columns) - self.of(table)):
            parameters = (self._source, table, column, self._private.fingerprint)
            self._warehouse.execute(f"INSERT INTO {_TABLE} VALUES ($1, $2, $3, $4)", parameters)

    def remember(self, table: str, columns: Collection[str]) -> None:
        """Updates this object with what was recorded, once the transaction has committed."""
        self._recorded[table] |= dict.fromkeys(columns, self._private.fingerprint)

    def write_hashed(self, table: Table, columns: Collection[str], path: Path) -> None:
        """Writes the stored rows of a table to an Arrow file, with these columns hashed. Call it outside a transaction.

        An UPDATE instead would need memory for every row that it changes.
        """
        text = self._warehouse.sql_type(STRING)
        selected = [
            f"CAST({quoted(column.name)} AS {text}) AS {quoted(column.name)}"
            if column.type.kind is Kind.DECIMAL  # (ADBC returns PostgreSQL's as a type of its own)
            else quoted(column.name)
            for column in table.columns
        ]
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            for batch in self._warehouse.batches(f"SELECT {', '.join(selected)} FROM {quoted(table.name)}"):
                arrays = [
                    self._private.hashes(as_text(values)) if name in columns else values.cast(kind)
                    for name, values, kind in zip(table.schema.names, batch.columns, table.schema.types, strict=True)
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=table.schema))
