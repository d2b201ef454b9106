"""The warehouse on PostgreSQL. Arrow batches are loaded by COPY, through ADBC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi

from heap_courier.data_types.field_types import FieldType, Kind
from heap_courier.errors import CourierError, LaterError, SchemaError, SetupError
from heap_courier.parallel import result_of
from heap_courier.warehouse.base import View, quoted
from heap_courier.warehouse.postgresql_views import dependents

_PROBE: Final = "heap_courier_probe"
_COLUMNS: Final = (
    "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute AS a "
    "JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
)
_IN_ORDER: Final = "ORDER BY a.attnum"
# https://www.postgresql.org/docs/15/ddl-system-columns.html
_ROW_ID: Final = "ctid"
_SYSTEM_COLUMNS: Final = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
LONGEST_NAME: Final = 63  # bytes: https://www.postgresql.org/docs/15/limits.html
_TYPES: Final = {
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.DATETIME: "timestamp without time zone",
    Kind.FLOAT: "double precision",
    Kind.INTEGER: "bigint",
    Kind.STRING: "text",
}
# Error classes (https://www.postgresql.org/docs/15/errcodes-appendix.html) that are temporary, and those whose messages
# quote values.
_LATER: Final = ("08", "40", "53", "55", "57", "58")
_QUOTES_VALUES: Final = {
    "22": "a value does not fit its column",
    "23": "a row violates a constraint of its table",
    "38": "a function fails",
    "54": "a value or a row exceeds a size limit",
    "44": "a row violates the condition of a view",
    "P0": "a function fails",
}
_OF_A_ROW: Final = ("22", "23", "44", "54")
_NOT_ALLOWED: Final = "42501"
_DEPENDED_ON: Final = frozenset({"2BP01", "0A000"})  # other objects depend on the object to drop or alter
_NAMES: Final = frozenset({"42701", "42P16", "42809"})  # a name that is taken, reserved or of another kind of object
# Temporary errors of the client, which have no error code.
_LATER_TEXTS: Final = (
    "closed the connection",
    "connection slots",
    "Connection refused",
    "Connection reset",
    "No route to host",
    "no connection to the server",
    "No such file or directory",  # the socket of a server that is not running
    "starting up",
    "shutting down",
    "Temporary failure",
    "terminating connection",
    "timeout",
    "too many clients",
    "unreachable",
)

_NO_JIT: Final = "SET jit = off"
"""PostgreSQL overestimates the cost of the recursive `:resolved` views, and would compile each query for seconds."""


class PostgreSQLWarehouse:
    """A connection to PostgreSQL.

    Raises:
        SetupError: the connection was refused, for example because of a wrong password.
        LaterError: the server does not respond.
    """

    indexes_keys = True  # a small load finds its rows without reading the whole table
    keeps_order = False  # a short row may fit into an earlier page than a long row before it
    longest_name: int | None = LONGEST_NAME
    reserved_columns: frozenset[str] = _SYSTEM_COLUMNS
    follows_columns = False
    row_number: str | None = None

    def __init__(self, dsn: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postgresql")
        try:
            # With autocommit off, the driver would repeat BEGIN after each COPY: a warning in the server's log.
            self._connection = dbapi.connect(dsn, autocommit=True)
            with self._connection.cursor() as cursor:
                cursor.execute(_NO_JIT)
        except Error as error:
            raise _refused(error) from None  # (the error may quote the address, which may contain a password)

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        with self._statement() as cursor:
            self._call(cursor, cursor.execute, sql, tuple(parameters) or None)
            return max(int(cursor.rowcount), 0)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._statement() as cursor:
            self._call(cursor, cursor.execute, sql, tuple(parameters) or None)
            return list(self._call(cursor, cursor.fetchall))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            self.execute("BEGIN")
            yield
            self.query("SELECT 1")  # PostgreSQL rolls back silently on COMMIT after a failed statement
            self.execute("COMMIT")
        except BaseException:
            with suppress(CourierError):  # the first error is the one to report
                self.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            yield
        finally:
            with suppress(CourierError):  # the first error is the one to report
                self.execute("ROLLBACK")

    def fingerprint(self, columns: Sequence[str]) -> str:
        row = f"CAST(ROW({', '.join(map(quoted, columns))}) AS text)"
        sums = ", ".join(f"sum(hashtextextended({row}, {seed}))" for seed in (0, 1))
        return f"concat_ws(' ', 'postgresql', current_setting('server_version_num'), count(*), {sums})"

    def stage(self, table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        with self._statement() as cursor:
            empty = pa.Table.from_batches([], schema)
            self._call(cursor, cursor.adbc_ingest, table, empty, mode="create", temporary=True)
            for batch in batches:
                self._call(cursor, cursor.adbc_ingest, table, _without_nul(batch), mode="append", temporary=True)

    def fill(
        self,
        table: str,
        columns: Mapping[str, str],
        schema: pa.Schema,  # noqa: ARG002
        batches: Iterable[pa.RecordBatch],
    ) -> str | None:
        """Fills new tables only: an existing one may have indexes, triggers, views and readers.

        If two connections create the same table, one waits here until the other has committed.
        """
        self.query("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext($1))", (table,))
        if self.columns(table):
            return None
        declared = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
        self.execute(f"CREATE TABLE {quoted(table)} ({declared})")
        with self._statement() as cursor:
            for batch in batches:
                self._call(cursor, cursor.adbc_ingest, table, _without_nul(batch), mode="append")
        return _ROW_ID

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        with self._statement() as cursor:
            self._call(cursor, cursor.execute, sql)
            reader = self._call(cursor, cursor.fetch_record_batch)
            while batch := self._call(cursor, next, iter(reader), None):
                yield batch

    def columns(self, table: str) -> Mapping[str, str]:
        """Reads the catalog, because the information schema hides columns that the user has no privilege for."""
        return dict(self.query(f"{_COLUMNS} AND n.nspname = current_schema() AND c.relname = $1 {_IN_ORDER}", (table,)))

    def dependents(self, relation: str, *, itself: bool = False) -> list[View]:
        return dependents(self, relation, itself=itself)

    def can_replace(self, view: str, query: str) -> bool:
        """Whether the query only appends columns to those of the view."""
        self.execute(f"CREATE TEMPORARY VIEW {_PROBE} AS {query}")
        new = self.query(f"{_COLUMNS} AND c.oid = 'pg_temp.{_PROBE}'::regclass {_IN_ORDER}")
        self.execute(f"DROP VIEW pg_temp.{_PROBE}")
        old = list(self.columns(view).items())
        return [tuple(column) for column in new[: len(old)]] == old and self._is_view(view)

    def has_view(self, view: str, query: str) -> bool:
        """Worth checking, because replacing a view waits for all its readers, and blocks new ones meanwhile."""
        if not self._is_view(view):
            return False
        self.execute(f"CREATE TEMPORARY VIEW {_PROBE} AS {query}")
        same = self.query(
            f"SELECT pg_catalog.pg_get_viewdef('pg_temp.{_PROBE}'::regclass) = "
            "pg_catalog.pg_get_viewdef(CAST($1 AS regclass))",
            (quoted(view),),
        )
        self.execute(f"DROP VIEW pg_temp.{_PROBE}")
        return same == [(True,)]

    def _is_view(self, name: str) -> bool:
        sql = (
            "SELECT c.relkind = 'v' FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n "
            "ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relname = $1"
        )
        return self.query(sql, (name,)) == [(True,)]

    def sql_type(self, field_type: FieldType) -> str:
        if field_type.kind is Kind.DECIMAL:
            return f"numeric({field_type.precision},{field_type.scale})"
        return _TYPES[field_type.kind]

    def lock(self, table: str) -> None:
        """Blocks other writers until the transaction ends, but not readers."""
        self.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")

    def close(self) -> None:
        self._connection.close()
        self._thread.shutdown()

    def _call(self, cursor: dbapi.Cursor, function: Callable[..., Any], *arguments: object, **options: object) -> Any:
        """Calls ADBC in another thread: in the main thread, it could swallow Ctrl-C, and would delay SIGTERM."""
        result = self._thread.submit(function, *arguments, **options)
        try:
            return result_of(result)
        except KeyboardInterrupt:
            cursor.adbc_cancel()
            wait([result])
            raise

    @contextmanager
    def _statement(self) -> Iterator[dbapi.Cursor]:
        with self._sentences(), self._connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except Error as error:
            raise _sentence(error) from error


def _refused(error: Error) -> CourierError:
    """The error for a refused connection. It never quotes what the client says about the address, which may leak it."""
    said = str(error)
    if "connection to server" not in said and "Temporary failure" not in said:
        return SetupError(
            "The warehouse's address (`dsn`, `dsn-env`) is not valid: it must look like "
            "postgresql://user:password@host/database, with %40, %2F, %3A for `@`, `/`, `:` in the password, and the "
            "host must resolve on this machine."
        )
    reason = said.partition("failed: ")[2].partition("\n")[0].removeprefix("FATAL:").strip()
    if any(text in said for text in _LATER_TEXTS):
        return LaterError(
            f"The warehouse is unavailable: {reason or 'its host name does not resolve'}. Try again later."
        )
    return SetupError(f"Cannot connect to the warehouse: {reason}. Check its address (`dsn`, `dsn-env`).")


def _without_nul(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Replaces U+0000 in text, which PostgreSQL cannot store, by U+FFFD, the replacement character."""
    columns = [
        pc.replace_substring(column, "\0", "\ufffd") if pa.types.is_string(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _sentence(error: Error) -> CourierError:
    state = error.sqlstate or ""
    said = str(error).partition("ERROR:")[2].strip() or str(error).partition("FATAL:")[2].strip() or str(error)
    said = said.partition("\n")[0]
    if state.startswith(_LATER) or (not state and any(text in said for text in _LATER_TEXTS)):
        return LaterError(f"The warehouse is unavailable: {said}. Try again later.")
    if state == _NOT_ALLOWED:
        return SetupError(f"The warehouse refused a statement: {said}. Grant the privilege to the user in the address.")
    if state in _DEPENDED_ON:
        which = str(error).partition("DETAIL:")[2].strip().partition("\n")[0]
        reason = f"{said} ({which})" if which else said
        return SchemaError(
            f"The warehouse refused a statement: {reason}. Drop the dependent object, then run the courier again."
        )
    if state in _NAMES:
        return SchemaError(f"The warehouse refused a statement: {said}.")
    if state[:2] in _QUOTES_VALUES:
        said = f"{_QUOTES_VALUES[state[:2]]} (error {state})"
    policy = SchemaError if state[:2] in _OF_A_ROW else SetupError
    return policy(f"The warehouse refused a statement: {said}.")
