"""A bucket that Heap writes to and a warehouse beside it, for tests that pull in process.

The bucket is in memory: most of what a pull takes with S3 is S3's client. test_filesets.py holds it against the real
one, and a `PlaceAtS3` pulls from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, cast

import boto3

from courier.integration_tests.heap_bucket import BUCKET, MIGRATIONS, Dump, TableDump, nullable, objects, put
from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.files.bucket import Bucket
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.heap_connect.pull import pull
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.project.model import Courier, KeyCredential
from heap_courier.warehouse.base import Warehouse, quoted
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

PEOPLE = nullable(user_id="long", email="string")
EVENTS = nullable(event_id="long", user_id="long")

ENVIRONMENT = {"SALT": "a secret of some length", "OTHER": "another one as long as it"}


@dataclass
class Place:
    """A bucket that Heap writes to, by key, and a warehouse."""

    warehouse: Warehouse
    folder: Path
    prefix: str = ""
    name: str = "daily"
    objects: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, datetime] = field(default_factory=dict)

    def write(self, *dumps: Dump) -> None:
        for dump in dumps:
            self.objects.update(objects(dump, Random(dump.dump_id), prefix=self.prefix))

    def keys(self, part: str) -> list[str]:
        return sorted(key for key in self.objects if part in key)

    @property
    def source(self) -> Bucket:
        credential = KeyCredential("test", "KEY", "SECRET")
        courier = Courier(self.name, credential, BUCKET, self.prefix, None, "us-east-1", Path("entities.json"), None)
        return cast("Bucket", MemoryBucket(courier, self.objects, self.written))

    def pull(self, entity: HeapConnectEntity | None = None, **told: Callable[[Any], None]) -> list[StepResult]:
        folder = self.folder / "fetched"
        return list(
            pull(
                self.warehouse,
                self.source,
                entity or HeapConnectEntity(),
                folder,
                workers=2,
                environment=ENVIRONMENT,
                **told,
            )
        )

    def rows(self, table: str, columns: str = "*", order: str = "1") -> list[tuple[Any, ...]]:
        return self.warehouse.query(f"SELECT {columns} FROM {quoted(f'Heap:{table}')} ORDER BY {order}")

    def columns(self, table: str) -> list[str]:
        return list(self.warehouse.columns(f"Heap:{table}"))

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all domain tables and views, columns by name."""
        names = self.warehouse.query("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'Heap:%'")
        found = {}
        for (name,) in names:
            columns = ", ".join(quoted(column) for column in sorted(self.warehouse.columns(name)))
            found[name] = sorted(self.warehouse.query(f"SELECT {columns} FROM {quoted(name)}"), key=repr)
        return found


@dataclass
class PlaceAtS3(Place):
    """With a bucket at this address, which holds nothing else."""

    address: str = ""

    @property
    def source(self) -> Bucket:
        client = boto3.Session("k", "s", region_name="us-east-1").client("s3", endpoint_url=self.address)
        client.create_bucket(Bucket=BUCKET)
        put(client, BUCKET, self.objects.items())
        courier = replace(super().source.courier, endpoint_url=self.address)
        return Bucket(courier, {"KEY": "k", "SECRET": "s"})


def at(*time: int) -> datetime:
    """An instant of 1 March 2026."""
    return datetime(2026, 3, 1, *time)  # noqa: DTZ001  (a Datetime has no zone: it is UTC)


def loaded(*runs: StepResult) -> list[tuple[int | None, str]]:
    assert [run.run.message for run in runs if run.run.message] == []
    return [(run.dump_id, run.run.domain_table) for run in runs]


def failure(runs: list[StepResult]) -> str:
    (message,) = [run.run.message for run in runs if run.run.message]
    return message


def people(*rows: tuple[int, str], types: Any = PEOPLE, full: bool = False, files: int = 1) -> TableDump:
    return TableDump("users", types, tuple({"user_id": user, "email": email} for user, email in rows), full, files)


def events(*rows: tuple[int, int], table: str = "sign_up", full: bool = False, files: int = 1) -> TableDump:
    return TableDump(table, EVENTS, tuple({"event_id": event, "user_id": user} for event, user in rows), full, files)


def moves(*rows: tuple[Any, Any, Any]) -> TableDump:
    return TableDump(
        "user_migrations",
        MIGRATIONS,
        tuple({"from_user_id": old, "to_user_id": new, "time": time} for old, new, time in rows),
        full=True,
        files=1 if rows else 0,
    )


def duckdb(folder: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(folder / "heap.duckdb", wait=lambda _seconds: None)
