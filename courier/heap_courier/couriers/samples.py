"""Fetches files as samples, which are kept and not loaded."""

from __future__ import annotations

import shutil

from heap_courier.couriers.context import Context
from heap_courier.couriers.lock import locked
from heap_courier.couriers.work_plan import read_work_plan
from heap_courier.feeds.samples import folder_of, keep_sample
from heap_courier.files.bucket import Bucket
from heap_courier.files.days import Days
from heap_courier.files.fileset import FetchedFile, Found, fetch, find, missing_error
from heap_courier.files.room import Room
from heap_courier.heap_connect.pull import newest_files
from heap_courier.project.model import Courier


def sample_courier(context: Context, courier: Courier, days: Days) -> tuple[FetchedFile, ...]:
    """Fetches the files of a courier for these days and keeps them as samples, newest first.

    With Heap Connect, fetches the newest file of each table instead.

    Raises:
        CourierError: they cannot be fetched.
    """
    work_plan = read_work_plan(context.project, courier)
    bucket = Bucket(courier, context.environment)
    with locked(context, courier):
        if work_plan.heap_connect:
            return keep_files(context, bucket, newest_files(bucket, work_plan.heap_connect))
        found = find(bucket, work_plan.entities, days)
        if not found.hits:
            raise missing_error(bucket, found.missing)
        return keep_files(context, bucket, found)


def keep_files(context: Context, bucket: Bucket, found: Found) -> tuple[FetchedFile, ...]:
    """Fetches files and keeps them as samples under their names in the bucket; newest first."""
    context.bar.stage(f"Fetching from {bucket.courier.bucket}", found.size)
    folder = context.work(bucket.courier) / "files"
    fetched = fetch(bucket, found, folder, context.bar.advance, Room(context.project.limits))
    for damage in fetched.damaged:
        raise damage.error
    to = folder_of(context.project, bucket.courier)
    kept = tuple(keep_sample(to, file) for file in fetched.files)
    shutil.rmtree(folder, ignore_errors=True)
    return tuple(sorted(kept, key=lambda file: file.modified, reverse=True))
