"""A local S3 with dumps as Heap Connect writes them; all programs read from it.

    python -m benchmarks.pull.bucket 0x0 1x100000 10x100000    one bucket each, as files x rows per file

It prints its address when all data is there, then for each line of input the seconds of CPU time that it has used so
far, and ends with its standard input, so that it never outlives the process that started it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import NamedTuple

from benchmarks.run import ENVIRONMENT, ROOT

HOST = "127.0.0.1"
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
TABLE = "pageviews"


class Dump(NamedTuple):
    """A dump of one table, in its own bucket."""

    files: int
    rows_of_a_file: int

    def __str__(self) -> str:
        return f"{self.files}x{self.rows_of_a_file}"

    @property
    def rows(self) -> int:
        """Rows in all its files."""
        return self.files * self.rows_of_a_file

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return f"heap-rs3-{self}"


@dataclass(frozen=True, slots=True)
class Server:
    """The server as seen by clients."""

    url: str
    _process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def start(cls, dumps: Iterable[Dump]) -> Iterator[Server]:
        """A server in another process, stopped at the end of the block.

        Raises:
            RuntimeError: it did not start; it has printed the reason.
        """
        process = subprocess.Popen(  # noqa: S603  # this very file
            [sys.executable, "-m", "benchmarks.pull.bucket", *map(str, dumps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**ENVIRONMENT, **KEYS},
            start_new_session=True,  # Ctrl-C goes to its parent, which then stops it
            text=True,
        )
        try:
            assert process.stdout  # noqa: S101  # it is piped
            if not (url := process.stdout.readline().strip()):
                raise RuntimeError("The S3 of this benchmark does not come up.")
            yield cls(url, process)
        finally:
            process.terminate()
            process.communicate()

    def cpu(self) -> float:
        """The CPU time used so far, in seconds."""
        assert self._process.stdin  # noqa: S101
        assert self._process.stdout  # noqa: S101
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(json.loads(self._process.stdout.readline()))


def _serve(dumps: Iterable[Dump]) -> None:
    import boto3  # noqa: PLC0415  (starting the server needs neither, and its process is meant to stay small)
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    sys.path.append(str(ROOT / "courier" / "integration_tests"))
    heap_bucket = import_module("heap_bucket")  # the generator of buckets in the tests

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client("s3", endpoint_url=url)
    for dump in dumps:
        client.create_bucket(Bucket=dump.bucket)
        objects = heap_bucket.big(
            Random(0),  # noqa: S311  # not a secret
            files=dump.files,
            rows=dump.rows_of_a_file,
            table=TABLE,
            bucket=dump.bucket,
        )
        heap_bucket.put(client, dump.bucket, objects)
    try:
        print(url, flush=True)
        for _ in sys.stdin:
            print(json.dumps(time.process_time()), flush=True)
    except BrokenPipeError:  # the parent has stopped; no one reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    server.stop()


if __name__ == "__main__":
    _serve(Dump(*map(int, text.split("x"))) for text in sys.argv[1:])
