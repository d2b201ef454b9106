"""The embedded warehouse: a DuckDB file. Extensions are not used, because DuckDB would download them at run time."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from heap_courier.data_types.field_types import FieldType, Kind
from heap_courier.errors import BusyWarehouseError, CourierError, LaterError, SchemaError, SetupError
from heap_courier.original_errors import original_errors
from heap_courier.project.model import MEMORY
from heap_courier.warehouse.base import View, quoted

if TYPE_CHECKING:
    import pyarrow as pa

PATIENCE: Final = 30.0  # seconds to wait for another process that has the file open
PAUSE: Final = 0.2  # seconds between two attempts
_TYPES: Final = {
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.DATETIME: "TIMESTAMP",
    Kind.FLOAT: "DOUBLE",
    Kind.INTEGER: "BIGINT",
    Kind.STRING: "VARCHAR",
}
_QUOTES_VALUES: Final[Mapping[type[duckdb.Error], str]] = {  # errors that may quote values, with our own messages
    duckdb.ConstraintException: "a row violates a constraint of its table",
    duckdb.ConversionException: "a value does not have its column's type",
    duckdb.InvalidInputException: "its input is not valid",
    duckdb.OutOfRangeException: "a number is too large for its column",
}
_OF_A_ROW: Final = (duckdb.ConstraintException, duckdb.ConversionException, duckdb.OutOfRangeException)
# The texts of the errors that DuckDB raises in place of a KeyboardInterrupt while it calls Python.
_INTERRUPTED: Final = re.compile(r"^Query interrupted$|(?:^|failed: )KeyboardInterrupt\b", re.MULTILINE)
# Newer versions deprecate the second name.
_READER: Final = "to_arrow_reader" if hasattr(duckdb.DuckDBPyRelation, "to_arrow_reader") else "fetch_arrow_reader"
_BATCH: Final = 50_000  # rows
_ROW_ID: Final = "rowid"  # https://duckdb.org/docs/stable/sql/statements/select#row-ids
_LOCKED: Final = ("Could not set lock", "used by another process")

_RESTRICTED: Final = """
    SELECT 1 FROM duckdb_constraints()
    WHERE database_name = current_database() AND schema_name = current_schema() AND table_name = $1
    UNION ALL
    SELECT 1 FROM duckdb_indexes()
    WHERE database_name = current_database() AND schema_name = current_schema() AND table_name = $1
"""

# The couriers of a group are threads of one process. They write one after another, to avoid conflicts in DuckDB.
_write_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
# DuckDB fails to open a file while another thread is closing the last connection to it.
_open_close_lock: Final = threading.Lock()


class DuckDBWarehouse:
    """A connection to a DuckDB file, which one process can have open for writing, or several for reading.

    Raises:
        SetupError: the file cannot be created or is not a DuckDB file.
        BusyWarehouseError: another process has it open.
    """

    memory_of = "The warehouse"
    memory_under = "warehouse"
    """For messages: what needs the memory, and the section of the project file that limits it."""

    indexes_keys = False  # DuckDB uses hash joins, and would keep the index in memory
    keeps_order = True
    longest_name: int | None = None
    reserved_columns: frozenset[str] = frozenset()
    follows_columns = True
    row_number: str | None = _ROW_ID

    def __init__(
        self,
        path: Path,
        *,
        memory: str = MEMORY,
        read_only: bool = False,
        patience: float = PATIENCE,
        wait: Callable[[float], object],
    ) -> None:
        self._path = path.resolve()
        self._memory = memory
        if read_only and not self._path.exists():
            raise SetupError(f"There is no warehouse `{path}` yet: run a courier or activate a feed first.")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"The folder of the warehouse `{self._path}` cannot be created: {error.strerror}. Set another `file` "
                "in heap-courier.yaml."
            ) from error
        for patience_left in (*range(round(patience / PAUSE)), None):
            try:
                self._connection = self._connected(read_only=read_only)
                break
            except LaterError:
                if patience_left is None:
                    raise
            wait(PAUSE)

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        with self._sentences():
            rows = self._connection.execute(sql, list(parameters)).fetchall()
        return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else 0

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._sentences():
            return self._connection.execute(sql, list(parameters)).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with _write_locks[str(self._path)], self._sentences():
            self._connection.execute("BEGIN")
            try:
                yield
                self._connection.execute("SELECT 1")  # COMMIT after a failed statement silently rolls back
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # the first error is the one to report
                    self._connection.rollback()
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._sentences():
            self._connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            yield
        finally:
            with suppress(duckdb.Error):  # the first error is the one to report
                self._connection.rollback()

    def fingerprint(self, columns: Sequence[str]) -> str:
        row = f"hash({', '.join(map(quoted, columns))})"
        return f"concat_ws(' ', 'duckdb', version(), count(*), sum(CAST({row} AS hugeint)), bit_xor(hash({row})))"

    def stage(self, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        self._stream(f"CREATE TEMP TABLE {quoted(table)} AS FROM incoming", schema, batches)

    def fill(
        self, table: str, columns: Mapping[str, str], schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> str | None:
        """DuckDB compresses the rows and writes them to its file only once, as they arrive, without buffering them."""
        if _ROW_ID in map(str.lower, columns):
            return None
        name = quoted(table)
        if not (stored := self.columns(table)):
            declared = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
            self.execute(f"CREATE TABLE {name} ({declared})")
        elif stored != columns or self.query(f"SELECT 1 FROM {name} LIMIT 1") or self.query(_RESTRICTED, (table,)):
            return None
        self.execute("SET preserve_insertion_order = true")
        try:
            names = ", ".join(map(quoted, schema.names))
            self._stream(f"INSERT INTO {name} ({names}) FROM incoming", schema, batches)
        finally:
            with self._connection.cursor() as another:  # because a failed transaction accepts no statement
                another.execute("SET preserve_insertion_order = false")
        return _ROW_ID

    def _stream(self, statement: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Runs one statement that reads the batches as `incoming`: one statement per batch takes 50% longer.

        It runs in this thread only. If DuckDB's threads produced the batches, a signal would cause a deadlock: DuckDB
        joins these threads while it holds Python's global lock, for which they wait.
        """
        import pyarrow as pa  # noqa: PLC0415  (commands that only list do not need it)

        with self._sentences(), original_errors(batches) as stream:
            self._connection.register("incoming", pa.RecordBatchReader.from_batches(schema, stream))
            self._connection.execute("SET threads = 1")
            try:
                self._connection.execute(statement)
            finally:
                stream.close()
                with suppress(duckdb.Error):  # if the transaction failed, the name no longer exists
                    self._connection.unregister("incoming")
                with self._connection.cursor() as another:  # because a failed transaction accepts no statement
                    another.execute("RESET threads")

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        with self._sentences():
            relation = self._connection.sql(sql)
            yield from getattr(relation, _READER)(_BATCH)

    def columns(self, table: str) -> Mapping[str, str]:
        return dict(
            self.query(
                "SELECT column_name, data_type FROM duckdb_columns() "  # twice as fast as information_schema.columns
                "WHERE schema_name = current_schema() AND database_name = current_database() AND table_name = $1 "
                "ORDER BY column_index",
                (table,),
            )
        )

    def sql_type(self, field_type: FieldType) -> str:
        if field_type.kind is Kind.DECIMAL:
            return f"DECIMAL({field_type.precision},{field_type.scale})"
        return _TYPES[field_type.kind]

    def dependents(self, relation: str, *, itself: bool = False) -> list[View]:  # noqa: ARG002
        """None: DuckDB resolves a view each time it is queried."""
        return []

    def can_replace(self, view: str, query: str) -> bool:  # noqa: ARG002
        return True

    def has_view(self, view: str, query: str) -> bool:  # noqa: ARG002
        return False

    def lock(self, table: str) -> None:
        """Does nothing: transactions run one after another."""

    def close(self) -> None:
        with _open_close_lock:
            self._connection.close()

    def _connected(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": self._memory,
            "preserve_insertion_order": False,
        }
        try:
            with _open_close_lock:
                return duckdb.connect(str(self._path), read_only=read_only, config=settings)
        except duckdb.Error as error:
            said = _first_line(error)
            if any(text in said for text in _LOCKED):
                holder = re.search(r" \(PID \d+\)", said)
                raise BusyWarehouseError(
                    f"The warehouse `{self._path}` is open in another process{holder[0] if holder else ''}: stop that "
                    "process, or try again later."
                ) from error
            if "not a valid DuckDB" in said or "Extension" in said:  # (DuckDB needs an extension for a SQLite file)
                said = "it is not a DuckDB file"
            raise SetupError(
                f"The warehouse `{self._path}` cannot be opened: {said}. Set another `file` in heap-courier.yaml, or "
                "move this one away."
            ) from error

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, RuntimeError) as error:
            if isinstance(error, duckdb.InterruptException) or _INTERRUPTED.search(str(error)):
                raise KeyboardInterrupt from error
            if not isinstance(error, duckdb.Error):
                raise
            raise self._sentence(error) from error

    def _sentence(self, error: duckdb.Error) -> CourierError:
        if isinstance(error, duckdb.OutOfMemoryException) and "offload" not in str(error):  # (that is a full disk)
            return SetupError(
                f"{self.memory_of} `{self._path}` needs more memory than its limit of {self._memory} for rows "
                f"this wide: raise `memory` under `{self.memory_under}` in heap-courier.yaml, for example to 2GB."
            )
        said = _QUOTES_VALUES.get(type(error)) or _first_line(error)
        policy = SchemaError if isinstance(error, _OF_A_ROW) else SetupError
        return policy(f"The warehouse `{self._path}` refused a statement: {said}.")


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0].rstrip(".!")
