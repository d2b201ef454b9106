"""The same with dlt, as its users write it: `fastavro` reads the files, and dlt merges the rows by key into DuckDB.

It runs in a separate environment, because the product does not need dlt; `scripts/bench` creates it.

    python benchmarks/pull/with_dlt.py URL BUCKET DATABASE
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import dlt  # type: ignore[import-not-found]  # (in .venv-bench alone)
import fastavro

MANIFEST = "manifests/sync_1.json"
PAGE = 10_000  # rows yielded at a time
FILE = 100_000  # rows per file between dlt's steps, so that several files are normalised in parallel


def main(url: str, bucket: str, database: str) -> None:
    """Load the dump into the database."""
    dlt.config["runtime.dlthub_telemetry"] = False
    dlt.config["normalize.workers"] = len(os.sched_getaffinity(0))
    dlt.config["data_writer.file_max_items"] = FILE
    client = boto3.client("s3", endpoint_url=url)
    tables = json.loads(client.get_object(Bucket=bucket, Key=MANIFEST)["Body"].read())["tables"]
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench", pipelines_dir=folder, destination=dlt.destinations.duckdb(database), dataset_name="main"
        )
        for table in tables:
            if table["files"]:
                keys = [file.removeprefix(f"s3://{bucket}/") for file in table["files"]]
                pages = dlt.resource(
                    rows(client, bucket, keys, Path(folder)),
                    name=table["name"],
                    primary_key="event_id",
                    write_disposition="merge",
                )
                pipeline.run(pages, loader_file_format="parquet")


def rows(client: Any, bucket: str, keys: list[str], folder: Path) -> Iterator[list[Any]]:
    """The records of files, in pages."""
    path = folder / "file.avro"
    for key in keys:
        client.download_file(bucket, key, str(path))
        with path.open("rb") as file:
            records = fastavro.reader(file)
            while page := list(islice(records, PAGE)):
                yield page


if __name__ == "__main__":
    main(*sys.argv[1:])
