"""A published table: the version that readers see, and the state of the domain table that it represents.

A version records that state in the same commit as its rows, so a killed process never leaves one without the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from heap_courier.delta.place import Place
from heap_courier.errors import SetupError

OURS: Final = "heap-courier"
"""The key of our record in a commit, and our application id in the table's transactions."""

_LOOKED_THROUGH: Final = 100  # commits, to find our newest one
# Operations of other writers that change no row: https://docs.delta.io/latest/delta-utility.html
_HARMLESS: Final = frozenset(
    {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "COMPUTE STATS", "FSCK"}
)


class ConflictError(Exception):
    """Another writer has committed a version since the table was opened."""


@dataclass(frozen=True, slots=True)
class Record:
    """The state of a domain table that a version represents.

    Attributes:
        table: the name of the domain table.
        columns: its columns with their SQL types.
        fingerprint: a fingerprint of its rows.
        next_row: a number greater than the row numbers of all rows; None: the warehouse does not number rows.
    """

    table: str
    columns: Mapping[str, str]
    fingerprint: str
    next_row: int | None


class PublishedTable:
    """The Delta table of a domain table, in the version that was current when it was opened. It may not exist yet.

    Attributes:
        address: its address.
        record: the state that it represents; None: unknown, or there is no table.
    """

    def __init__(self, place: Place, table: str, folder: str) -> None:
        """Opens the table.

        Raises:
            SetupError: the folder contains a table that was not written by heap-courier.
            LaterError: the place is unavailable.
        """
        self.address = place.address(folder)
        self.record: Record | None = None
        self._place = place
        self._name = table
        self._opened: DeltaTable | None = None
        with place.explained():
            try:
                self._opened = DeltaTable(self.address, storage_options=place.options())
            except TableNotFoundError:
                return
            self.record = self._read_record(self._opened)

    @property
    def version(self) -> int | None:
        """The version that readers see; None: there is no table."""
        return None if self._opened is None else int(self._opened.version())

    def write(
        self, mode: Literal["append", "overwrite"], record: Record, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
    ) -> None:
        """Writes a version, which readers see once it is complete.

        Args:
            mode: whether the rows are added to the stored ones, or replace them.
            record: the state of the domain table that the version represents.
            schema: the schema of the rows.
            batches: the rows.

        Raises:
            ConflictError: another writer was faster; nothing has changed.
            SetupError: the place does not accept the rows; nothing has changed.
            LaterError: the place is unavailable; nothing has changed.
        """
        number = 1 if self._opened is None else (self._opened.transaction_version(OURS) or 0) + 1
        properties = CommitProperties(
            custom_metadata={OURS: json.dumps(asdict(record))},
            max_commit_retries=0,  # a retry would add the rows to a version that they were not compared with
            app_transactions=[Transaction(OURS, number)],
        )
        with self._place.explained():
            try:
                write_deltalake(
                    self.address if self._opened is None else self._opened,
                    pa.RecordBatchReader.from_batches(schema, batches),
                    mode="error" if self._opened is None else mode,
                    schema_mode=None if mode == "append" or self._opened is None else "overwrite",
                    storage_options=self._place.options(),
                    commit_properties=properties,
                )
            except CommitFailedError:
                raise ConflictError from None
            except DeltaError as failure:
                if "already exists" in str(failure):
                    raise ConflictError from None
                raise
            self._opened = DeltaTable(self.address, storage_options=self._place.options())
        self.record = record

    def remove_old_files(self, keep: timedelta) -> None:
        """Removes files used only by versions that were replaced longer ago than `keep`."""
        if self._opened is None:
            return
        hours = round(keep.total_seconds() / 3_600)
        with self._place.explained():
            if self._opened.vacuum(hours, dry_run=True, enforce_retention_duration=False):
                self._opened.vacuum(hours, dry_run=False, enforce_retention_duration=False)

    def _read_record(self, table: DeltaTable) -> Record | None:
        for limit in (1, _LOOKED_THROUGH):  # each commit is a request, and the newest is nearly always ours
            newer = 0
            for commit in table.history(limit):
                if OURS in commit:
                    return self._parsed(commit[OURS])
                newer += commit.get("operation") not in _HARMLESS
            if newer:
                break
        if table.transaction_version(OURS) is None:
            raise SetupError(
                f"`{self.address}` contains a Delta table that heap-courier did not write: set another place under "
                "`delta` in heap-courier.yaml, or move that table away."
            )
        return None

    def _parsed(self, text: Any) -> Record | None:
        try:
            content = json.loads(text)
            record = Record(**content)
        except (TypeError, ValueError):  # written by another version of heap-courier
            return None
        if record.table != self._name:
            raise SetupError(
                f"`{self.address}` contains the table `{record.table}`, whose name differs from `{self._name}` only in "
                "case: rename one of them."
            )
        return record
