"""Removes data that is older than the project's `retention`, and records that in the run log.

Data that is still needed stays: bookmarks, a feed's sample, the newest sample of a courier, files of a run that can
be restarted, and what the next run of a group depends on.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from filelock import FileLock, Timeout

from heap_courier.couriers.context import Context
from heap_courier.data_types.field_types import in_utc
from heap_courier.documents.wording import size
from heap_courier.feeds.reader import read_feeds
from heap_courier.feeds.samples import folder_of
from heap_courier.groups import slots
from heap_courier.project.model import Project
from heap_courier.warehouse.run_log import COMPLETED, Run, RunLog

WHO: Final = "(retention)"
"""What the run log has as the courier of a removal; no courier can have this name."""
_MARGIN: Final = timedelta(days=7)  # added to how far groups look back at the runs of another group


class _Count(NamedTuple):
    number: int
    size: int


class Removed(NamedTuple):
    """What was removed.

    Attributes:
        samples, files: the number of samples and of kept files.
        size: the bytes of both.
        runs, group_runs: the number of entries of the run log, and of runs of groups.
    """

    samples: int
    files: int
    size: int
    runs: int
    group_runs: int

    def __bool__(self) -> bool:
        return any(self)

    def __str__(self) -> str:
        counts = [
            f"{count:,} {noun}{'' if count == 1 else 's'}"
            for count, noun in (
                (self.samples, "sample"),
                (self.files, "kept file"),
                (self.runs, "run"),
                (self.group_runs, "group run"),
            )
            if count
        ]
        return f"{', '.join(counts)}; {size(self.size)} of files" if counts else "nothing"


def prune(context: Context, *, dry_run: bool = False) -> Removed:
    """Removes what is older than `retention` allows.

    Args:
        context: the context of the project.
        dry_run: whether to only count.

    Raises:
        SetupError: the feeds cannot be read, so it is not known which samples they need; nothing is removed.
        LaterError: the warehouse does not respond; nothing is removed.
    """
    project, now = context.project, context.now()
    ages = project.retention
    if not (ages.samples or ages.runs or ages.files):
        return Removed(0, 0, 0, 0, 0)
    samples = old_samples(project, now - ages.samples) if ages.samples else []
    path = project.warehouse.path
    if path and not path.exists():  # nothing has run yet, so there can only be samples
        count = _removed(samples, dry_run=dry_run)
        return Removed(count.number, 0, count.size, 0, 0)
    with context.warehouse() as warehouse:
        log = RunLog(warehouse)
        log.make()
        slots.prepare(warehouse)
        restartable = [name for name, run in log.latest().items() if run.outcome != COMPLETED]
        count = _removed(samples, dry_run=dry_run)
        files = _Count(0, 0)
        if ages.files:
            files = _remove_files(project, now - ages.files, restartable, dry_run=dry_run)
        with warehouse.transaction():
            runs = group_runs = 0
            if ages.runs:
                runs = log.expire(now - ages.runs, dry_run=dry_run)
                waits = [each.offset for group in project.groups.values() for each in group.constraints]
                group_age = max([ages.runs, *(wait + _MARGIN for wait in waits)])
                group_runs = slots.expire(warehouse, now - group_age, now, dry_run=dry_run)
            found = Removed(count.number, files.number, count.size + files.size, runs, group_runs)
            if found and not dry_run:
                started = in_utc(now)
                run = Run(f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}", WHO, "expired data", started)
                log.begin(run)
                log.end(run, context.now(), COMPLETED, f"Removed {found}.")
    return found


def old_samples(project: Project, before: datetime) -> list[Path]:
    """Samples fetched before `before`, except those of feeds and the newest one of each courier.

    Raises:
        SetupError: the feeds cannot be read.
    """
    feeds = read_feeds(project.feeds)
    needed = {(project.folder / feed.sample.path).resolve() for feed in feeds if feed.sample}
    found = []
    for courier in project.couriers.values():
        files = sorted(_files(folder_of(project, courier)), key=lambda file: file.stat().st_mtime)
        found += [file for file in files[:-1] if _is_older(file, before) and file.resolve() not in needed]
    return found


def _remove_files(project: Project, before: datetime, restartable: Collection[str], *, dry_run: bool) -> _Count:
    """Removes the fetched files of couriers whose last run does not need them, unless a run is in progress."""
    count = _Count(0, 0)
    root = project.folder / ".heap-courier"
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name not in restartable and (folder / "lock").exists():
            with suppress(Timeout), FileLock(folder / "lock", timeout=0):
                old = [file for file in _files(folder / "files") if _is_older(file, before)]
                found = _removed(old, dry_run=dry_run)
                count = _Count(count.number + found.number, count.size + found.size)
    return count


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _is_older(file: Path, before: datetime) -> bool:
    return file.stat().st_mtime < before.timestamp()


def _removed(files: Iterable[Path], *, dry_run: bool) -> _Count:
    """Removes files; counts those that could be removed."""
    sizes = [size for file in files if (size := _removed_one(file, dry_run=dry_run)) is not None]
    return _Count(len(sizes), sum(sizes))


def _removed_one(file: Path, *, dry_run: bool) -> int | None:
    try:
        length = file.stat().st_size
        if not dry_run:
            file.unlink()
    except OSError:
        return None
    return length
