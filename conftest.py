"""For all tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi


def pytest_configure() -> None:
    """Whoever starts the tests behind a shell's `&` has them deaf to Ctrl-C, and with them all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL of this session's own, reached by a socket: its connection string without the database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not programs:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="heap-pg-", dir="/tmp"))  # (a socket's path is at most 107 bytes)
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to be run by root
    if user:
        shutil.chown(folder, user)
    initdb = [programs[-1] / "initdb", "-D", folder / "data", "-U", "heap", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True)  # noqa: S603
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [programs[-1] / "postgres", "-D", folder / "data", *options], user=user, cwd=folder, stdout=log, stderr=log
        )
    try:
        dsn = f"postgresql:///{{}}?host={folder}&user=heap"
        _await(dsn.format("postgres"))
        yield dsn
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)


def _await(dsn: str) -> None:
    end = time.monotonic() + 120
    while not _answers(dsn):
        assert time.monotonic() < end, "PostgreSQL does not come up"  # noqa: S101  (this file is for tests)
        time.sleep(0.1)


def _answers(dsn: str) -> bool:
    try:
        dbapi.connect(dsn).close()
    except Error:
        return False
    return True


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
