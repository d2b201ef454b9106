"""Summarises the content of a table after a run: a few sums that are the same in any database for the same rows.

A separate program, so that the benchmark stays small: a child process inherits its parent's peak memory.

    python benchmarks/pull/contents.py ENGINE DATABASE TABLE
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from typing import Any

SUMS = {
    "rows": "count(*)",
    "event ids": "count(DISTINCT event_id)",
    "sum of event ids": "sum(event_id)",
    "sum of session ids": "sum(session_id % 1000003)",
    "sum of quantities": "sum(quantity)",
    "members": "sum(CASE WHEN member THEN 1 ELSE 0 END)",
    "cents": "sum(CAST(round(price * 100) AS integer))",
    "values of property_20": "count(property_20)",
    "length of property_0": "sum(length(property_0))",
    "length of paths": "sum(length(path))",
}


def contents(engine: str, database: str, table: str) -> dict[str, int]:
    """The sums of a table; an empty table has none, which counts as 0."""
    with closing(_connection(engine, database)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f'SELECT {", ".join(SUMS.values())} FROM "{table}"')  # noqa: S608  # names of this program only
        return {name: int(value or 0) for name, value in zip(SUMS, cursor.fetchone(), strict=True)}


def _connection(engine: str, database: str) -> Any:
    if engine == "sqlite":
        return sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    if engine == "duckdb":
        import duckdb  # noqa: PLC0415  # importing takes longer than counting

        return duckdb.connect(database, read_only=True)
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415

    return dbapi.connect(database)


if __name__ == "__main__":
    print(json.dumps(contents(*sys.argv[1:])))
