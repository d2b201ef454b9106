"""The limit: polars reads the same files into memory, on all cores, and there is no warehouse.

It prints the number of rows. Nothing is checked, cast, deduplicated or kept.

    python benchmarks/pull/with_polars.py URL BUCKET
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import boto3
import polars as pl

MANIFEST = "manifests/sync_1.json"


def main(url: str, bucket: str) -> None:
    """Read the dump."""
    client = boto3.client("s3", endpoint_url=url)

    def content(key: str) -> bytes:
        return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())

    def rows(address: str) -> int:
        return pl.read_avro(BytesIO(content(address.removeprefix(f"s3://{bucket}/")))).height

    tables = json.loads(content(MANIFEST))["tables"]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        print(json.dumps({"rows": sum(pool.map(rows, [file for table in tables for file in table["files"]]))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
