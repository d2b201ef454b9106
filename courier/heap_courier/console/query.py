"""A query on a read-only connection, in a separate process: it cannot write, read files, or outlast its limit.

The console starts `python -m heap_courier.console.query`, which reads a `Question` and writes what was `Found`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heap_courier.errors import LaterError, SetupError
from heap_courier.printable import printable

if TYPE_CHECKING:
    import pyarrow as pa

SECONDS: Final = 15.0  # for a query
FILE_SECONDS: Final = 300.0  # for one whose result is written to a file
ROWS: Final = 1_000  # that are shown
LONGEST: Final = 5_000  # characters of a value that is shown
_PATIENCE: Final = 5.0  # seconds to wait for a writer
_PAUSE: Final = 0.2
_ROWS_AT_ONCE: Final = 10_000
_BUSY: Final = "busy"


@dataclass(frozen=True, slots=True)
class Question:
    """A query.

    Attributes:
        sql: one statement.
        path: of a DuckDB file.
        memory: that DuckDB may take.
        dsn: of a PostgreSQL; either this or the path.
        file: to write all rows to; None: the first ones are shown.
        format: of the file, `csv` or `parquet`.
    """

    sql: str
    path: str | None = None
    memory: str = "512MB"
    dsn: str | None = None
    file: str | None = None
    format: str = "csv"


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found.

    Attributes:
        columns: their names.
        rows: the first ones; values as texts, None for null.
        more: whether there are more.
    """

    columns: list[str]
    rows: list[list[str | None]]
    more: bool


def ask(question: Question, seconds: float | None = None) -> Found:
    """Runs the query in a separate process.

    Raises:
        SetupError: the query is wrong, or takes too long; or the warehouse cannot be opened.
        LaterError: something writes to the warehouse now.
    """
    limit = seconds or (FILE_SECONDS if question.file else SECONDS)
    try:
        ran = subprocess.run(  # this program itself
            [sys.executable, "-m", "heap_courier.console.query"],
            input=json.dumps(asdict(question)),
            capture_output=True,
            encoding="utf-8",
            cwd=Path(sys.executable).parent,  # not a folder whose modules Python would prefer
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"The query was stopped after {limit:.0f} seconds: narrow it, such as by a WHERE or a LIMIT."
        ) from None
    try:
        said = json.loads(ran.stdout)
    except ValueError:
        raise SetupError("The query was stopped, because it took too much memory: narrow it.") from None
    if said.get("kind") == _BUSY:
        raise LaterError("Something writes to the warehouse now: ask again when it has finished.")
    if "error" in said:
        raise SetupError(said["error"])
    return Found(**said)


def main() -> None:
    """Reads a question on standard input and writes the answer to standard output."""
    json.dump(answer(Question(**json.load(sys.stdin))), sys.stdout)


def answer(question: Question) -> dict[str, Any]:
    """What was found, or `error` with the engine's message."""
    try:
        return asdict(_found(question))
    except _BusyError:
        return {"kind": _BUSY, "error": "The warehouse is being written."}
    except Exception as error:  # noqa: BLE001  (the author of the query sees it)
        said = str(error).strip().split("\n\n")[0].replace("\n", " ")
        return {"error": printable(said) or type(error).__name__}


class _BusyError(Exception):
    pass


def _found(question: Question) -> Found:
    with _batches(question) as reader:
        if question.file:
            _write(reader, Path(question.file), question.format)
            return Found([], [], more=False)
        rows: list[list[str | None]] = []
        for batch in reader:
            columns = [[_shown(value.as_py()) for value in column] for column in batch.slice(0, ROWS + 1).columns]
            rows += map(list, zip(*columns, strict=True))
            if len(rows) > ROWS:
                break
        return Found(list(reader.schema.names), rows[:ROWS], more=len(rows) > ROWS)


@contextmanager
def _batches(question: Question) -> Iterator[pa.RecordBatchReader]:
    if question.path:
        with closing(_duckdb(question)) as connection:
            statements = connection.extract_statements(question.sql)
            if len(statements) != 1:
                raise ValueError("Write one statement.")
            found = connection.sql(question.sql)
            if found is None:
                raise ValueError("Write a query: nothing can be changed here.")
            # (older versions of DuckDB have another name for it)
            yield (getattr(found, "to_arrow_reader", None) or found.fetch_arrow_reader)(_ROWS_AT_ONCE)
        return
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415

    with dbapi.connect(str(question.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute(f"SET LOCAL statement_timeout = {int((FILE_SECONDS if question.file else SECONDS) * 1000)}")
        # Read as a part of another query, it can only be one.
        cursor.execute(f"SELECT * FROM ({question.sql.rstrip().rstrip(';')}\n) AS question")
        yield cursor.fetch_record_batch()


def _duckdb(question: Question) -> Any:
    import duckdb  # noqa: PLC0415

    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_access": False,  # no file, no other database
        "lock_configuration": True,
        "memory_limit": question.memory,
    }
    for _ in range(round(_PATIENCE / _PAUSE)):
        try:
            return duckdb.connect(str(question.path), read_only=True, config=settings)
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise
        time.sleep(_PAUSE)
    raise _BusyError


def _write(reader: pa.RecordBatchReader, path: Path, file_format: str) -> None:
    import pyarrow.csv  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    make = pyarrow.parquet.ParquetWriter if file_format == "parquet" else pyarrow.csv.CSVWriter
    with make(str(path), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


if __name__ == "__main__":
    main()
