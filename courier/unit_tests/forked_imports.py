"""What commands of the courier import, in the process that `forked` forks.

Arrow and Polars start threads when they are imported, which no fork has: they only return memory to the system.
"""

from __future__ import annotations

import gc
from importlib import import_module
from pkgutil import iter_modules

import heap_courier.cli

PACKAGES = (
    "adbc_driver_postgresql.dbapi",
    "boto3.s3.inject",
    "botocore.endpoint_provider",
    "duckdb",
    "fastavro",
    "filelock",
    "heap_courier.couriers.run",
    "heap_courier.feeds.ingest",
    "heap_courier.groups.scheduler",
    "heap_courier.heap_connect.pull",
    "heap_courier.warehouse.duckdb_engine",
    "heap_courier.warehouse.postgresql_engine",
    "orjson",
)

for name in (*(f"heap_courier.cli.{module.name}" for module in iter_modules(heap_courier.cli.__path__)), *PACKAGES):
    import_module(name)
gc.freeze()  # otherwise a fork would copy all objects at its first collection
