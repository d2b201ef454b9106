"""The manifests of Heap Connect: what each dump contains, and which steps remain to be loaded.

A dump is complete when its manifest arrives, `manifests/sync_<dump_id>.json`. Its tables contain new and changed rows
or, with `"incremental": false`, all rows. Everything here is pure: documents and bookmarks in, steps out. The layout is
documented at https://docs.heap.io/docs/heap-connect-s3-specification.

Pydantic, which validates the project's own documents, has no advantage here: an invalid entry fails only its own table,
so each entry would have to be validated separately, and each error reworded. It is not faster either: a manifest of 500
tables with 10 files each takes 18 ms of CPU time, most of it to sort the files (validation: 1.5 ms, 1.6 with pydantic).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import orjson

from heap_courier.errors import UnreadableFileError

FOLDER: Final = "manifests/"
UNUSED: Final = frozenset({"_event_metadata"})  # tables that Heap lists but that contain nothing useful

_DUMPS_END: Final = 2**63
_KEY: Final = re.compile(r"manifests/sync_(\d+)\.json")
_BUCKET: Final = re.compile(r"^s3[an]?://[^/]*/")
_SCHEMES: Final = ("s3://", "s3a://", "s3n://")
_NUMBERS: Final = re.compile(r"(\d+)")
_REMEDY: Final = "ask Heap to generate it again"


@dataclass(frozen=True, slots=True)
class ManifestTable:
    """A table in a manifest.

    Attributes:
        name: Heap's name, such as `users`.
        full: whether the files contain all rows of the table (`"incremental": false`).
        columns: their names, or None if the manifest does not list them.
        files: their keys below the courier's prefix, in the order of the numbers in them.
        fault: why this entry of the manifest is not valid, or None.
    """

    name: str
    full: bool
    columns: tuple[str, ...] | None
    files: tuple[str, ...]
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A complete dump."""

    dump_id: int
    tables: tuple[ManifestTable, ...]


class Bookmark(NamedTuple):
    """A record of what was loaded: a file of a table of a dump or, if `file` is empty, the table of the dump itself."""

    dump_id: int
    table: str
    file: str
    full: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A table of a dump to be loaded, completely or not at all.

    Attributes:
        files: those not loaded yet; empty if only columns change, or the table becomes empty.
        late: whether a newer dump of the table was loaded already.
        again: whether this dump of the table was loaded already, with fewer files.
        revised: whether this dump of the table is full and was loaded already with files that it no longer lists or,
            for a table with a history, with fewer files: all its files are loaded again and replace its earlier rows.
        obsolete: whether a newer full dump replaces all of its rows, so that only the history needs them.
        fault: why it cannot be loaded, or None.
    """

    dump_id: int
    table: str
    full: bool
    columns: tuple[str, ...] | None
    files: tuple[str, ...]
    late: bool = False
    again: bool = False
    revised: bool = False
    obsolete: bool = False
    fault: str | None = None

    @property
    def replaces(self) -> bool:
        """Whether all stored rows of the table are replaced."""
        return self.full and not self.late and (self.revised or not self.again)

    @property
    def outdated_below(self) -> int | None:
        """Stored rows of dumps below this one are deleted, and others kept; None: no row is deleted for its dump."""
        if not self.full or self.replaces:
            return None
        return self.dump_id + 1 if self.revised else self.dump_id

    @property
    def bookmarks(self) -> tuple[Bookmark, ...]:
        """The bookmarks to record once the step is loaded."""
        return tuple(Bookmark(self.dump_id, self.table, file, self.full) for file in ("", *self.files))


def is_manifest(key: str) -> bool:
    """Whether a key, below the courier's prefix, is that of a manifest."""
    return dump_of(key) is not None


def in_order(keys: Iterable[str]) -> list[str]:
    """Keys in the order of the numbers in them: `part-2` before `part-10`."""
    return sorted(
        keys, key=lambda key: ([int(part) if part.isdecimal() else part for part in _NUMBERS.split(key)], key)
    )


def parse_manifest(content: bytes, key: str, prefix: str = "") -> Manifest:
    """Reads a manifest; unknown keys are ignored.

    Args:
        content: the document.
        key: its key, for error messages.
        prefix: the courier's prefix, which is removed from the addresses of files. The bucket in an address is ignored,
            so that a copy of Heap's bucket works too.

    Raises:
        UnreadableFileError: it is not a valid manifest.
    """
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UnreadableFileError(f"{_name(key)} is not valid JSON ({error}); {_REMEDY}.") from None
    tables = _value(document, key, "tables", list)
    parsed: dict[str, ManifestTable] = {}
    for number, entry in enumerate(tables):
        table = _table_or_fault(entry, number, key, prefix)
        if table.name in parsed:
            fault = f"{_name(key)} lists the table `{table.name}` twice; {_REMEDY}."
            table = replace(table, fault=fault)
        parsed[table.name] = table
    dump_id = _value(document, key, "dump_id", int)
    if not 0 <= dump_id < _DUMPS_END:
        raise UnreadableFileError(f"{_name(key)} has a `dump_id` that is not between 0 and 2^63; {_REMEDY}.")
    return Manifest(dump_id, tuple(parsed.values()))


def dump_of(key: str) -> int | None:
    """The dump whose manifest has this key; None if it is not one."""
    named = _KEY.fullmatch(key)
    return int(named[1]) if named else None


def plan(
    manifests: Iterable[Manifest],
    loaded: Collection[Bookmark],
    wanted: Callable[[str], bool] = lambda _table: True,
    has_history: Callable[[str], bool] = lambda _table: False,
) -> tuple[Step, ...]:
    """The steps to load, dumps ascending.

    The newest full dump of a table is its floor: dumps below it are obsolete. Each file of a dump is loaded once. A
    dump that arrives after newer ones is still loaded, unless it is below the floor; each stored row has the number of
    its dump. For a table with a history, dumps below the floor become obsolete only once the floor itself is loaded.
    """
    steps: dict[tuple[int, str], Step] = {}
    for manifest in sorted(manifests, key=lambda manifest: manifest.dump_id):
        for table in manifest.tables:
            if table.name not in UNUSED and wanted(table.name):
                step = Step(manifest.dump_id, table.name, table.full, table.columns, table.files, fault=table.fault)
                place = (step.dump_id, step.table)
                steps[place] = _together(steps[place], step) if place in steps else step
    landed_floors = _newest(mark for mark in loaded if mark.full)
    floors = _newest([*(mark for mark in loaded if mark.full), *(step for step in steps.values() if step.full)])
    newest = _newest(loaded)
    # A dump that was incremental at first may have been loaded again as a full one.
    done = {(mark.dump_id, mark.table, mark.file): mark.full for mark in sorted(loaded)}
    files_of: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for mark in loaded:
        if mark.file:
            files_of[mark.dump_id, mark.table].add(mark.file)
    planned = []
    for (dump_id, table_name), step in steps.items():
        kept = has_history(table_name)
        again = (dump_id, table_name, "") in done
        is_done = _is_done(step, done)
        lacks_files = not files_of[dump_id, table_name] <= set(step.files)
        revised = again and step.full and (lacks_files or (kept and not is_done))
        obsolete = dump_id < floors.get(table_name, dump_id)
        if (obsolete and not kept) or dump_id < landed_floors.get(table_name, dump_id) or (is_done and not revised):
            continue
        files = step.files if revised else tuple(file for file in step.files if (dump_id, table_name, file) not in done)
        late = newest.get(table_name, dump_id) > dump_id
        planned.append(replace(step, files=files, late=late, again=again, revised=revised, obsolete=obsolete))
    return tuple(planned)


def _is_done(step: Step, done: Mapping[tuple[int, str, str], bool]) -> bool:
    """Whether everything in a step was loaded."""
    loaded_as_full = done.get((step.dump_id, step.table, ""))
    return (
        loaded_as_full is not None
        and loaded_as_full >= step.full
        and all((step.dump_id, step.table, file) in done for file in step.files)
    )


def _together(one: Step, other: Step) -> Step:
    """Merges the steps of a table of a dump that two manifests list, because it was delivered twice."""
    files = in_order({*one.files, *other.files})
    columns = other.columns or one.columns
    return replace(
        other, full=one.full or other.full, files=tuple(files), columns=columns, fault=one.fault or other.fault
    )


def _newest(marks: Iterable[Bookmark | Step]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for mark in marks:
        newest[mark.table] = max(mark.dump_id, newest.get(mark.table, mark.dump_id))
    return newest


def _table_or_fault(document: Any, number: int, key: str, prefix: str) -> ManifestTable:
    """An entry of `tables`; an invalid one fails only its own table."""
    try:
        return _table(document, key, prefix)
    except UnreadableFileError as error:
        name = document.get("name") if isinstance(document, dict) else None
        name = name if isinstance(name, str) and name and "\0" not in name else f"tables[{number}]"
        return ManifestTable(name, full=False, columns=None, files=(), fault=str(error))


def _table(document: Any, key: str, prefix: str) -> ManifestTable:
    name = _value(document, key, "name", str)
    if "\0" in name:
        raise UnreadableFileError(
            f"{_name(key)} lists a table with a NUL character in its name; rename it in Heap, or exclude it."
        )
    columns = _names(document, key, "columns") or None  # every table has columns, so an empty list counts as none
    addresses = _names(document, key, "files") or ()
    incremental = document.get("incremental", True)
    if not isinstance(incremental, bool):
        raise UnreadableFileError(f"{_name(key)} must have true or false in `incremental` of `{name}`; {_REMEDY}.")
    files = in_order({_key(address, prefix) for address in addresses})
    if not all(files):
        raise UnreadableFileError(f"{_name(key)} lists a file of `{name}` whose address has no key; {_REMEDY}.")
    return ManifestTable(name, not incremental, columns, tuple(files))


def _key(address: str, prefix: str) -> str:
    """The key in an address such as `s3://bucket/sync_1/users/part-0.avro`, below the courier's prefix.

    Empty if the address is that of a bucket or a folder.
    """
    key = _BUCKET.sub("", address).removeprefix(prefix)
    return "" if key.endswith("/") or key.startswith(_SCHEMES) else key


def _names(document: dict[str, Any], key: str, name: str) -> tuple[str, ...] | None:
    """A list of texts without duplicates, in its order; None if the entry has none."""
    values = document.get(name)
    if values is None:
        return None
    if not (isinstance(values, list) and all(isinstance(value, str) and value for value in values)):
        raise UnreadableFileError(
            f"{_name(key)} must have a list of texts in `{name}` of `{document['name']}`; {_REMEDY}."
        )
    return tuple(dict.fromkeys(values))


def _value(document: Any, key: str, name: str, kind: type) -> Any:
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool) or value == "":
        what = {list: "a list in", int: "an integer in", str: "a text in"}[kind]
        where = f"`{name}` of each table" if kind is str else f"`{name}`"
        raise UnreadableFileError(f"{_name(key)} must have {what} {where}; {_REMEDY}.")
    return value


def _name(key: str) -> str:
    return f"The manifest {key}"
