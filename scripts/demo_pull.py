"""The demo of `bash scripts/demo pull`: loads a local bucket with data as Heap Connect writes it into tables.

It shows both ways: by Heap's manifests, night after night, and by files with a date in their names.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "courier" / "integration_tests"))

import heap_bucket  # noqa: E402  (the tests' generator of buckets)

KEYS = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}  # moto accepts any
OPERATIONS = {"type": "truncate"}, {"type": "load", "file": "users"}


def main() -> int:
    """Run the demo; the exit code is that of the first command that failed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            Demo("http://{}:{}".format(*server.get_host_and_port()), Path(folder) / "heap").run()
    except subprocess.CalledProcessError as error:
        return error.returncode
    finally:
        server.stop()
    return 0


class Demo:
    """Runs the commands that a user would type."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._bucket: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        self._bucket.create_bucket(Bucket=heap_bucket.BUCKET)

    def run(self) -> None:
        """Run the whole demo."""
        nights = heap_bucket.story(Random(2026))  # noqa: S311  (the same story each time)
        self._say(f"A local bucket `{heap_bucket.BUCKET}` with three nightly dumps, as Heap Connect writes them.")
        for night in nights[:-1]:
            self._put(night)
        self._command("init", str(self._folder), project=False)
        self._edit("heap-courier.yaml", "heap-rs3-example", f"{heap_bucket.BUCKET}\n    endpoint-url: {self._url}")
        self._say("(heap-courier.yaml now names the bucket and its address.)")
        self._command("check", "Heap-Connect")
        self._command("run", "Heap-Connect")
        self._command("show", "Heap-Connect:users:resolved", "--limit", "3")
        self._say("The next night's dump arrives: a dropped column is back, and a table is resynced without any rows.")
        self._put(nights[-1])
        self._command("run", "Heap-Connect")
        self._command("run", "Heap-Connect")

        self._say("\nBy file name: a file with a date in its name, a feed, and load operations.")
        users = nights[1].tables[0]
        key = "path/to/users-2026-03-02.avro"
        self._bucket.put_object(Bucket=heap_bucket.BUCKET, Key=key, Body=heap_bucket.avro(users.types, users.rows))
        self._command("sample", "Heap", "--day", "2026-03-02")
        self._command("feed", "add", "Heap:Users", "--sample", f"samples/Heap/{key}")
        self._command("feed", "activate", "Heap:Users", "--no-sample")
        (feed,) = (self._folder / "feeds").iterdir()
        feed_id = next(line.split()[1] for line in feed.read_text().splitlines() if line.startswith("id:"))
        operations = self._folder / "load-operations" / "heap.json"
        operations.write_text(json.dumps({feed_id: OPERATIONS}, indent=2))
        self._say(f"(load-operations/heap.json now contains: {json.dumps({feed_id: OPERATIONS})})")
        self._command("run", "Heap", "--day", "2026-03-02")
        self._command("tables")

    def _put(self, night: heap_bucket.Dump) -> None:
        heap_bucket.put(self._bucket, heap_bucket.BUCKET, heap_bucket.objects(night, Random(night.dump_id)))  # noqa: S311

    def _edit(self, name: str, old: str, new: str) -> None:
        path = self._folder / name
        path.write_text(path.read_text().replace(old, new))

    def _say(self, sentence: str) -> None:
        print(f"\n{sentence}", flush=True)

    def _command(self, *words: str, project: bool = True) -> None:
        shown = [f'"{word}"' if " " in word or word.count(":") > 0 else word for word in words]
        print(f"\n$ heap-courier {' '.join(shown).replace(str(self._folder), 'heap')}", flush=True)
        subprocess.run(  # noqa: S603  (this project's own program)
            [Path(sys.executable).with_name("heap-courier"), *words],
            cwd=self._folder if project else None,
            env={**os.environ, **KEYS},
            check=True,
        )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is closed
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
