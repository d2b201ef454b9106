"""The manifests of Heap Connect: what each dump brings, and what of it is still to be landed.

A dump is complete when its manifest arrives, `manifests/sync_<dump_id>.json`. Its tables bring rows that are new or
have changed or, with `"incremental": false`, all rows that there are. Everything here is pure: documents and bookmarks
in, steps out. Source of the layout: https://docs.heap.io/docs/heap-connect-s3-specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import orjson

from heap_courier.errors import UnreadableFileError

FOLDER: Final = "manifests/"
UNUSED: Final = frozenset({"_event_metadata"})  # tables that Heap lists and that hold nothing for a reader

_DUMPS_END: Final = 2**63
_KEY: Final = re.compile(r"manifests/sync_(\d+)\.json")
_BUCKET: Final = re.compile(r"^s3[an]?://[^/]*/")
_NUMBERS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class ManifestTable:
    """What a dump says of a table.

    Attributes:
        name: as Heap calls it: `users`.
        full: whether the rows are all that the table holds (`"incremental": false`).
        columns: their names, or None where the manifest does not say.
        files: their keys below the courier's prefix, in the order of the numbers in them.
    """

    name: str
    full: bool
    columns: tuple[str, ...] | None
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A complete dump."""

    dump_id: int
    tables: tuple[ManifestTable, ...]


class Bookmark(NamedTuple):
    """What has landed: a file of a table of a dump or, where `file` is empty, that table of the dump itself."""

    dump_id: int
    table: str
    file: str
    full: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A table of a dump that is to be landed, whole or not at all.

    Attributes:
        files: those that have not landed yet; none of them where only columns change, or the table becomes empty.
        late: whether a newer dump of the table has landed before.
        again: whether this dump of the table has landed before, with fewer files.
    """

    dump_id: int
    table: str
    full: bool
    columns: tuple[str, ...] | None
    files: tuple[str, ...]
    late: bool = False
    again: bool = False

    @property
    def replaces(self) -> bool:
        """Whether nothing that the table holds stays."""
        return self.full and not (self.late or self.again)

    @property
    def outdates(self) -> bool:
        """Whether rows of older dumps go, while others that the table holds stay."""
        return self.full and not self.replaces

    @property
    def bookmarks(self) -> tuple[Bookmark, ...]:
        """What holds once it has landed."""
        return tuple(Bookmark(self.dump_id, self.table, file, self.full) for file in ("", *self.files))


def is_manifest(key: str) -> bool:
    """Whether a key, below the courier's prefix, is that of a manifest."""
    return _KEY.fullmatch(key) is not None


def in_order(keys: Iterable[str]) -> list[str]:
    """Keys in the order of the numbers in them: `part-2` before `part-10`."""
    return sorted(
        keys, key=lambda key: ([int(part) if part.isdecimal() else part for part in _NUMBERS.split(key)], key)
    )


def parse_manifest(content: bytes, key: str, prefix: str = "") -> Manifest:
    """Reads a manifest. Keys that are not known are passed over.

    Args:
        content: the document.
        key: what errors call it.
        prefix: where in the bucket the courier's keys begin; addresses of files may lie below it. The bucket that they
            name is not looked at, so that a copy of Heap's bucket is as good.

    Raises:
        UnreadableFileError: it is no manifest.
    """
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UnreadableFileError(f"{_name(key)} is no JSON ({error}); have Heap write it again.") from None
    tables = _value(document, key, "tables", list)
    parsed = tuple(_table(table, key, prefix) for table in tables)
    names = [table.name for table in parsed]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UnreadableFileError(f"{_name(key)} lists the table `{doubled[0]}` twice; have Heap write it again.")
    dump_id = _value(document, key, "dump_id", int)
    if not 0 <= dump_id < _DUMPS_END:
        raise UnreadableFileError(f"{_name(key)} has a `dump_id` of no dump; have Heap write it again.")
    return Manifest(dump_id, parsed)


def plan(
    manifests: Iterable[Manifest], landed: Collection[Bookmark], wanted: Callable[[str], bool] = lambda _table: True
) -> tuple[Step, ...]:
    """The steps that are to be done, dumps ascending.

    Of each table the newest full dump is the floor: what lies below is obsolete. Each file of a dump lands once. A dump
    that arrives after newer ones is landed all the same, unless it lies below the floor; its rows are told apart by
    their dump.
    """
    steps: dict[tuple[int, str], Step] = {}
    for manifest in sorted(manifests, key=lambda manifest: manifest.dump_id):
        for table in manifest.tables:
            if table.name not in UNUSED and wanted(table.name):
                step = Step(manifest.dump_id, table.name, table.full, table.columns, table.files)
                place = (step.dump_id, step.table)
                steps[place] = _together(steps[place], step) if place in steps else step
    floors = _newest([*(mark for mark in landed if mark.full), *(step for step in steps.values() if step.full)])
    newest = _newest(landed)
    # A dump that was incremental at first may have landed once more as a full one.
    done = {(mark.dump_id, mark.table, mark.file): mark.full for mark in sorted(landed)}
    return tuple(
        replace(
            step,
            files=tuple(file for file in step.files if (step.dump_id, step.table, file) not in done),
            late=newest.get(step.table, step.dump_id) > step.dump_id,
            again=(step.dump_id, step.table, "") in done,
        )
        for step in steps.values()
        if step.dump_id >= floors.get(step.table, step.dump_id) and not _settled(step, done)
    )


def _settled(step: Step, done: Mapping[tuple[int, str, str], bool]) -> bool:
    """Whether all that a step would do has been done."""
    landed_full = done.get((step.dump_id, step.table, ""))
    return (
        landed_full is not None
        and landed_full >= step.full
        and all((step.dump_id, step.table, file) in done for file in step.files)
    )


def _together(one: Step, other: Step) -> Step:
    """A table of a dump that two manifests list: a dump delivered twice."""
    files = in_order({*one.files, *other.files})
    return replace(other, full=one.full or other.full, files=tuple(files), columns=other.columns or one.columns)


def _newest(marks: Iterable[Bookmark | Step]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for mark in marks:
        newest[mark.table] = max(mark.dump_id, newest.get(mark.table, mark.dump_id))
    return newest


def _table(document: Any, key: str, prefix: str) -> ManifestTable:
    name = _value(document, key, "name", str)
    columns = _names(document, key, "columns")
    files = _names(document, key, "files") or ()
    incremental = document.get("incremental", True)
    if not isinstance(incremental, bool):
        raise UnreadableFileError(
            f"{_name(key)} says neither true nor false for `incremental` of `{name}`; have Heap write it again."
        )
    return ManifestTable(name, not incremental, columns, tuple(in_order({_key(file, prefix) for file in files})))


def _key(address: str, prefix: str) -> str:
    """The key that an address such as `s3://bucket/sync_1/users/part-0.avro` means, below the courier's prefix."""
    return _BUCKET.sub("", address).removeprefix(prefix)


def _names(document: dict[str, Any], key: str, name: str) -> tuple[str, ...] | None:
    """A list of names, each once, in its order; None where there is none."""
    values = document.get(name)
    if values is None:
        return None
    if not (isinstance(values, list) and all(isinstance(value, str) and value for value in values)):
        raise UnreadableFileError(f"{_name(key)} has no list of names at `{name}`; have Heap write it again.")
    return tuple(dict.fromkeys(values))


def _value(document: Any, key: str, name: str, kind: type) -> Any:
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool) or value == "":
        what = {list: "list", int: "whole number", str: "name"}[kind]
        raise UnreadableFileError(f"{_name(key)} has no {what} at `{name}`; have Heap write it again.")
    return value


def _name(key: str) -> str:
    return f"The manifest {key}"
