"""Reads the files of a step as rows of its table: decodes them in threads, casts them, hashes private columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.data_types.casts import reason
from heap_courier.errors import CourierError, RejectedRow, unexpected_failure
from heap_courier.formats import readers
from heap_courier.formats.chunk import Chunk
from heap_courier.formats.file_format import AVRO, FileFormat
from heap_courier.heap_connect.table_schema import CastRows, InexactIntegersError, cast_rows
from heap_courier.parallel import ordered_map
from heap_courier.warehouse.run_log import MOST_REJECTED, Rejected
from heap_courier.warehouse.upsert import Table

FORMAT: Final = FileFormat(AVRO)


class File(NamedTuple):
    """A fetched file of a step; `key` identifies it in error messages."""

    key: str
    path: Path
    schema: pa.Schema


class _Decoded(NamedTuple):
    key: str
    first_row: int
    rows: CastRows


class Reading:
    """Reads files as rows of a table, and counts the values that are unreadable."""

    def __init__(
        self,
        table: Table,
        dump_id: int,
        workers: int,
        advance: Callable[[int], None],
        hashes: Callable[[pa.RecordBatch], pa.RecordBatch],
    ) -> None:
        self._table = table
        self._hashes = hashes
        self._dump_id = dump_id
        self._workers = workers
        self._advance = advance
        self._kinds = {column.name: column.type for column in table.columns}
        self.unreadable: Counter[str] = Counter()
        self.examples: list[Rejected] = []

    def batches(self, files: Iterable[File]) -> Iterator[pa.RecordBatch]:
        """The rows of files, one file after another."""
        chunks = ((file.key, chunk) for file in files for chunk in readers.chunks(file.path, FORMAT, file.key))
        for decoded in ordered_map(self._decoded, chunks, workers=self._workers):
            for column, wrong in decoded.rows.unreadable.items():
                self._count(decoded, column, wrong)
            self._advance(decoded.rows.batch.num_rows)
            yield decoded.rows.batch

    def _decoded(self, part: tuple[str, Chunk]) -> _Decoded:
        key, chunk = part
        batch = chunk.decode().batch
        try:
            rows = cast_rows(batch, self._table, self._dump_id)
            return _Decoded(key, chunk.first_row, rows._replace(batch=self._hashes(rows.batch)))
        except (CourierError, InexactIntegersError):
            raise
        except Exception as error:  # noqa: BLE001  (an error in one file must not stop the others)
            raise unexpected_failure(key, error) from None

    def _count(self, decoded: _Decoded, column: str, wrong: pa.BooleanArray) -> None:
        rows = pc.indices_nonzero(wrong).to_pylist()
        if not rows:
            return
        self.unreadable[column] += len(rows)
        why = f"{reason(self._kinds[column])}, and was loaded as null"
        for row in rows[: MOST_REJECTED - len(self.examples)]:
            self.examples.append(Rejected(decoded.key, RejectedRow(decoded.first_row + row, column, why)))
