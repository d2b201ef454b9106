"""For all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count

import pytest
from adbc_driver_postgresql import dbapi

from benchmarks.pull.postgresql import PostgreSQL
from benchmarks.pull.postgresql import programs as postgresql_programs


def pytest_configure() -> None:
    """Whoever starts the tests behind a shell's `&` has them deaf to Ctrl-C, and with them all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL of this session's own, reached by a socket: its connection string without the database."""
    programs = postgresql_programs()
    if not programs:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with PostgreSQL.start(programs, "fsync=off") as server:
        yield server.dsn("{}")


_databases = count()


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """The connection string of an empty database."""
    name = f"test_{next(_databases)}"
    with (
        dbapi.connect(postgresql_server.format("postgres"), autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE DATABASE {name}")
    return postgresql_server.format(name)
