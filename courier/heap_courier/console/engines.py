"""Read-only queries on the two engines, without access to files or to functions with side effects.

The engine converts the values of a page to text, because it knows all of its types, and truncates long ones.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from heap_courier.warehouse.base import quoted

if TYPE_CHECKING:
    import pyarrow as pa

_PATIENCE: Final = 5.0  # seconds to wait for a writer
_PAUSE: Final = 0.2
_ROWS_AT_ONCE: Final = 10_000
_SPILLED: Final = "4GB"  # limit of DuckDB's scratch folder
# Types that are written to CSV and Parquet unchanged; all others become text.
_PLAIN_OF_DUCKDB: Final = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|VARCHAR|DATE|TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE)?|"
    r"DECIMAL\(.*"
)
_PLAIN_OF_POSTGRESQL: Final = frozenset(
    ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "date", "timestamp", "timestamptz")
)
_STATEMENTS: Final = ("SELECT", "EXPLAIN", "MULTI")  # the last one is DuckDB's name for a PIVOT

_FUNCTIONS: Final = re.compile(r":\w*(?:funcid|fnoid) (\d+)")
_RELATIONS: Final = re.compile(r":relid (\d+)")
_HARMLESS: Final = (  # volatile, but without side effects
    *("random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "clock_timestamp", "timeofday"),
    *("pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size", "pg_database_size"),
)
_RUNS_TEXT: Final = "query_to_xml%"  # runs a query given as text, although it is not volatile
_HIDDEN: Final = "heap_courier_question"


class BusyError(Exception):
    """Another process is writing to the DuckDB file."""


@contextmanager
def query_duckdb(
    sql: str, path: str, *, memory: str, scratch: str, shown: tuple[int, int] | None
) -> Iterator[pa.RecordBatchReader]:
    """Runs a query on a DuckDB file.

    Args:
        sql: a single query.
        path: the DuckDB file.
        memory: DuckDB's memory limit.
        scratch: the folder for data that exceeds the memory limit.
        shown: the maximum number of rows, and of characters per value, which are returned as text; None returns all
            rows with their types.

    Raises:
        BusyError: another process is writing to the file.
        Exception: the query is invalid.
    """
    with closing(_duckdb(path, memory, scratch)) as connection:
        statements = connection.extract_statements(sql)
        if len(statements) != 1:
            raise ValueError("Write one query.")
        found = connection.sql(sql) if _is_query(statements[0]) else None
        if found is None:
            raise ValueError("Enter a read-only query, such as a SELECT: nothing can be changed here.")
        texts = [shown is not None or not _PLAIN_OF_DUCKDB.fullmatch(str(kind)) for kind in found.types]
        parts = [f"#{number}::VARCHAR" if text else f"#{number}" for number, text in enumerate(texts, 1)]
        names = list(found.columns)
        if shown:
            rows, characters = shown
            parts = [f"left({part}, {characters})" for part in parts]
            found = found.limit(rows)
        found = found.project(", ".join(f"{part} AS {quoted(name)}" for part, name in zip(parts, names, strict=True)))
        # (older versions of DuckDB have another name for the method)
        yield (getattr(found, "to_arrow_reader", None) or found.fetch_arrow_reader)(_ROWS_AT_ONCE)


def _is_query(statement: Any) -> bool:
    try:
        return statement.type.name in _STATEMENTS
    except ValueError:  # a statement type that DuckDB's Python package does not know
        return False


def _duckdb(path: str, memory: str, scratch: str) -> Any:
    import duckdb  # noqa: PLC0415

    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_access": False,  # no file, no other database
        "lock_configuration": True,
        "memory_limit": memory,
        "temp_directory": scratch,
        "max_temp_directory_size": _SPILLED,
    }
    for _ in range(round(_PATIENCE / _PAUSE)):
        try:
            return duckdb.connect(path, read_only=True, config=settings)
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise
        time.sleep(_PAUSE)
    raise BusyError


@contextmanager
def query_postgresql(
    sql: str, dsn: str, *, seconds: float, shown: tuple[int, int] | None
) -> Iterator[pa.RecordBatchReader]:
    """Runs a query on PostgreSQL, like `query_duckdb`, with a time limit.

    The account may have permission to read the server's files and to change its settings through functions. Therefore
    the functions that a query calls are checked before it runs, as listed by the server's own analysis.
    """
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415

    # As a subquery, it can only be a single query.
    inner = f"({sql.strip().rstrip(';')}\n) AS question"
    if not sql.strip():
        raise ValueError("Write one query.")
    with dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        _begin(cursor, seconds)
        schema = cursor.adbc_execute_schema(f"SELECT * FROM {inner}")  # only prepares the query
        connection.rollback()
        _expect_harmless(cursor, inner)
        connection.rollback()
        _begin(cursor, seconds)
        columns = [f"c{number}" for number, _ in enumerate(schema, 1)]
        parts = [_read(column, field, shown) for column, field in zip(columns, schema, strict=True)]
        named = [f"{part} AS {quoted(field.name)}" for part, field in zip(parts, schema, strict=True)]
        limit = f" LIMIT {shown[0]}" if shown else ""
        aliases = f"({', '.join(columns)})" if columns else ""
        cursor.execute(f"SELECT {', '.join(named)} FROM {inner} {aliases}{limit}")
        yield cursor.fetch_record_batch()


def _begin(cursor: Any, seconds: float) -> None:
    """Begins a read-only transaction in which values have the same text regardless of the server's settings."""
    cursor.execute("SET TRANSACTION READ ONLY")
    cursor.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
    cursor.execute("SET LOCAL DateStyle = 'ISO'")
    cursor.execute("SET LOCAL TimeZone = 'UTC'")


def _read(column: str, field: pa.Field, shown: tuple[int, int] | None) -> str:
    if shown:
        return f"left({column}::text, {shown[1]})"
    kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
    return column if kind in _PLAIN_OF_POSTGRESQL else f"{column}::text"


def _expect_harmless(cursor: Any, inner: str) -> None:
    """Raises ValueError if a query calls a function that may do more than read, or reads a non-public system table.

    PostgreSQL analyses a view when it is created, without running it, and stores the result: functions appear with
    their numbers, regardless of how the query spells them.
    """
    cursor.execute(f"CREATE TEMP VIEW {_HIDDEN} AS SELECT count(*) FROM {inner}")
    cursor.execute(
        f"SELECT ev_action::text FROM pg_catalog.pg_rewrite WHERE ev_class = 'pg_temp.{_HIDDEN}'::pg_catalog.regclass"
    )
    tree = cursor.fetchone()[0]
    functions = ", ".join(sorted({"0", *_FUNCTIONS.findall(tree)}))
    relations = ", ".join(sorted({"0", *_RELATIONS.findall(tree)}))
    harmless = ", ".join(f"'{name}'" for name in _HARMLESS)
    cursor.execute(
        f"SELECT 'the function `' || proname || '`' FROM pg_catalog.pg_proc WHERE oid IN ({functions}) AND "
        f"(provolatile = 'v' AND NOT (proname IN ({harmless}) AND pronamespace = 'pg_catalog'::regnamespace) "
        f"OR proname LIKE '{_RUNS_TEXT}' OR NOT has_function_privilege('public', oid, 'EXECUTE')) UNION ALL "
        f"SELECT 'the table `' || relname || '`' FROM pg_catalog.pg_class WHERE oid IN ({relations}) "
        "AND relnamespace = 'pg_catalog'::regnamespace AND NOT has_table_privilege('public', oid, 'SELECT') "
        "ORDER BY 1 LIMIT 1"
    )
    if found := cursor.fetchone():
        raise ValueError(f"A query cannot use {found[0]} here: it is not for reading domain tables.")
