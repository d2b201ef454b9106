"""A query on a read-only connection, in a separate process: it cannot write, read files, or outlast its limit.

The console starts `python -m heap_courier.console.query`, which reads a `Question` and writes what was `Found`.
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

from heap_courier.console.engines import BusyError, asked_of_duckdb, asked_of_postgresql
from heap_courier.errors import LaterError, SetupError
from heap_courier.printable import printable

if TYPE_CHECKING:
    import pyarrow as pa

SECONDS: Final = 15.0  # for a query
FILE_SECONDS: Final = 300.0  # for one whose result is written to a file
ROWS: Final = 1_000  # that are shown
LONGEST: Final = 5_000  # characters of a value that is shown
CHARACTERS: Final = 5_000_000  # of all of them
_BUSY: Final = "busy"


@dataclass(frozen=True, slots=True)
class Question:
    """A query.

    Attributes:
        sql: one query.
        path: of a DuckDB file.
        memory: that DuckDB may take.
        dsn: of a PostgreSQL; either this or the path.
        file: to write all rows to; None: the first ones are shown.
        format: of the file, `csv` or `parquet`.
        scratch: a folder for what DuckDB cannot keep in memory.
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
        with tempfile.TemporaryDirectory(prefix="heap-courier-") as scratch:  # a process that is stopped leaves it full
            ran = subprocess.run(  # this program itself
                [sys.executable, "-m", "heap_courier.console.query"],
                input=json.dumps(asdict(replace(question, scratch=scratch))),
                capture_output=True,
                encoding="utf-8",
                cwd=Path(sys.executable).parent,  # not a folder whose modules Python would prefer
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
    """Reads a question on standard input and writes the answer to standard output."""
    json.dump(answer(Question(**json.load(sys.stdin))), sys.stdout)


def answer(question: Question) -> dict[str, Any]:
    """What was found, or `error` with the engine's message."""
    try:
        return asdict(_found(question))
    except BusyError:
        return {"kind": _BUSY, "error": "The warehouse is being written."}
    except Exception as error:  # noqa: BLE001  (the author of the query sees it)
        return {"error": printable(_reason(error)) or type(error).__name__}


def _found(question: Question) -> Found:
    with _asked(question) as reader:
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


def _asked(question: Question) -> AbstractContextManager[pa.RecordBatchReader]:
    shown = None if question.file else (ROWS + 1, LONGEST + 1)
    if question.path:
        return asked_of_duckdb(
            question.sql, question.path, memory=question.memory, scratch=question.scratch, shown=shown
        )
    seconds = FILE_SECONDS if question.file else SECONDS
    return asked_of_postgresql(question.sql, str(question.dsn), seconds=seconds, shown=shown)


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
    """The engine's message, without what is about its driver or quotes the query."""
    said = str(error).strip()
    if found := _OF_POSTGRESQL.search(said):
        said = found[1]
    return said.split("\n\n")[0].replace("\n", " ")


_OF_POSTGRESQL: Final = re.compile(
    r"\bERROR:\s+(.*?)(?=\n(?:LINE \d|CONTEXT:|Query was)|\n\n|\. SQLSTATE|$)", re.DOTALL
)


if __name__ == "__main__":
    main()
