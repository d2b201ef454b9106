"""The reference, as in a simple script: download the files of a dump and insert their rows into SQLite.

One process, one transaction; a row replaces an earlier one with the same event ID. `boto3` downloads, `fastavro` reads.

    python benchmarks/pull/script.py URL BUCKET DATABASE
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import fastavro

MANIFEST = "manifests/sync_1.json"
TYPES = {"long": "INTEGER", "double": "REAL", "boolean": "INTEGER", "string": "TEXT"}


def main(url: str, bucket: str, database: str) -> None:
    """Load the dump into the database."""
    client = boto3.client("s3", endpoint_url=url)
    tables = json.loads(client.get_object(Bucket=bucket, Key=MANIFEST)["Body"].read())["tables"]
    with tempfile.TemporaryDirectory() as folder, sqlite3.connect(database) as connection:
        for table in tables:
            for number, file in enumerate(table["files"]):
                path = Path(folder) / str(number)
                client.download_file(bucket, file.removeprefix(f"s3://{bucket}/"), str(path))
                load(connection, table["name"], path)


def load(connection: sqlite3.Connection, table: str, path: Path) -> None:
    """Insert the rows of a file into a table, created if necessary."""
    with path.open("rb") as file:
        reader = fastavro.reader(file)
        schema: Any = reader.writer_schema
        types = {field["name"]: field["type"][1] for field in schema["fields"]}  # each type is a union with null
        columns = ", ".join(
            f'"{name}" {"INTEGER PRIMARY KEY" if name == "event_id" else TYPES[kind]}' for name, kind in types.items()
        )
        connection.execute(f'CREATE TABLE IF NOT EXISTS "{table}" ({columns})')
        places = ", ".join("?" * len(types))
        connection.executemany(f'INSERT OR REPLACE INTO "{table}" VALUES ({places})', rows(reader, tuple(types)))  # noqa: S608


def rows(records: Any, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The values of each record, in the order of the columns."""
    record: Mapping[str, Any]
    for record in records:
        yield tuple([record[name] for name in names])


if __name__ == "__main__":
    main(*sys.argv[1:])
