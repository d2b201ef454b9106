"""The fileset of a run: the files in the bucket that match the entities, fetched to this machine."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

from heap_courier.errors import InterruptedRunError, MissingFilesError, UnreadableFileError
from heap_courier.files.archives import unpack
from heap_courier.files.bucket import CONNECTIONS, Bucket, Object
from heap_courier.files.days import Days
from heap_courier.files.entities import ArchiveEntity, FileEntity, Member
from heap_courier.files.file_pattern import FilePattern
from heap_courier.files.room import USUAL, Room
from heap_courier.files.work_folder import clear
from heap_courier.formats.file_format import PARQUET, FileFormat
from heap_courier.formats.gzipped import MOST_UNPACKED
from heap_courier.parallel import ordered_map, result_of

FilesEntity = FileEntity | ArchiveEntity

_SHOWN: Final = 3  # missing files listed in a message
_LOOKED_AT: Final = 10_000  # objects to look at for a suggestion if a file is missing
_LONGEST_NAME: Final = 150

UNPACKED: Final = "unpacked"
"""The subfolder for members of archives, in the folder of the fetched objects."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file of a fileset, on this machine.

    Attributes:
        path: where it is; its name has the same extensions (`.csv.gz`) as the key.
        key: its key in the bucket, relative to the prefix; `archive.zip!users.csv` for a member of an archive.
        tag: how load operations refer to it.
        day: the day in its name; None if its pattern has no date.
        format: how it is read.
        size: its bytes on disk.
        modified: when the object was written to the bucket.
        most: how many bytes it may decompress to, if it is gzipped.
    """

    path: Path
    key: str
    tag: str
    day: date | None
    format: FileFormat
    size: int
    modified: datetime
    most: int = MOST_UNPACKED


class Hit(NamedTuple):
    """An object that matches an entity."""

    entity: FilesEntity
    object: Object
    day: date | None


class Missing(NamedTuple):
    """A pattern that no file matches: on a day, or on any day (None)."""

    pattern: FilePattern
    day: date | None
    tags: frozenset[str]  # of the files that would have matched

    @property
    def text(self) -> str:
        """The pattern and day as messages show them."""
        return self.pattern.text + (f" on {self.day}" if self.day else "")


class MissingMember(NamedTuple):
    """A member missing from an archive; the name is None if any file would have matched."""

    archive: str
    name: str | None
    tags: frozenset[str]

    @property
    def text(self) -> str:
        """The member and archive as messages show them."""
        return f"`{self.name or '*'}` in the archive `{self.archive}`"


class Damage(NamedTuple):
    """An object that could not be fetched or unpacked."""

    error: UnreadableFileError
    tags: frozenset[str]  # of the files that it should have provided


class Found(NamedTuple):
    """The objects of a fileset that are in the bucket, sorted by day and key, and the patterns without a file."""

    hits: tuple[Hit, ...]
    missing: tuple[Missing, ...]

    @property
    def size(self) -> int:
        """The bytes to fetch; archives count as stored."""
        return sum(item.size for item in {hit.object for hit in self.hits})


class Fetched(NamedTuple):
    """The files of a fileset, sorted by day and key, and what is missing or damaged."""

    files: tuple[FetchedFile, ...]
    missing: tuple[MissingMember, ...]
    damaged: tuple[Damage, ...]

    def tagged(self, tags: Collection[str]) -> tuple[FetchedFile, ...]:
        """The files with one of these tags.

        Raises:
            UnreadableFileError: an object that should have provided some of them is damaged.
        """
        for damage in self.damaged:
            if not damage.tags.isdisjoint(tags):
                raise damage.error
        return tuple(file for file in self.files if file.tag in tags)


def find(bucket: Bucket, entities: Sequence[FilesEntity], days: Days | None) -> Found:
    """Looks for the files of certain days; without days, for the files of all days.

    A required pattern that no file matches is missing, on each day. If all patterns are optional, all are missing on a
    day without any file. A pattern without a date matches on every day, and its files are found once.

    Raises:
        SetupError: the bucket cannot be read, or the digits in place of a key's date are not a date.
        LaterError: the bucket does not respond now.
    """

    def hits(search: tuple[FilesEntity, date | None]) -> list[Hit]:
        entity, day = search
        prefix = entity.pattern.prefix(day)
        return [hit for item in bucket.list(prefix) if (hit := _hit(entity, item, day))]

    days_wanted = tuple(days) if days is not None else (None,)
    by_day = {day: [(entity, day and entity.pattern.first_day(day)) for entity in entities] for day in days_wanted}
    searches = tuple(dict.fromkeys(search for searches_of_day in by_day.values() for search in searches_of_day))
    results = dict(zip(searches, ordered_map(hits, searches, workers=CONNECTIONS), strict=True))
    missing = [search for search in searches if not results[search] and not search[0].optional]
    if all(entity.optional for entity in entities):
        for searches_of_day in by_day.values():
            if not any(results[search] for search in searches_of_day):
                missing.extend(searches_of_day)
    return Found(
        tuple(
            sorted(
                (hit for found in results.values() for hit in found), key=lambda hit: _order(hit.day, hit.object.key)
            )
        ),
        tuple(dict.fromkeys(Missing(entity.pattern, day, _tags(entity)) for entity, day in missing)),
    )


def listed(missing: Sequence[Missing | MissingMember]) -> str:
    """The first few missing files as text, and how many more there are."""
    shown = [item.text for item in missing[:_SHOWN]]
    if more := len(missing) - len(shown):
        shown.append(f"{more} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def missing_error(bucket: Bucket, missing: Sequence[Missing]) -> MissingFilesError:
    """The error for missing files, with the newest similar file in the bucket. Raises what `find` raises."""
    nearest = _nearest(bucket, missing[0].pattern)
    found = f"the newest similar file is `{nearest}`" if nearest else "there is no file at all"
    return MissingFilesError(
        f"No file matches {listed(missing)} in {bucket}, and {found}: wait for the file, load another day, or fix "
        "the pattern."
    )


def missing_member_error(bucket: Bucket, missing: MissingMember) -> MissingFilesError:
    """The error for a member missing from an archive."""
    lacking = f"file `{missing.name}`" if missing.name else "files"
    return MissingFilesError(
        f"The archive `{missing.archive}` in {bucket} has no {lacking}: export it again, fix "
        "`archive/contents`, or set `archive/skip-missing-contents`."
    )


def fetch(
    bucket: Bucket,
    found: Found,
    folder: Path,
    progress: Callable[[int], None] | None = None,
    room: Room = USUAL,
) -> Fetched:
    """Fetches the files into a folder, several at a time, and unpacks archives.

    An object that is already in the folder is not fetched again; anything else left there by an earlier run is deleted.

    Args:
        bucket: to fetch from.
        found: the objects to fetch.
        folder: created if it is missing.
        progress: called with the number of new bytes, in total the size of `found`; by one thread at a time.
        room: how much disk space they may use.

    Raises:
        SetupError: the bucket cannot be read, or the folder cannot be written.
        LaterError: the bucket does not respond now.
    """
    stopped = threading.Event()
    lock = threading.Lock()

    def advance(bytes_more: int) -> None:
        if stopped.is_set():
            raise InterruptedRunError("The run was stopped while files were being fetched.")
        if progress:
            with lock:
                progress(bytes_more)

    def fetch_one(item: Object, hits: list[Hit]) -> list[Fetched]:
        path = folder / _local_name(bucket, item, item.key)
        try:
            if path.is_file() and path.stat().st_size == item.size:
                advance(item.size)
            else:
                room.expect(folder, item.size, item.key)
                bucket.fetch(item, path, advance)
        except UnreadableFileError as error:
            return [Fetched((), (), (Damage(error, _tags(hit.entity)),)) for hit in hits]
        return [_files(bucket, hit, path, unpacked, room) for hit in hits]

    # A new folder, because a thread of an interrupted run may still be unpacking the same archive.
    unpacked = folder / UNPACKED / secrets.token_hex(8)
    hits_of: dict[Object, list[Hit]] = {}
    for hit in found.hits:
        hits_of.setdefault(hit.object, []).append(hit)
    clear(folder, {_local_name(bucket, item, item.key) for item in hits_of})
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="fetch") as pool:
        try:
            futures = [pool.submit(fetch_one, item, hits) for item, hits in hits_of.items()]
            parts = [part for future in futures for part in result_of(future)]
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)  # (the end of the block waits for those in progress)
            raise
    return Fetched(
        tuple(sorted((file for part in parts for file in part.files), key=lambda file: _order(file.day, file.key))),
        tuple(member for part in parts for member in part.missing),
        tuple(damage for part in parts for damage in part.damaged),
    )


def _tags(entity: FilesEntity) -> frozenset[str]:
    return frozenset([entity.tag] if isinstance(entity, FileEntity) else [member.tag for member in entity.members])


def _order(day: date | None, key: str) -> tuple[date, str]:
    return day or date.min, key


def _hit(entity: FilesEntity, item: Object, day: date | None) -> Hit | None:
    """The match of an entity and an object, if any.

    A Parquet file may be a folder of that name, as Spark writes it: its parts are one level below the pattern.
    """
    names = [item.key]
    if isinstance(entity, FileEntity) and entity.format.content_type == PARQUET:
        folder, _, part = item.key.rpartition("/")
        names += [folder] if part.lower().endswith(".parquet") else []
    for name in names:
        if entity.pattern.matches_any(name) if day is None else entity.pattern.matches(name, day):
            return Hit(entity, item, day or entity.pattern.day_of(name))
    return None


def _nearest(bucket: Bucket, pattern: FilePattern) -> str | None:
    beginning = pattern.prefix(None)
    for prefix in dict.fromkeys((beginning, beginning[: beginning.rfind("/") + 1], "")):
        newest = max(islice(bucket.list(prefix), _LOOKED_AT), key=attrgetter("modified", "key"), default=None)
        if newest:
            return newest.key
    return None


def _files(bucket: Bucket, hit: Hit, path: Path, unpacked: Path, room: Room) -> Fetched:
    """The files of a fetched object; `unpacked` is the folder for members of archives."""
    entity, item, day = hit
    if isinstance(entity, FileEntity):
        file = FetchedFile(
            path, item.key, entity.tag, day, entity.format, item.size, item.modified, room.limits.unpacked
        )
        return Fetched((file,), (), ())
    members: dict[str, tuple[Member, Path]] = {}

    def place(name: str) -> Path | None:
        for member in entity.members:
            if member.matches(name):
                unpacked.mkdir(parents=True, exist_ok=True)
                members[name] = member, unpacked / _local_name(bucket, item, f"{item.key}!{name}")
                return members[name][1]
        return None

    files = []
    try:
        for name in unpack(path, item.key, place, room):
            member, to = members[name]
            size = to.stat().st_size
            files.append(
                FetchedFile(
                    to, f"{item.key}!{name}", member.tag, day, member.format, size, item.modified, room.limits.unpacked
                )
            )
    except UnreadableFileError as error:
        return Fetched((), (), (Damage(error, _tags(entity)),))
    matched = {member for member, _ in members.values()}
    missing = [
        MissingMember(item.key, member.name, frozenset([member.tag]))
        for member in entity.members
        if member not in matched and not entity.skip_missing
    ]
    return Fetched(tuple(files), tuple(missing), ())


def _local_name(bucket: Bucket, item: Object, key: str) -> str:
    """A file name that is unique to a version of an object, valid on any file system, and ends like the key."""
    digest = hashlib.sha256(f"{bucket}\n{key}\n{item.etag}\n{item.modified.isoformat()}".encode()).hexdigest()[:12]
    return f"{digest}-{re.sub(r'[^A-Za-z0-9._-]', '_', key.rpartition('/')[2])[-_LONGEST_NAME:]}"
