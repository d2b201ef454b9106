"""Backups of a DuckDB warehouse, even while other processes use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from heap_courier.errors import LaterError, SetupError
from heap_courier.project.model import WarehouseSettings
from heap_courier.warehouse import backup as the_module
from heap_courier.warehouse.backup import Backup, back_up, restore
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.run_log import RunLog

NOW = datetime(2026, 3, 4, 8, 30, tzinfo=timezone.utc)


@pytest.fixture
def settings(tmp_path: Path) -> WarehouseSettings:
    """The settings of a warehouse with one table of two rows, a view and a run log."""
    settings = WarehouseSettings("duckdb", tmp_path / "heap.duckdb")
    run(
        settings.path,
        'CREATE TABLE "Heap:Users" (id bigint PRIMARY KEY)',
        'INSERT INTO "Heap:Users" VALUES (1), (2)',
        'CREATE VIEW "Heap:All" AS SELECT * FROM "Heap:Users"',
    )
    return settings


def run(path: Path | None, *statements: str) -> None:
    assert path
    with closing(DuckDBWarehouse(path, wait=time.sleep)) as warehouse:
        RunLog(warehouse).make()
        for statement in statements:
            warehouse.execute(statement)


def ids(path: Path | None, table: str = "Heap:All") -> list[int]:
    assert path
    with closing(DuckDBWarehouse(path, read_only=True, wait=time.sleep)) as warehouse:
        return [row[0] for row in warehouse.query(f'SELECT * FROM "{table}" ORDER BY 1')]


def exit_code(code: str, path: object) -> int:
    """The exit code of another process."""
    return subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60).returncode


def test_a_backup_is_restored_and_the_previous_warehouse_is_kept(settings: WarehouseSettings, tmp_path: Path) -> None:
    assert settings.path
    target = tmp_path / "backup.duckdb"
    written = back_up(settings, target)
    assert written == Backup(target, target.stat().st_size, written.tables, 2)
    assert written.tables > 1  # including those of the run log
    assert target.stat().st_mode & 0o777 == 0o600
    run(settings.path, 'INSERT INTO "Heap:Users" VALUES (3)')
    settings.path.chmod(0o640)

    restored, kept = restore(settings, target, NOW, replace=True)
    assert restored == written._replace(path=settings.path)
    assert kept == tmp_path / "heap.duckdb.before-20260304-083000"
    assert ids(settings.path) == ids(target) == [1, 2]
    assert settings.path.stat().st_mode & 0o777 == 0o640  # as before
    assert ids(kept) == [1, 2, 3]
    run(settings.path, 'INSERT INTO "Heap:Users" VALUES (4)')
    assert ids(settings.path) == [1, 2, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([target.name, kept.name, "heap.duckdb"])


def test_files_left_by_a_killed_backup_do_not_stop_the_next(settings: WarehouseSettings, tmp_path: Path) -> None:
    """In a container, each process may have the same id."""
    (tmp_path / f".backup.duckdb.{os.getpid()}").write_bytes(b"left")

    assert back_up(settings, tmp_path / "backup.duckdb").rows == 2


def test_a_backup_is_restored_without_an_existing_warehouse(settings: WarehouseSettings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "backup.duckdb")
    elsewhere = WarehouseSettings("duckdb", tmp_path / "new/folder/heap.duckdb")
    _found, kept = restore(elsewhere, tmp_path / "backup.duckdb", NOW)
    assert kept is None
    assert ids(elsewhere.path) == [1, 2]


def test_the_log_of_a_deleted_warehouse_is_not_applied_to_the_restored_one(
    settings: WarehouseSettings, tmp_path: Path
) -> None:
    assert settings.path
    back_up(settings, tmp_path / "backup.duckdb")
    log = tmp_path / "heap.duckdb.wal"
    with closing(DuckDBWarehouse(settings.path, wait=time.sleep)) as warehouse:
        warehouse.execute('INSERT INTO "Heap:Users" VALUES (3)')
        left = log.read_bytes()
    settings.path.unlink()
    log.write_bytes(left)

    restore(settings, tmp_path / "backup.duckdb", NOW)

    assert ids(settings.path) == [1, 2]
    assert (tmp_path / "heap.duckdb.before-20260304-083000.wal").read_bytes() == left


def test_a_damaged_warehouse_is_replaced_along_with_its_write_ahead_log(
    settings: WarehouseSettings, tmp_path: Path
) -> None:
    """Otherwise its write-ahead log would be applied to the restored file."""
    assert settings.path
    back_up(settings, tmp_path / "backup.duckdb")
    settings.path.write_bytes(b"damaged")
    (tmp_path / "heap.duckdb.wal").write_bytes(b"log")
    _found, kept = restore(settings, tmp_path / "backup.duckdb", NOW, replace=True)
    assert kept
    assert (kept.read_bytes(), kept.with_name(f"{kept.name}.wal").read_bytes()) == (b"damaged", b"log")
    assert ids(settings.path) == [1, 2]


def test_the_backup_has_what_a_killed_process_had_committed(settings: WarehouseSettings, tmp_path: Path) -> None:
    assert settings.path
    code = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); "
        """c.execute('INSERT INTO "Heap:Users" VALUES (3)'); os._exit(9)"""
    )
    assert exit_code(code, settings.path) == 9
    assert (tmp_path / "heap.duckdb.wal").stat().st_size
    back_up(settings, tmp_path / "backup.duckdb")
    assert ids(tmp_path / "backup.duckdb") == [1, 2, 3]


WRITER = """
import duckdb, sys, time
for number in range(100_000):
    try:
        with duckdb.connect(sys.argv[1]) as connection:
            connection.execute("BEGIN")
            for table in "ab":
                connection.execute(f"INSERT INTO {table} VALUES ({number})")
            connection.execute("COMMIT")
    except duckdb.IOException:
        pass
    print(number, flush=True)
"""


def test_backups_made_while_another_process_writes_are_consistent(settings: WarehouseSettings, tmp_path: Path) -> None:
    run(settings.path, "CREATE TABLE a (id bigint)", "CREATE TABLE b (id bigint)")
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(settings.path)], stdout=subprocess.PIPE)
    assert process.stdout
    try:
        found = []
        for number in range(4):
            for _ in range(3):
                process.stdout.readline()
            back_up(settings, tmp_path / f"{number}.duckdb")
            found.append(ids(tmp_path / f"{number}.duckdb", "a"))
            assert ids(tmp_path / f"{number}.duckdb", "b") == found[-1]
        assert len(found[-1]) > len(found[0])
    finally:
        process.kill()
        process.communicate()


def test_it_waits_for_another_process_and_then_reports_it(settings: WarehouseSettings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "backup.duckdb")
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    with pytest.raises(LaterError, match=f"PID {process.pid}"):
        back_up(settings, tmp_path / "other.duckdb", patience=0)
    with pytest.raises(LaterError, match=f"PID {process.pid}"):
        restore(settings, tmp_path / "backup.duckdb", NOW, replace=True, patience=0)
    process.communicate()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.duckdb", "heap.duckdb"]
    back_up(settings, tmp_path / "other.duckdb")


def test_no_process_can_write_while_the_file_is_copied(
    settings: WarehouseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even at the end of the copy: on POSIX, closing any descriptor of the file releases the lock."""
    copy = the_module._copy
    code = "import duckdb, sys\ntry:\n    duckdb.connect(sys.argv[1])\nexcept duckdb.IOException:\n    sys.exit(7)"
    tried: list[int] = []

    def watched(source: object, to: Path) -> None:
        copy(source, to)  # type: ignore[arg-type]
        tried.append(exit_code(code, settings.path))

    monkeypatch.setattr(the_module, "_copy", watched)
    back_up(settings, tmp_path / "backup.duckdb")
    assert tried == [7]


def test_a_refused_backup_or_restore_changes_nothing(settings: WarehouseSettings, tmp_path: Path) -> None:
    target, other, text = (tmp_path / name for name in ("backup.duckdb", "other.duckdb", "text"))
    back_up(settings, target)
    with closing(DuckDBWarehouse(other, wait=time.sleep)) as warehouse:
        warehouse.execute("CREATE TABLE a (id bigint)")
    text.write_text("no database")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refusal(call: object) -> str:
        with pytest.raises(SetupError) as refused:
            call()  # type: ignore[operator]
        return str(refused.value)

    postgresql = WarehouseSettings("postgresql", dsn="postgresql://host/database")
    missing = WarehouseSettings("duckdb", tmp_path / "missing.duckdb")
    assert "already exists" in refusal(lambda: back_up(settings, target))
    assert "`pg_dump`" in refusal(lambda: back_up(postgresql, tmp_path / "x"))
    assert "no warehouse" in refusal(lambda: back_up(missing, tmp_path / "x"))
    assert "use --replace" in refusal(lambda: restore(settings, target, NOW))
    assert "no backup" in refusal(lambda: restore(settings, tmp_path / "x", NOW, replace=True))
    assert "not a backup" in refusal(lambda: restore(settings, other, NOW, replace=True))
    assert "not a DuckDB file" in refusal(lambda: restore(settings, text, NOW, replace=True))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert back_up(settings, target, overwrite=True).rows == 2


def test_a_backup_that_fails_leaves_no_file(
    settings: WarehouseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        back_up(settings, tmp_path / "backup.duckdb")
    assert [path.name for path in tmp_path.iterdir()] == ["heap.duckdb"]
