"""Checks a courier: its configuration, its bucket, the newest file of each entity, its feeds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from heap_courier.couriers.context import Context
from heap_courier.couriers.lock import checked
from heap_courier.couriers.work_plan import WorkPlan, read_work_plan
from heap_courier.documents.wording import listed
from heap_courier.errors import UnreadableFileError, failure_of_file
from heap_courier.feeds.column_mapping import map_columns
from heap_courier.files.bucket import Bucket
from heap_courier.files.days import Days
from heap_courier.files.entities import FileEntity
from heap_courier.files.fileset import (
    FetchedFile,
    FilesEntity,
    Found,
    Hit,
    Missing,
    fetch,
    find,
    missing_error,
    missing_member_error,
)
from heap_courier.files.room import Room
from heap_courier.formats.file_format import AVRO, PARQUET
from heap_courier.formats.readers import chunks, schema
from heap_courier.heap_connect.private.private_columns import private_columns
from heap_courier.heap_connect.pull import manifest_keys
from heap_courier.project.model import Courier

_RECENT: Final = timedelta(days=7)  # days that are listed one by one before all files are listed
_LARGEST: Final = 256 << 20  # bytes; a larger file is not fetched, only probed for access
_MAGIC: Final = {b"Obj\x01": AVRO, b"PAR1": PARQUET}


def check_courier(context: Context, courier: Courier) -> str:
    """Checks a courier; returns a sentence about what was found.

    Raises:
        CourierError: why a run would fail.
    """
    work_plan = read_work_plan(context.project, courier)
    work_plan.expect_known_feeds()
    bucket = Bucket(courier, context.environment)
    if work_plan.heap_connect:
        private_columns(work_plan.heap_connect, context.environment)
        dumps = manifest_keys(bucket)
        bucket.probe(dumps[-1])
        count = "is 1 dump" if len(dumps) == 1 else f"are {len(dumps):,} dumps"
        return f"There {count} in {bucket}; the newest is `{dumps[-1]}`."
    newest = {entity: _newest(bucket, entity, context.now().date()) for entity in work_plan.entities}
    lacking = [Missing(entity.pattern, None, _tags(entity)) for entity, hit in newest.items() if not hit]
    required = [entity for entity in work_plan.entities if not entity.optional]
    if any(newest[entity] is None for entity in required) or not any(newest.values()):
        raise missing_error(bucket, lacking)
    hits = tuple(hit for hit in newest.values() if hit)
    with checked(context, courier) as folder:
        _expect_readable(bucket, work_plan, hits, folder, Room(context.project.limits))
    with context.warehouse() as warehouse:
        work_plan.expect_active_feeds(warehouse)
    return f"The newest files in {bucket} are readable: {listed(dict.fromkeys(hit.object.key for hit in hits))}."


def _newest(bucket: Bucket, entity: FilesEntity, today: date) -> Hit | None:
    recent = Days(today - _RECENT, today + timedelta(days=1))
    hits = find(bucket, (entity,), recent).hits or find(bucket, (entity,), None).hits
    return max(hits, key=lambda hit: (hit.day or date.min, hit.object.modified, hit.object.key), default=None)


def _expect_readable(bucket: Bucket, work_plan: WorkPlan, hits: Sequence[Hit], folder: Path, room: Room) -> None:
    for hit in hits:
        bucket.probe(hit.object.key)
    small = tuple(hit for hit in hits if hit.object.size <= _LARGEST)
    fetched = fetch(bucket, Found(small, ()), folder, room=room)
    for damage in fetched.damaged:
        raise damage.error
    if fetched.missing:
        raise missing_member_error(bucket, fetched.missing[0])
    for file in fetched.files:
        _open(work_plan, file)


def _open(work_plan: WorkPlan, file: FetchedFile) -> None:
    with file.path.open("rb") as content:
        found = _MAGIC.get(content.read(4))
    if found and found != file.format.content_type:
        raise UnreadableFileError(
            f"`{file.key}` has the content type `{found}`, but the entity declares it as "
            f"`{file.format.content_type}`: correct its `file/content-type`."
        )
    with failure_of_file(file.key):
        _expect_columns(work_plan, file)


def _expect_columns(work_plan: WorkPlan, file: FetchedFile) -> None:
    incoming = schema(file.path, file.format, file.key, file.most)
    first = next(chunks(file.path, file.format, file.key, file.most), None)
    if first:
        first.decode()
    for operation in work_plan.operations:
        if file.tag in operation.load_tags:
            feed = work_plan.feeds[operation.feed_id]
            map_columns(incoming, feed.fields, key=feed.primary_key, name=file.key)


def _tags(entity: FilesEntity) -> frozenset[str]:
    return frozenset([entity.tag] if isinstance(entity, FileEntity) else [member.tag for member in entity.members])
