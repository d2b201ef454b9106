"""For all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count

import pytest
from adbc_driver_postgresql import dbapi
from hypothesis import settings

from benchmarks.pull.postgresql import PostgreSQL
from benchmarks.pull.postgresql import programs as postgresql_programs

# The same examples in each run, however long they take; `--hypothesis-profile=default` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


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


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of Amazon's services as moto plays them, on this machine; what it holds is everybody's."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  (it takes a second, and few tests need it)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def no_identity_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is known to Amazon's services but whom a test names, and no proxy stands before them."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_REGION", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
