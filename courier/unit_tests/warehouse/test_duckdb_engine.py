"""DuckDB: its errors as sentences, and what only it does. test_upsert.py tests both engines."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from heap_courier.errors import CourierError, LaterError, SchemaError, SetupError
from heap_courier.warehouse.duckdb_engine import PAUSE, DuckDBWarehouse

HOLDER = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"


def never(_seconds: float) -> None:
    pytest.fail("nothing to wait for")


def opened(path: Path, *, read_only: bool = False) -> closing[DuckDBWarehouse]:
    return closing(DuckDBWarehouse(path, read_only=read_only, wait=never))


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline()
        yield holder
        end(holder)


def end(holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdin
    holder.stdin.close()
    holder.wait()


def refusal(path: Path) -> str:
    with pytest.raises(SetupError) as refused:
        DuckDBWarehouse(path, wait=never)
    return str(refused.value)


def test_the_file_and_its_folder_are_created(tmp_path: Path) -> None:
    with opened(tmp_path / "new/folder/heap.duckdb") as warehouse:
        assert warehouse.query("SELECT 1") == [(1,)]
    assert (tmp_path / "new/folder/heap.duckdb").exists()


def test_reading_a_warehouse_does_not_create_it(tmp_path: Path) -> None:
    path = tmp_path / "new/heap.duckdb"
    with pytest.raises(SetupError) as refused:
        DuckDBWarehouse(path, read_only=True, wait=never)
    assert str(refused.value) == f"There is no warehouse `{path}` yet: run a courier or activate a feed first."
    assert not path.parent.exists()


def test_a_read_only_connection_cannot_write(tmp_path: Path) -> None:
    with opened(tmp_path / "heap.duckdb"):
        pass
    with opened(tmp_path / "heap.duckdb", read_only=True) as warehouse:
        with pytest.raises(SetupError):
            warehouse.execute("CREATE TABLE t (a int)")
        assert dict(warehouse.columns("t")) == {}


def test_it_waits_for_a_file_open_in_another_process_and_then_reports_it(tmp_path: Path) -> None:
    waits: list[float] = []
    path = tmp_path / "heap.duckdb"
    with another_process(path) as holder, pytest.raises(LaterError) as refused:
        DuckDBWarehouse(path, patience=3 * PAUSE, wait=waits.append)
    assert str(refused.value) == (
        f"The warehouse `{path}` is open in another process (PID {holder.pid}): stop that process, or try again later."
    )
    assert waits == [PAUSE] * 3


def test_a_file_that_becomes_free_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "heap.duckdb"
    with (
        another_process(path) as holder,
        closing(DuckDBWarehouse(path, wait=lambda _seconds: end(holder))) as warehouse,
    ):
        assert warehouse.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("content", [b"", b"rows, rows, rows\n" * 1000, None])
def test_a_file_of_another_kind_is_not_changed(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clock.lock"  # (not a lock, despite its name)
    if content is None:
        with closing(sqlite3.connect(path)) as sqlite:
            sqlite.execute("CREATE TABLE t (a)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()

    assert refusal(path) == (
        f"The warehouse `{path}` cannot be opened: it is not a DuckDB file. Set another `file` in heap-courier.yaml, "
        "or move this one away."
    )
    assert path.read_bytes() == before


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "heap.duckdb"
    with opened(path) as warehouse:
        warehouse.execute("CREATE TABLE t AS SELECT range AS a FROM range(200000)")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert refusal(path).startswith(f"The warehouse `{path}` cannot be opened: ")


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file/heap.duckdb"
    assert refusal(path) == (
        f"The folder of the warehouse `{path}` cannot be created: File exists. Set another `file` in heap-courier.yaml."
    )
    assert refusal(tmp_path).startswith(f"The warehouse `{tmp_path}` cannot be opened: ")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("INSERT INTO t VALUES ('secret', 1)", "a row violates a constraint of its table"),
        ("SELECT CAST(k AS integer) FROM t", "a value does not have its column's type"),
        ("SELECT strptime(k, '%Y') FROM t", "its input is not valid"),
        ("SELECT 9223372036854775807 + n FROM t", "a number is too large for its column"),
        ("SELECT * FROM nothing", "Catalog Error: Table with name nothing does not exist"),
    ],
)
def test_a_refused_statement_is_reported_without_values(tmp_path: Path, sql: str, reason: str) -> None:
    with opened(tmp_path / "heap.duckdb") as warehouse:
        warehouse.execute("CREATE TABLE t (k text PRIMARY KEY, n bigint)")
        warehouse.execute("INSERT INTO t VALUES ('secret', 1)")
        with pytest.raises(CourierError) as refused:
            warehouse.query(sql)
    assert str(refused.value) == f"The warehouse `{tmp_path / 'heap.duckdb'}` refused a statement: {reason}."


def test_a_transaction_reports_its_first_error_even_if_it_cannot_be_rolled_back(tmp_path: Path) -> None:
    with opened(tmp_path / "heap.duckdb") as warehouse, pytest.raises(ZeroDivisionError), warehouse.transaction():  # noqa: PT012
        warehouse.execute("ROLLBACK")
        raise ZeroDivisionError


def test_an_error_swallowed_inside_a_transaction_does_not_count_as_success(tmp_path: Path) -> None:
    with opened(tmp_path / "heap.duckdb") as warehouse:
        with pytest.raises(SetupError), warehouse.transaction():  # noqa: PT012
            warehouse.execute("CREATE TABLE t (k integer PRIMARY KEY)")
            warehouse.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(SchemaError):
                warehouse.execute("INSERT INTO t VALUES (1)")
        assert dict(warehouse.columns("t")) == {}


def test_transactions_of_one_process_run_one_after_another(tmp_path: Path) -> None:
    """DuckDB would refuse the second of two that change the same row."""
    path = tmp_path / "heap.duckdb"

    def count() -> None:
        with opened(path) as mine:
            for _ in range(20):
                with mine.transaction():
                    mine.execute("UPDATE t SET n = n + 1")

    with opened(path) as warehouse:
        warehouse.execute("CREATE TABLE t AS SELECT 0 AS n")
        threads = [threading.Thread(target=count) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warehouse.query("SELECT n FROM t") == [(60,)]


def test_no_extension_is_downloaded(tmp_path: Path) -> None:
    with opened(tmp_path / "heap.duckdb") as warehouse:
        settings = "SELECT value FROM duckdb_settings() WHERE name LIKE 'auto%_known_extensions'"
        assert warehouse.query(settings) == [("false",), ("false",)]


def test_the_file_can_be_read_by_plain_duckdb(tmp_path: Path) -> None:
    """The file opens with any tool; `Heap:Users` is an ordinary table."""
    with opened(tmp_path / "heap.duckdb") as warehouse:
        warehouse.execute('CREATE TABLE "Heap:Users" AS SELECT 1 AS user_id')
    with duckdb.connect(str(tmp_path / "heap.duckdb"), read_only=True) as plain:
        assert plain.execute('SELECT user_id FROM "Heap:Users"').fetchall() == [(1,)]


def test_threads_can_open_and_close_the_file_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "heap.duckdb"
    with opened(path) as warehouse:
        warehouse.execute("CREATE TABLE held (id BIGINT)")

    def look(_number: int) -> int:
        with opened(path) as warehouse:
            count = int(warehouse.query("SELECT count(*) FROM held")[0][0])
        time.sleep(0.002)  # so that at times no thread has it open
        return count

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(look, range(150))) == [0] * 150


@pytest.mark.parametrize("where", ["a statement", "a stream"])
def test_a_signal_interrupts_a_query(tmp_path: Path, where: str) -> None:
    """Ctrl-C, or any exception of another signal's handler: DuckDB turns it into its own error."""
    begun = threading.Event()

    def numbers() -> Iterator[pa.RecordBatch]:
        batch = pa.record_batch({"n": range(1000)})
        begun.set()
        while True:
            yield batch

    def work(warehouse: DuckDBWarehouse) -> None:
        if where == "a stream":
            warehouse.stage("numbers", pa.schema({"n": pa.int64()}), numbers())
        else:
            warehouse.execute("SET threads = 1")  # with more, another one may run the query, and signals wait
            begun.set()
            warehouse.query("SELECT sum(n) FROM range(1000000000000) AS t(n)")

    def interrupt() -> None:
        begun.wait()
        time.sleep(0.5)  # so that the query is running; otherwise this would pass anyway
        os.kill(os.getpid(), signal.SIGINT)

    with opened(tmp_path / "heap.duckdb") as warehouse:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt), warehouse.transaction():
            work(warehouse)
        assert warehouse.query("SELECT 1") == [(1,)]


class Signalled:
    """An object that receives a signal while DuckDB reads it."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise KeyboardInterrupt

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        raise KeyboardInterrupt
        yield


@pytest.mark.parametrize("where", ["the schema", "the stream"])
def test_a_signal_interrupts_duckdb_while_it_begins_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """In a window of a few milliseconds, DuckDB turns it into an error of its own."""

    class Reader(pa.RecordBatchReader):
        @staticmethod
        def from_batches(schema: pa.Schema, _batches: Iterator[pa.RecordBatch]) -> object:
            return Signalled() if where == "the schema" else whole(schema, iter(Signalled()))

    whole = pa.RecordBatchReader.from_batches
    monkeypatch.setattr(pa, "RecordBatchReader", Reader)
    with opened(tmp_path / "heap.duckdb") as warehouse:
        with pytest.raises(KeyboardInterrupt), warehouse.transaction():
            warehouse.stage("numbers", pa.schema({"n": pa.int64()}), [])
        assert warehouse.query("SELECT 1") == [(1,)]


def test_rows_too_wide_for_its_memory_are_reported_with_the_setting(tmp_path: Path) -> None:
    texts = [os.urandom(180_000).hex() for _ in range(100)]
    wide = pa.record_batch({"n": range(100), "text": texts})
    path = tmp_path / "heap.duckdb"

    def land(warehouse: DuckDBWarehouse) -> None:
        warehouse.stage("wide", wide.schema, [wide])
        warehouse.execute("CREATE TABLE held AS FROM wide WHERE n IN (SELECT n FROM wide)")

    with closing(DuckDBWarehouse(path, memory="20MB", wait=time.sleep)) as warehouse:
        with pytest.raises(SetupError) as failed, warehouse.transaction():
            land(warehouse)
        assert str(failed.value) == (
            f"The warehouse `{path}` needs more memory than its limit of 20MB for rows this wide: raise `memory` "
            "under `warehouse` in heap-courier.yaml, for example to 2GB."
        )
        assert warehouse.query("SELECT 1") == [(1,)]


def test_a_stream_that_fails_leaves_all_cores_to_later_statements(tmp_path: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        raise LookupError
        yield

    with opened(tmp_path / "heap.duckdb") as warehouse:
        before = warehouse.query("SELECT current_setting('threads')")
        with pytest.raises(LookupError), warehouse.transaction():
            warehouse.stage("numbers", pa.schema({"n": pa.int64()}), failing())
        assert warehouse.query("SELECT current_setting('threads')") == before
