"""The fileset of a run: stub until the bucket side's module is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from heap_courier.bucket import Bucket
from heap_courier.days import Days
from heap_courier.entities import Entity, FileEntity, FileFormat


@dataclass(frozen=True, slots=True)
class FetchedFile:
    path: Path
    key: str
    tag: str
    day: date | None
    format: FileFormat
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Found:
    size: int
    items: tuple

    def expect_all(self) -> None:
        pass


def find(bucket: Bucket, entities: tuple[Entity, ...], days: Days | None) -> Found:
    items = []
    for day in days or ():
        for e in entities:
            assert isinstance(e, FileEntity)
            items += [(e, day, o) for o in bucket.list(e.pattern.prefix(day)) if e.pattern.matches(o.key, day)]
    return Found(sum(o.size for _, _, o in items), tuple(items))


def fetch(bucket: Bucket, found: Found, folder: Path, progress: Callable[[int], None]) -> tuple[FetchedFile, ...]:
    files = []
    for e, day, o in found.items:
        p = folder / o.key
        p.parent.mkdir(parents=True, exist_ok=True)
        bucket.fetch(o.key, p, progress)
        files.append(FetchedFile(p, o.key, e.tag, day, e.format, o.size, o.modified))
    return tuple(files)
