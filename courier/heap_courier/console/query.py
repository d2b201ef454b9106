"""Runs SQL on a read-only connection, in a separate process: it cannot write, read files, or exceed its time limit.

The console starts `python -m heap_courier.console.query`, which reads a `Question` and writes a `Found`, both as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heap_courier.console.engines import BusyError, query_duckdb, query_postgresql
from heap_courier.errors import LaterError, SetupError
from heap_courier.printable import printable

if TYPE_CHECKING:
    import pyarrow as pa

SECONDS: Final = 15.0  # time limit of a query
FILE_SECONDS: Final = 300.0  # time limit of a query whose result is written to a file
ROWS: Final = 1_000  # shown at most
LONGEST: Final = 5_000  # characters shown of a value
CHARACTERS: Final = 5_000_000  # shown of all values together
_BUSY: Final = "busy"


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and where to run it.

    Attributes:
        sql: a single query.
        path: the DuckDB file; either this or `dsn`.
        memory: DuckDB's memory limit.
        dsn: the PostgreSQL connection string.
        file: the file to write all rows to; None returns the first rows instead.
        format: the format of the file, `csv` or `parquet`.
        scratch: the folder for data that exceeds DuckDB's memory limit.
    """

    sql: str
    path: str | None = None
    memory: str = "512MB"
    dsn: str | None = None
    file: str | None = None
    format: str = "csv"
    scratch: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a query.

    Attributes:
        columns: the names of the columns.
        rows: the first rows; values as text, None for null.
        more: whether there are more rows.
    """

    columns: list[str]
    rows: list[list[str | None]]
    more: bool


def ask(question: Question, seconds: float | None = None) -> Found:
    """Runs the query in a separate process.

    Raises:
        SetupError: the query is invalid or takes too long, or the warehouse cannot be opened.
        LaterError: another process is writing to the warehouse.
    """
    limit = seconds or (FILE_SECONDS if question.file else SECONDS)
    try:
        with tempfile.TemporaryDirectory(prefix="heap-courier-") as scratch:  # a killed process leaves it full
            ran = subprocess.run(  # this program itself
                [sys.executable, "-m", "heap_courier.console.query"],
                input=json.dumps(asdict(replace(question, scratch=scratch))),
                capture_output=True,
                encoding="utf-8",
                cwd=Path(sys.executable).parent,  # not a folder whose modules could shadow others
                timeout=limit,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"The query was stopped after {limit:.0f} seconds: narrow it, for example with a WHERE or a LIMIT."
        ) from None
    try:
        said = json.loads(ran.stdout)
    except ValueError:
        raise SetupError("The query was stopped because it used too much memory: narrow it.") from None
    if said.get("kind") == _BUSY:
        raise LaterError("Another process is writing to the warehouse: try again when it has finished.")
    if "error" in said:
        raise SetupError(said["error"])
    return Found(**said)


def main() -> None:
    """Reads a question from standard input and writes the answer to standard output."""
    json.dump(answer(Question(**json.load(sys.stdin))), sys.stdout)


def answer(question: Question) -> dict[str, Any]:
    """The result as plain values, or `error` with the engine's message."""
    try:
        return asdict(_found(question))
    except BusyError:
        return {"kind": _BUSY, "error": "Another process is writing to the warehouse."}
    except Exception as error:  # noqa: BLE001  (reported to the author of the query)
        return {"error": printable(_reason(error)) or type(error).__name__}


def _found(question: Question) -> Found:
    with _run(question) as reader:
        if question.file:
            _write(reader, Path(question.file), question.format)
            return Found([], [], more=False)
        rows: list[list[str | None]] = []
        characters = 0
        for batch in reader:
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                shown = [_shown(value) for value in row]
                characters += sum(len(value or "") for value in shown)
                if len(rows) == ROWS or (rows and characters > CHARACTERS):
                    return Found(list(reader.schema.names), rows, more=True)
                rows.append(shown)
        return Found(list(reader.schema.names), rows, more=False)


def _run(question: Question) -> AbstractContextManager[pa.RecordBatchReader]:
    shown = None if question.file else (ROWS + 1, LONGEST + 1)
    if question.path:
        return query_duckdb(question.sql, question.path, memory=question.memory, scratch=question.scratch, shown=shown)
    seconds = FILE_SECONDS if question.file else SECONDS
    return query_postgresql(question.sql, str(question.dsn), seconds=seconds, shown=shown)


def _write(reader: pa.RecordBatchReader, path: Path, file_format: str) -> None:
    import pyarrow.csv  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    make = pyarrow.parquet.ParquetWriter if file_format == "parquet" else pyarrow.csv.CSVWriter
    with make(str(path), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _shown(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _reason(error: Exception) -> str:
    """The engine's message, without details of its driver and quotes from the query."""
    said = str(error).strip()
    if found := _OF_POSTGRESQL.search(said):
        said = found[1]
    return said.split("\n\n")[0].replace("\n", " ")


_OF_POSTGRESQL: Final = re.compile(
    r"\bERROR:\s+(.*?)(?=\n(?:LINE \d|CONTEXT:|Query was)|\n\n|\. SQLSTATE|$)", re.DOTALL
)


if __name__ == "__main__":
    main()
