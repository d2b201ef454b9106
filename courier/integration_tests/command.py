"""A user of `heap-courier`: a project folder, a terminal, a bucket that Heap writes to, and what the tables hold."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timezone
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch as mock_patch

import boto3
import pytest

from courier.unit_tests.forked import forked
from fork_server import Fork
from heap_courier.cli.main import exit_code
from heap_courier.feeds import activation
from heap_courier.feeds.model import Feed
from heap_courier.feeds.writer import write_feed
from heap_courier.project.scaffold import make_project
from heap_courier.signals import Interruption
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

PROGRAM: Final = Path(sys.executable).with_name("heap-courier")
SECONDS: Final = 240
"""After so long a process counts as stuck; nothing here takes a tenth of it but on a very slow machine."""
KEYS: Final = {"AWS_ACCESS_KEY_ID": "anyone", "AWS_SECRET_ACCESS_KEY": "anything"}

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def row(self, name: str) -> list[str]:
        """The cells of the line of a printed table that begins so."""
        (line,) = [line for line in self.out.splitlines() if re.split(" {2,}", line)[0] == name]
        return re.split(" {2,}", line)


@dataclass(frozen=True)
class Streams:
    """What a command in this process reads and writes instead of the terminal."""

    typed: TextIOWrapper
    out: TextIOWrapper
    err: TextIOWrapper

    @classmethod
    def of(cls, typed: str) -> Streams:
        return cls(*(TextIOWrapper(BytesIO(data), "utf-8") for data in (typed.encode(), b"", b"")))

    @staticmethod
    def written(stream: TextIOWrapper) -> str:
        stream.seek(0)
        return stream.read()


@dataclass
class User:
    """Types commands in a project's folder.

    Attributes:
        folder: of the project, which `init` makes.
        s3: the address of an S3.
        dsn: of a PostgreSQL; None: the warehouse is the project's DuckDB file.
    """

    folder: Path
    s3: str
    dsn: str | None = None
    bucket: str = "heap-rs3-acme"
    _started: list[Fork] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = boto3.Session("k", "s", region_name="us-east-1").client("s3", endpoint_url=self.s3)

    def begins(self, source: str = "Heap-Connect") -> None:
        """Makes the bucket and the project, and has the one name the other, as a person would."""
        self.client.create_bucket(Bucket=self.bucket)
        make_project(self.folder)
        self.edit("heap-courier.yaml", "heap-rs3-example", f"{self.bucket}\n    endpoint-url: {self.s3}")
        self.edit("entities/heap-connect.json", '"Heap-Connect"', f'"{source}"')
        if self.dsn:
            self.edit("heap-courier.yaml", "engine: duckdb", "engine: postgresql\n  dsn-env: HEAP_WAREHOUSE")
            self.edit("heap-courier.yaml", "  file: heap.duckdb\n", "")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def types(self, *words: str, typed: str = "") -> Said:
        """A command, from the folder of the project, to its end; in this process, which saves its start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        streams = Streams.of(typed)
        handler = signal.getsignal(signal.SIGTERM)
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(streams.out),
            redirect_stderr(streams.err),
            mock_patch.dict(os.environ, self._environment),
        ):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", [str(PROGRAM), *words])
            patch.setattr(sys, "stdin", streams.typed)
            try:
                code = exit_code(Interruption())
            finally:
                signal.signal(signal.SIGTERM, handler)
        return Said(code, streams.written(streams.out), streams.written(streams.err))

    def start(self, *words: str) -> Fork:
        """A command that keeps running."""
        self.folder.mkdir(parents=True, exist_ok=True)
        process = forked(words, folder=self.folder, environment={**os.environ, **self._environment})
        self._started.append(process)
        return process

    @property
    def _environment(self) -> dict[str, str]:
        return {**KEYS, **({"HEAP_WAREHOUSE": self.dsn} if self.dsn else {})}

    def leaves(self) -> None:
        """Stops all processes of this user that are still running."""
        for process in self._started:
            process.kill()
            process.communicate()

    def puts(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def activates(self, feed: Feed) -> None:
        """Writes a feed and makes its domain table, as `feed activate --no-sample` does."""
        write_feed(feed, self.folder / "feeds" / f"{feed.name.lower()}.yaml")
        with self.warehouse() as warehouse:
            now = datetime.now(timezone.utc)
            activation.activate(warehouse, feed, None, now=now, truncate=False, workers=1)

    def loads(self, **operations: list[dict[str, str]]) -> None:
        """Writes the load operations of the courier `Heap`; `_` replaces the hyphen of a feed's id."""
        named = {feed.replace("_", "-"): listed for feed, listed in operations.items()}
        (self.folder / "load-operations" / "heap.json").write_text(json.dumps(named), encoding="utf-8")

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """Looks into the warehouse past the command."""
        opened: Warehouse = (
            PostgreSQLWarehouse(self.dsn) if self.dsn else DuckDBWarehouse(self.folder / "heap.duckdb", wait=time.sleep)
        )
        with closing(opened):
            yield opened

    def query(self, sql: str) -> Rows:
        with self.warehouse() as warehouse:
            return warehouse.query(sql)

    def tables(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """All rows of all domain tables and views, each value with the name of its column."""
        with self.warehouse() as warehouse:
            return {name: contents(warehouse, name) for name in domain_tables(warehouse)}


def contents(warehouse: Warehouse, table: str) -> Counter[tuple[Any, ...]]:
    """The rows of a table, as often as each is there, columns by name, without the instant of loading."""
    columns = sorted(column for column in warehouse.columns(table) if column != "_updated")
    rows = warehouse.query(f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table)}")
    return Counter(tuple(zip(columns, row, strict=True)) for row in rows)


def until(condition: Callable[[], object], pause: float = 0.005) -> None:
    """Wait for something to come about."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(pause)
