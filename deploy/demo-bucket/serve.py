"""A demo bucket for the courier, `heap-rs3-acme`: dumps in Heap Connect's format, and one file of users per day.

    python serve.py FOLDER [PORT]

FOLDER has the certificate and its key, console.crt and console.key. The data is synthetic, and the same at every start.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any, Final

import boto3
from heap_bucket import BUCKET, avro, objects, put, story
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

DAYS: Final = 7
PAUSE: Final = 600  # seconds between checks of the date


def main() -> None:
    """Serve until stopped."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    folder = Path(sys.argv[1])
    certificate = folder / "console.crt"
    app = DomainDispatcherApplication(create_backend_app)
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 9443  # noqa: PLR2004  (the second argument)
    context = (str(certificate), str(folder / "console.key"))
    server = make_server("0.0.0.0", port, app, threaded=True, ssl_context=context)  # noqa: S104  (of a container)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"https://localhost:{server.server_port}"
    keys = {"aws_access_key_id": "demo", "aws_secret_access_key": "demo"}
    bucket = boto3.client("s3", region_name="us-east-1", endpoint_url=address, verify=str(certificate), **keys)
    bucket.create_bucket(Bucket=BUCKET)
    dumps = story(Random(2026))  # noqa: S311  (the same story each time)
    for dump in dumps:
        put(bucket, BUCKET, objects(dump, Random(dump.dump_id)))  # noqa: S311
    users = next(table for table in dumps[1].tables if table.name == "users")
    print(f"The bucket {BUCKET} is at https://bucket:{server.server_port}", flush=True)
    last = datetime.now(timezone.utc).date() - timedelta(days=DAYS)
    while True:
        while last < datetime.now(timezone.utc).date():
            last += timedelta(days=1)
            put_day(bucket, last, avro(users.types, users.rows))
        time.sleep(PAUSE)


def put_day(bucket: Any, day: date, content: bytes) -> None:
    """The file of one day."""
    bucket.put_object(Bucket=BUCKET, Key=f"path/to/users-{day}.avro", Body=content)


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # as the first process of a container it would ignore SIGTERM
    main()
