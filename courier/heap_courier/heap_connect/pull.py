"""Heap Connect for S3: loads the dumps of a bucket into domain tables, in the order of their numbers.

A table of a dump is loaded completely or not at all. If that fails, later dumps of the table wait, and other tables
continue. Only a bucket or a warehouse that does not respond at all stops the run.
"""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from heap_courier.errors import (
    CourierError,
    FeedError,
    InterruptedRunError,
    MissingFilesError,
    SchemaError,
    SetupError,
    UnreadableFileError,
    defect,
    unexpected_failure,
)
from heap_courier.files.bucket import CONNECTIONS, Bucket, Object
from heap_courier.files.entities import FileEntity, HeapConnectEntity
from heap_courier.files.file_pattern import FilePattern
from heap_courier.files.fileset import Found, Hit
from heap_courier.files.room import USUAL, Room
from heap_courier.files.work_folder import create, own_folder
from heap_courier.formats import readers
from heap_courier.heap_connect.all_events import ALL_EVENTS
from heap_courier.heap_connect.loader import Loader, OvertakenError
from heap_courier.heap_connect.manifests import (
    FOLDER,
    Manifest,
    Step,
    dump_of,
    in_order,
    is_manifest,
    parse_manifest,
    plan,
)
from heap_courier.heap_connect.private.private_columns import private_columns
from heap_courier.heap_connect.reading import FORMAT, File
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.parallel import ordered_map
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import TableRun


class _Fetched(NamedTuple):
    """The files of a step, or the error that prevented fetching them."""

    step: Step
    folder: Path
    files: tuple[File, ...] = ()
    error: FeedError | None = None


def pull(
    warehouse: Warehouse,
    bucket: Bucket,
    entity: HeapConnectEntity,
    folder: Path,
    *,
    workers: int,
    environment: Mapping[str, str] = MappingProxyType({}),
    room: Room = USUAL,
    begin: Callable[[str], None] = lambda _what: None,
    advance: Callable[[int], None] = lambda _rows: None,
    note: Callable[[StepResult], None] = lambda _run: None,
) -> Generator[StepResult, None, None]:
    """Loads what was not loaded yet, dump by dump; yields the result of each table of a dump.

    Args:
        warehouse: an open connection, used only in the caller's thread.
        bucket: the bucket that Heap writes to.
        entity: which tables to load, and the source in the names of the domain tables.
        folder: for fetched files while they are needed; its existing content is deleted.
        workers: the number of threads that decode.
        environment: contains the secret for hashed columns.
        room: how much disk space the files may use.
        begin: called with each stage that starts.
        advance: called with the number of rows read.
        note: called with each loaded step, inside its transaction, and with each failed one.

    Raises:
        MissingFilesError: there is no manifest.
        SetupError, LaterError: the bucket or the warehouse failed, or a rule for columns matches nothing; the results
            yielded before that stay loaded.
    """
    loader = Loader(
        warehouse,
        bucket.courier.name,
        entity.source,
        workers=workers,
        advance=advance,
        note=note,
        private=private_columns(entity, environment),
        history=entity.history,
    )
    return _Pull(bucket, entity, folder, loader, room=room, begin=begin, note=note).runs()


def newest_files(bucket: Bucket, entity: HeapConnectEntity) -> Found:
    """One file of each table, from its newest dump that has files, for samples.

    Raises:
        MissingFilesError: there is no manifest.
        UnreadableFileError: a manifest is not valid.
        SetupError, LaterError: the bucket failed.
    """
    prefix = bucket.courier.prefix
    manifests = [parse_manifest(bucket.read(key), key, prefix) for key in manifest_keys(bucket)]
    steps = [step for step in plan(manifests, (), partial(_is_wanted, entity)) if step.files]
    newest = {step.table: step.files[0] for step in steps}  # (dumps ascend)
    hits = []
    for table, key in newest.items():
        file = FileEntity(FilePattern(key, (("text", key),)), optional=False, tag=table, format=FORMAT)
        hits += [Hit(file, found, None) for found in bucket.list(key) if found.key == key]
    return Found(tuple(hits), ())


class _Pull:
    """One run over a bucket."""

    def __init__(
        self,
        bucket: Bucket,
        entity: HeapConnectEntity,
        folder: Path,
        loader: Loader,
        *,
        room: Room,
        begin: Callable[[str], None],
        note: Callable[[StepResult], None],
    ) -> None:
        self._bucket = bucket
        self._entity = entity
        self._folder = folder
        self._loader = loader
        self._room = room
        self._begin = begin
        self._note = note
        self._failed: set[str] = set()
        self._stopped = threading.Event()

    def runs(self) -> Generator[StepResult, None, None]:
        listed = _manifests(self._bucket)
        finished = self._loader.finished()
        manifests: list[Manifest] = []
        written: dict[int, datetime] = {}
        for key, found in zip(listed, ordered_map(self._manifest, listed, workers=CONNECTIONS), strict=True):
            dump_id = found.dump_id if isinstance(found, Manifest) else dump_of(key)
            if dump_id is not None:
                written[dump_id] = min(listed[key].modified, written.get(dump_id, listed[key].modified))
            if isinstance(found, Manifest):
                manifests.append(found)
            elif not self._is_finished(key, finished):
                yield self._not_loaded(StepResult(None, TableRun(key, 1, 0, message=str(found))))
        with own_folder(self._folder) as folder:
            try:
                yield from self._load(manifests, written, finished, folder)
            finally:
                self._stopped.set()

    def _load(
        self,
        manifests: Sequence[Manifest],
        written: Mapping[int, datetime],
        finished: Mapping[int, Collection[str]],
        folder: Path,
    ) -> Iterator[StepResult]:
        """Loads the dumps of the manifests; `written` has the time when each was complete."""
        tables = {table.name for manifest in manifests for table in manifest.tables}
        loaded = self._loader.begin(tables, written)
        is_wanted = partial(_is_wanted, self._entity)
        self._loader.histories.expect_tables(filter(is_wanted, {*tables, *(mark.table for mark in loaded)}))
        steps = plan(manifests, loaded, is_wanted, self._loader.histories.keeps)
        yield from self._loader.protect({mark.table for mark in loaded}, _columns(manifests), folder)
        for table, result in self._loader.catch_up({mark for mark in loaded if is_wanted(mark.table)}):
            if result.run.message:
                self._failed.add(table)
            yield result
        try:
            self._loader.tables.unite_events()
        except (SchemaError, SetupError) as error:
            yield self._not_loaded(
                StepResult(None, TableRun(self._loader.tables.domain_table(ALL_EVENTS), 0, 0, message=str(error)))
            )
        dumps: defaultdict[str, list[int]] = defaultdict(list)
        for step in steps:
            dumps[step.table].append(step.dump_id)
        for fetched in ordered_map(partial(self._fetched, folder), enumerate(steps), workers=1):
            if fetched.step.table not in self._failed:
                yield self._loaded(fetched, dumps[fetched.step.table])
            shutil.rmtree(fetched.folder, ignore_errors=True)
        self._finish(manifests, steps, finished)

    def _is_finished(self, key: str, finished: Mapping[int, Collection[str]]) -> bool:
        """Whether a manifest is no longer needed, and may for example be in cold storage."""
        dump_id = dump_of(key)
        return (
            dump_id is not None
            and dump_id in finished
            and not any(_is_wanted(self._entity, table) for table in finished[dump_id])
        )

    def _finish(
        self, manifests: Iterable[Manifest], steps: Iterable[Step], finished: Mapping[int, Collection[str]]
    ) -> None:
        """Records the dumps that are completely loaded."""
        pending = {step.dump_id for step in steps if step.table in self._failed}
        excluded: dict[int, frozenset[str]] = {}
        for manifest in manifests:
            if manifest.dump_id not in pending and manifest.dump_id not in finished:
                names = frozenset(table.name for table in manifest.tables if not _is_wanted(self._entity, table.name))
                excluded[manifest.dump_id] = excluded.get(manifest.dump_id, frozenset()) | names
        if excluded:
            self._loader.finish(excluded.items())

    def _manifest(self, key: str) -> Manifest | FeedError:
        try:
            return parse_manifest(self._bucket.read(key), key, self._bucket.courier.prefix)
        except CourierError as error:
            return self._of_one_file(error)
        except Exception as error:  # noqa: BLE001  (an error in one manifest must not stop the others)
            return unexpected_failure(key, error)

    def _fetched(self, within: Path, numbered: tuple[int, Step]) -> _Fetched:
        """Fetches the files of a step, one step ahead of loading, in a separate thread.

        If the run was stopped, nothing waits for this thread, so it removes its files itself.
        """
        number, step = numbered
        folder = within / f"{number}"
        if step.table in self._failed:
            return _Fetched(step, folder)
        if step.fault:
            return _Fetched(step, folder, error=UnreadableFileError(step.fault))
        try:
            create(folder)
            listed = self._listed(step.files)
            files = ordered_map(partial(self._file, folder, listed), enumerate(step.files), workers=CONNECTIONS)
            return _Fetched(step, folder, tuple(files))
        except CourierError as error:
            return _Fetched(step, folder, error=self._of_one_file(error))
        except Exception as error:  # noqa: BLE001  (an error in one table must not stop the others)
            return _Fetched(step, folder, error=defect(error))
        finally:
            if self._stopped.is_set():
                shutil.rmtree(within, ignore_errors=True)

    def _continue(self, _bytes: int) -> None:
        if self._stopped.is_set():
            raise InterruptedRunError("The run was stopped while files were being fetched.")

    def _listed(self, keys: Iterable[str]) -> dict[str, Object]:
        """The bucket's listing of these keys, to compare with what is fetched."""
        wanted = set(keys)
        folders = sorted({key.rpartition("/")[0] + "/" for key in keys if "/" in key})
        return {item.key: item for folder in folders for item in self._bucket.list(folder) if item.key in wanted}

    def _file(self, folder: Path, listed: Mapping[str, Object], numbered: tuple[int, str]) -> File:
        number, key = numbered
        path = folder / f"{number}.avro"
        item = listed.get(key)
        if item:
            self._room.expect(folder, item.size, key)
        self._bucket.fetch(item or key, path, self._continue)
        return File(key, path, readers.schema(path, FORMAT, key))

    def _of_one_file(self, error: CourierError) -> FeedError:
        """Turns an error into one about a single file if the bucket still responds; otherwise raises."""
        if isinstance(error, FeedError):
            return error
        if isinstance(error, InterruptedRunError):
            raise error
        next(self._bucket.list(FOLDER), None)
        return UnreadableFileError(str(error))

    def _loaded(self, fetched: _Fetched, dumps: list[int]) -> StepResult:
        """Loads a step, or returns why that failed; `dumps` are all dumps with a step of the table."""
        step = fetched.step
        name = self._loader.tables.domain_table(step.table)
        self._begin(f"{name}, dump {step.dump_id}")
        if fetched.error:
            return self._waiting(step, name, fetched.error, dumps)
        try:
            return self._loader.load(step, fetched.files)
        except FeedError as error:
            failure = error
        except (InterruptedRunError, OvertakenError):
            raise
        except CourierError as error:
            if not self._loader.is_usable():
                raise
            failure = SchemaError(str(error))
        except Exception as error:
            if not self._loader.is_usable():
                raise
            failure = defect(error)
        return self._waiting(step, name, failure, dumps)

    def _waiting(self, step: Step, name: str, failure: FeedError, dumps: list[int]) -> StepResult:
        """A failed step; the later dumps of its table wait for it."""
        message = f"Dump {step.dump_id}: {failure}"
        if step.obsolete:  # its files may have expired in the bucket
            message += " A newer full dump replaces it, but the history lacks its rows."
            return self._not_loaded(StepResult(step.dump_id, TableRun(name, len(step.files), 0, message=message)))
        self._failed.add(step.table)
        if waiting := [dump for dump in dumps if dump > step.dump_id]:
            message += f" Later dumps of the table wait for it: {', '.join(map(str, waiting))}."
        return self._not_loaded(StepResult(step.dump_id, TableRun(name, len(step.files), 0, message=message)))

    def _not_loaded(self, run: StepResult) -> StepResult:
        self._note(run)
        return run


def manifest_keys(bucket: Bucket) -> list[str]:
    """The keys of a bucket's manifests, dumps ascending.

    Raises:
        MissingFilesError: there is none.
    """
    return list(_manifests(bucket))


def _manifests(bucket: Bucket) -> dict[str, Object]:
    """The manifests by their keys. Raises as `manifest_keys` does."""
    found = {item.key: item for item in bucket.list(FOLDER) if is_manifest(item.key)}
    if not found:
        raise MissingFilesError(
            f"There is no manifest `{FOLDER}sync_<dump_id>.json` in {bucket}: wait for the first dump of Heap Connect, "
            "or fix the courier's `bucket` and `prefix`."
        )
    return {key: found[key] for key in in_order(found)}


def _columns(manifests: Iterable[Manifest]) -> dict[str, set[str] | None]:
    """The columns of each table in all manifests; None if a manifest does not list them."""
    columns: dict[str, set[str] | None] = {}
    for table in (table for manifest in manifests for table in manifest.tables):
        known = columns.setdefault(table.name, set())
        columns[table.name] = None if known is None or not table.columns else known | {*table.columns}
    return columns


def _is_wanted(entity: HeapConnectEntity, table: str) -> bool:
    included = not entity.tables or any(fnmatchcase(table, pattern) for pattern in entity.tables)
    return included and not any(fnmatchcase(table, pattern) for pattern in entity.exclude)
