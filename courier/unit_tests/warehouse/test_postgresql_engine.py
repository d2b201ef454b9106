"""PostgreSQL: its errors as sentences, and what only it does. test_upsert.py tests both engines."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from heap_courier.errors import CourierError, LaterError, SetupError
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

PASSWORD = "hunter2"  # noqa: S105  (not a real one)


@pytest.fixture
def warehouse(postgresql: str) -> Iterator[PostgreSQLWarehouse]:
    with closing(PostgreSQLWarehouse(postgresql)) as opened:
        yield opened


@pytest.fixture
def table(warehouse: PostgreSQLWarehouse) -> PostgreSQLWarehouse:
    warehouse.execute("CREATE TABLE t (k text PRIMARY KEY, n bigint CHECK (n < 100))")
    warehouse.execute("INSERT INTO t VALUES ('secret', 1)")
    return warehouse


def refusal(dsn: str) -> CourierError:
    with pytest.raises(CourierError) as refused:
        PostgreSQLWarehouse(dsn)
    assert PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None
    return refused.value


def accepts(dsn: str) -> bool:
    try:
        PostgreSQLWarehouse(dsn).close()
    except SetupError:
        return False
    return True


def end_connection(warehouse: PostgreSQLWarehouse, dsn: str) -> None:
    """As the server does with all connections when it stops."""
    process = warehouse.query("SELECT pg_backend_pid()")[0][0]
    with closing(PostgreSQLWarehouse(dsn)) as other:
        other.query(f"SELECT pg_terminate_backend({process})")
        while other.query(f"SELECT 1 FROM pg_stat_activity WHERE pid = {process}"):
            time.sleep(0.05)


def test_a_stopped_server_is_a_temporary_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refused = refusal(f"postgresql://heap:{PASSWORD}@127.0.0.1:{free.getsockname()[1]}/heap")
    assert isinstance(refused, LaterError)
    assert str(refused) == "The warehouse is unavailable: Connection refused. Try again later."
    assert isinstance(refusal("postgresql:///heap?host=/nowhere"), LaterError)


def test_a_server_that_does_not_respond_is_a_temporary_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        refused = refusal(f"postgresql://heap:{PASSWORD}@127.0.0.1:{port}/heap?connect_timeout=2")
    assert isinstance(refused, LaterError)


def test_an_unknown_database_or_user_is_reported(postgresql_server: str) -> None:
    assert str(refusal(postgresql_server.format("nothing"))) == (
        'Cannot connect to the warehouse: database "nothing" does not exist. Check its address (`dsn`, `dsn-env`).'
    )
    assert str(refusal(postgresql_server.format("postgres").replace("user=heap", "user=nobody"))) == (
        'Cannot connect to the warehouse: role "nobody" does not exist. Check its address (`dsn`, `dsn-env`).'
    )


def test_a_wrong_password_is_reported_without_the_password(postgresql: str, warehouse: PostgreSQLWarehouse) -> None:
    rules = Path(parse_qs(urlsplit(postgresql).query)["host"][0]) / "data/pg_hba.conf"
    rules.write_text(f"local all careful scram-sha-256\n{rules.read_text()}")
    warehouse.execute("CREATE ROLE careful LOGIN PASSWORD 'right'")
    warehouse.query("SELECT pg_reload_conf()")
    address = postgresql.replace("user=heap", "user=careful") + "&password="
    deadline = time.monotonic() + 60
    while accepts(address + PASSWORD):  # until the server has read its access rules
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert str(refusal(address + PASSWORD)) == (
        'Cannot connect to the warehouse: password authentication failed for user "careful". Check its address (`dsn`, '
        "`dsn-env`)."
    )
    PostgreSQLWarehouse(f"{address}right").close()


@pytest.mark.parametrize(
    "dsn",
    [
        f"http://heap:{PASSWORD}@host/heap",
        f"postgresql://heap:{PASSWORD}@[host/heap",
        f"postgresql://heap:my/{PASSWORD}@host/heap",
        f"postgresql://heap:my:{PASSWORD}/@host/heap",
        f"host=h password {PASSWORD}",
        PASSWORD,
    ],
)
def test_an_invalid_address_is_reported_without_the_address(dsn: str) -> None:
    refused = refusal(dsn)
    assert isinstance(refused, SetupError)
    assert str(refused).startswith("The warehouse's address (`dsn`, `dsn-env`) is not valid: it must look like ")


def test_an_unknown_host_is_reported_without_any_part_of_the_password() -> None:
    """Without `%40`, the host is `hunter2@host.invalid`; whether the error is temporary depends on the name server."""
    refusal(f"postgresql://heap:my@{PASSWORD}@host.invalid/heap")


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("INSERT INTO t VALUES ('secret', 1)", "a row violates a constraint of its table (error 23505)."),
        ("INSERT INTO t VALUES ('secret too', 999)", "a row violates a constraint of its table (error 23514)."),
        ("ALTER TABLE t ALTER k TYPE bigint USING k::bigint", "a value does not fit its column (error 22P02)."),
        ("DO $$ BEGIN RAISE EXCEPTION 'secret'; END $$", "a function fails (error P0001)."),
        ("SELECT timeout FROM t", 'column "timeout" does not exist.'),
        ('SELECT * FROM "Connection refused"', 'relation "Connection refused" does not exist.'),
    ],
)
def test_a_refused_statement_is_reported_without_values(table: PostgreSQLWarehouse, sql: str, sentence: str) -> None:
    with pytest.raises(CourierError) as refused:
        table.execute(sql)
    assert str(refused.value) == f"The warehouse refused a statement: {sentence}"
    assert table.query("SELECT k FROM t") == [("secret",)]


def test_a_missing_privilege_is_reported_with_the_remedy(table: PostgreSQLWarehouse, postgresql: str) -> None:
    table.execute("DROP ROLE IF EXISTS guest")
    table.execute("CREATE ROLE guest LOGIN")
    with closing(PostgreSQLWarehouse(postgresql.replace("user=heap", "user=guest"))) as guest:
        for sql, what in [("DELETE FROM t", "table t"), ("CREATE TABLE z (a int)", "schema public")]:
            with pytest.raises(SetupError) as refused:
                guest.execute(sql)
            assert str(refused.value) == (
                f"The warehouse refused a statement: permission denied for {what}. Grant the privilege to "
                "the user in the address."
            )


def test_a_server_stopped_mid_transaction_is_a_temporary_error(table: PostgreSQLWarehouse, postgresql: str) -> None:
    with pytest.raises(LaterError) as ended, table.transaction():  # noqa: PT012
        table.execute("DELETE FROM t")
        end_connection(table, postgresql)
        table.execute("DELETE FROM t")
    assert str(ended.value) == (
        "The warehouse is unavailable: terminating connection due to administrator command. Try again later."
    )
    with pytest.raises(LaterError):
        table.query("SELECT 1")
    with closing(PostgreSQLWarehouse(postgresql)) as again:
        assert again.query("SELECT k FROM t") == [("secret",)]


def test_a_server_stopped_mid_batch_is_a_temporary_error(warehouse: PostgreSQLWarehouse, postgresql: str) -> None:
    batch = pa.record_batch({"n": pa.array([1])})

    def batches() -> Iterator[pa.RecordBatch]:
        yield batch
        end_connection(warehouse, postgresql)
        yield batch

    with pytest.raises(LaterError), warehouse.transaction():
        warehouse.stage("s", batch.schema, batches())


def test_a_lock_timeout_is_a_temporary_error(table: PostgreSQLWarehouse, postgresql: str) -> None:
    with closing(PostgreSQLWarehouse(postgresql)) as other, other.transaction():
        other.lock("t")
        table.execute("SET lock_timeout = 10")
        with pytest.raises(LaterError, match="lock timeout"):
            table.execute("DELETE FROM t")


def test_an_error_swallowed_inside_a_transaction_does_not_count_as_success(
    warehouse: PostgreSQLWarehouse,
) -> None:
    with pytest.raises(SetupError), warehouse.transaction():  # noqa: PT012
        warehouse.execute("CREATE TABLE t (a int)")
        with pytest.raises(SetupError):
            warehouse.execute("SELECT nothing")
    assert dict(warehouse.columns("t")) == {}


def test_a_failed_statement_leaves_the_connection_usable(table: PostgreSQLWarehouse) -> None:
    with pytest.raises(SetupError):
        table.execute("SELECT nothing")
    table.execute("DELETE FROM t")
    assert table.query("SELECT * FROM t") == []


def test_a_load_causes_no_warning_in_the_servers_log(warehouse: PostgreSQLWarehouse, postgresql: str) -> None:
    log = Path(parse_qs(urlsplit(postgresql).query)["host"][0]) / "log"
    before = log.stat().st_size
    rows = pa.RecordBatch.from_pydict({"n": [1]})

    with warehouse.transaction():
        warehouse.stage("staging", rows.schema, [rows, rows])

    assert b"WARNING" not in log.read_bytes()[before:]


def test_queries_are_not_compiled(warehouse: PostgreSQLWarehouse) -> None:
    """Compiling takes seconds for a view of resolved ids of any size. Still off after a failed transaction."""
    with pytest.raises(ZeroDivisionError), warehouse.transaction():
        raise ZeroDivisionError
    assert warehouse.query("SELECT current_setting('jit')") == [("off",)]


def test_of_two_connections_that_fill_a_new_table_one_waits_and_then_finds_it(postgresql: str) -> None:
    rows = pa.record_batch({"k": pa.array([1], pa.int64())})

    def filled(warehouse: PostgreSQLWarehouse) -> str | None:
        with warehouse.transaction():
            return warehouse.fill("new", {"k": "bigint"}, rows.schema, [rows])

    with (
        closing(PostgreSQLWarehouse(postgresql)) as one,
        closing(PostgreSQLWarehouse(postgresql)) as other,
        closing(PostgreSQLWarehouse(postgresql)) as watcher,
        ThreadPoolExecutor(1) as thread,
    ):
        with one.transaction():
            assert one.fill("new", {"k": "bigint"}, rows.schema, [rows])
            second = thread.submit(filled, other)
            while not watcher.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                assert not second.done()

        assert second.result() is None
        assert watcher.query("SELECT * FROM new") == [(1,)]
