"""An S3 on this machine, and no identity but those that a test gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from courier.integration_tests.heap_place import Place, duckdb
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse


@pytest.fixture(autouse=True)
def nobody(no_identity_of_this_machine: None) -> None:
    """A courier has the identity that its project names."""


@pytest.fixture
def s3(moto_server: str) -> str:
    """The address of an S3 (IAM and STS too) that holds nothing yet and takes any key pair."""
    requests.post(f"{moto_server}/moto-api/reset", timeout=60)
    requests.post(f"{moto_server}/moto-api/reset-auth", data=b"inf", timeout=60)
    return moto_server


@pytest.fixture(params=["duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    opened: Warehouse
    if request.param == "duckdb":
        opened = duckdb(tmp_path)
    else:
        opened = PostgreSQLWarehouse(request.getfixturevalue("postgresql"))
    with closing(opened):
        yield opened


@pytest.fixture
def place(warehouse: Warehouse, tmp_path: Path) -> Place:
    return Place(warehouse, tmp_path)
