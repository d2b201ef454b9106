"""Backups of a DuckDB warehouse: one consistent file each, made while other processes use the warehouse.

A backup is a copy of the warehouse's file, made while this process has it open for writing, so that no other process
can write to it. A checkpoint empties the write-ahead log first, so the file alone is complete.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Final, NamedTuple

from heap_courier.errors import LaterError, SetupError
from heap_courier.project.model import WarehouseSettings
from heap_courier.warehouse.base import quoted
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.system_tables import SCHEMA

PATIENCE: Final = 600.0  # seconds to wait for other processes
_CHUNK: Final = 8 << 20


class Backup(NamedTuple):
    """A backup, or a restored warehouse.

    Attributes:
        path: its file.
        size: the size of the file in bytes.
        tables: the number of tables in it.
        rows: the number of rows in all tables.
    """

    path: Path
    size: int
    tables: int
    rows: int


def back_up(
    settings: WarehouseSettings, target: Path, *, overwrite: bool = False, patience: float = PATIENCE
) -> Backup:
    """Writes a backup of the warehouse. If it fails, no file is left behind.

    Args:
        settings: the settings of the warehouse.
        target: the file to write.
        overwrite: whether to replace an existing target.
        patience: seconds to wait until no other process has the warehouse open.

    Raises:
        SetupError: the warehouse is not DuckDB or does not exist, or the target exists.
        LaterError: another process has the warehouse open for too long.
        OSError: the target cannot be written.
    """
    path = _path(settings)
    if not path.exists():
        raise SetupError(f"There is no warehouse `{path}` to back up.")
    if target.exists() and not overwrite:
        raise SetupError(f"`{target}` already exists: choose another name, or use --overwrite.")
    with ExitStack() as stack:
        # The file is closed after the database: closing any descriptor of a file releases the process's lock on it.
        source = stack.enter_context(path.open("rb"))
        partial = stack.enter_context(_partial(target))
        with closing(_opened(path, settings, patience=patience)) as warehouse:
            warehouse.execute("CHECKPOINT")
            _expect_no_log(path)
            before = _counts(warehouse)
            _copy(source, partial)
        _expect_same(before, partial, settings)
        partial.replace(target)
    return _described(target, before)


def restore(
    settings: WarehouseSettings,
    backup: Path,
    now: datetime,
    *,
    replace: bool = False,
    patience: float = PATIENCE,
) -> tuple[Backup, Path | None]:
    """Restores the warehouse from a backup, and keeps the previous warehouse beside it. Call it while no run is active.

    Args:
        settings: the settings of the warehouse.
        backup: the file of the backup.
        now: the current time, which becomes part of the kept warehouse's name.
        replace: whether to replace an existing warehouse.
        patience: seconds to wait until no other process has the warehouse open.

    Returns:
        What was restored, and the path of the previous warehouse; None: there was none.

    Raises:
        SetupError: the warehouse is not DuckDB, it exists and must not be replaced, or the file is not a backup.
        LaterError: another process has the warehouse open for too long.
        OSError: a file cannot be written.
    """
    path = _path(settings)
    if not backup.is_file():
        raise SetupError(f"There is no backup `{backup}`.")
    if path.exists() and not replace:
        raise SetupError(
            f"The warehouse `{path}` already exists: use --replace to restore anyway and keep it under another name."
        )
    with closing(_opened(backup, settings, read_only=True)) as saved:
        counts = _counts(saved)
    if not any(schema == SCHEMA for schema, _ in counts):
        raise SetupError(
            f"`{backup}` is a DuckDB file, but not a backup of a heap-courier warehouse: nothing was restored."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = path.with_name(f"{path.name}.before-{now:%Y%m%d-%H%M%S}")
    kept = earlier if path.exists() else None
    with _partial(path) as partial:
        with backup.open("rb") as source:
            _copy(source, partial)
        _expect_same(counts, partial, settings)
        _copy_owner_and_mode(partial, path)
        if kept is None:
            with suppress(FileNotFoundError):  # the log of a deleted warehouse, which DuckDB would apply to this one
                _log_of(path).replace(_log_of(earlier))
            partial.replace(path)
        else:
            with _held(path, settings, patience) as is_readable:
                _keep(path, kept, is_readable=is_readable)
                partial.replace(path)
    return _described(path, counts), kept


def _path(settings: WarehouseSettings) -> Path:
    if settings.path is None:
        raise SetupError("The warehouse is PostgreSQL: back it up with `pg_dump`, and restore it with `pg_restore`.")
    return settings.path.resolve()


def _opened(
    path: Path, settings: WarehouseSettings, *, read_only: bool = False, patience: float = 0.0
) -> DuckDBWarehouse:
    return DuckDBWarehouse(path, memory=settings.memory, read_only=read_only, patience=patience, wait=time.sleep)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A new file beside the target that only this user can read, because rows are personal data.

    It is removed at the end of the block unless it was renamed.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: IO[bytes], to: Path) -> None:
    with to.open("r+b") as file:
        shutil.copyfileobj(source, file, _CHUNK)
        file.flush()
        os.fsync(file.fileno())


def _copy_owner_and_mode(partial: Path, path: Path) -> None:
    """Gives a file the owner and mode of the one that it replaces: root may restore a file that a daemon writes to.

    If it replaces none, it gets the owner of its folder.
    """
    like = (path if path.exists() else path.parent).stat()
    if path.exists():
        partial.chmod(like.st_mode & 0o777)
    with suppress(OSError):  # only root may
        os.chown(partial, like.st_uid, like.st_gid)


def _counts(warehouse: DuckDBWarehouse) -> Mapping[tuple[str, str], int]:
    """The number of rows of each table, by schema and name."""
    tables = warehouse.query("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal")
    return {
        (schema, name): warehouse.query(f"SELECT count(*) FROM {quoted(schema)}.{quoted(name)}")[0][0]
        for schema, name in tables
    }


def _expect_same(counts: Mapping[tuple[str, str], int], copy: Path, settings: WarehouseSettings) -> None:
    with closing(_opened(copy, settings, read_only=True)) as copied:
        if _counts(copied) != counts:
            raise SetupError("The copy differs from the original: check the disk, then try again.")


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _expect_no_log(path: Path) -> None:
    log = _log_of(path)
    if log.exists() and log.stat().st_size:
        raise LaterError(f"`{log}` is not empty after a checkpoint: try again.")


@contextmanager
def _held(path: Path, settings: WarehouseSettings, patience: float) -> Iterator[bool]:
    """Until the end of the block, the warehouse's file is complete, and no process writes to it.

    Yields False if the file is not a readable warehouse, to which no process writes either.
    """
    try:
        with closing(_opened(path, settings, patience=patience)) as warehouse:
            warehouse.execute("CHECKPOINT")
        # Closing a connection for reading writes nothing, when another file already has the name.
        reading = _opened(path, settings, read_only=True, patience=patience)
    except LaterError:
        raise
    except SetupError:
        yield False
        return
    with closing(reading):
        _expect_no_log(path)
        yield True


def _keep(path: Path, kept: Path, *, is_readable: bool) -> None:
    """Gives a warehouse a second name. It keeps the first until another file replaces it."""
    if not is_readable:
        with suppress(FileNotFoundError):
            _log_of(path).replace(_log_of(kept))
    try:
        kept.hardlink_to(path)
    except FileExistsError:
        raise SetupError(f"`{kept}` already exists: try again in a second.") from None
    except OSError:  # a file system without hard links
        shutil.copyfile(path, kept)


def _described(path: Path, counts: Mapping[tuple[str, str], int]) -> Backup:
    return Backup(path, path.stat().st_size, len(counts), sum(counts.values()))
