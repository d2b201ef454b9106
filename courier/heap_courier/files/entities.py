"""The entities list of a courier: which files it brings, how they are read, and the tag that operations know them by.

The grammar: https://docs.amperity.com/legacy/couriers.html. `heap-connect` is this program's own addition to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from heap_courier.documents.strict_json import JsonObject, read_json
from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import SetupError
from heap_courier.files.file_pattern import FilePattern, parse_pattern
from heap_courier.formats.file_format import CONTENT_TYPES, ENCODINGS, SEPARATORS, FileFormat, is_character, is_encoding

_UNSUPPORTED: Final = ("application/xml", "application/ingest-pack+cbor")
_KINDS: Final = ("file", "archive", "heap-connect")
_ARCHIVES: Final = (".zip", ".tar", ".tgz", ".tar.gz")
HASH: Final = "hash"
LEAVE_OUT: Final = "leave-out"
_TREATMENTS: Final = (HASH, LEAVE_OUT)
# By these, rows are told apart, joined and ordered.
_NEEDED: Final = frozenset(
    {
        *("user_id", "event_id", "session_id", "from_user_id", "to_user_id", "_dump_id"),
        *("time", "joindate", "last_modified", "time_raw", "joindate_raw", "last_modified_raw"),
    }
)
_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_SKIP: Final = "archive/skip-missing-contents"


@dataclass(frozen=True, slots=True)
class FileEntity:
    """Files that are read as they are."""

    pattern: FilePattern
    optional: bool
    tag: str
    format: FileFormat


@dataclass(frozen=True, slots=True)
class Member:
    """Files in an archive: by a name that may hold `*` (up to a slash), or all of them where it is None."""

    name: str | None
    tag: str
    format: FileFormat

    def takes(self, name: str) -> bool:
        """Whether a file of this name in the archive is one of them."""
        if self.name is None:
            return True
        first, *parts = map(re.escape, self.name.split("*"))
        # The nearest place of each part but the last will do: once found, it is not looked for again.
        nearest = "".join(rf"(?=([^/]*?{part}))\{number}" for number, part in enumerate(parts[:-1], 1))
        expression = f"{first}{nearest}[^/]*{parts[-1]}" if parts else first
        return re.fullmatch(expression, name.removeprefix("./")) is not None


@dataclass(frozen=True, slots=True)
class ArchiveEntity:
    """Archives, and what is read of them. A file is that of the first member that it matches."""

    pattern: FilePattern
    optional: bool
    members: tuple[Member, ...]
    skip_missing: bool


class ColumnRule(NamedTuple):
    """What becomes of a column of Heap's tables; `table` may hold `*`."""

    table: str
    column: str
    treatment: str


@dataclass(frozen=True, slots=True)
class HeapConnectEntity:
    """What Heap Connect writes, selected by its manifests; the only entity of its courier.

    Attributes:
        source: of the domain tables, as `Heap` in `Heap:users`.
        tables, exclude: names that may hold `*`; without `tables` it is all of them.
        columns: those that are hashed or left out.
        hash_secret_env: the environment variable with the secret that hashes depend on; there if a column is hashed.
    """

    source: str = "Heap"
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    columns: tuple[ColumnRule, ...] = ()
    hash_secret_env: str | None = None


Entity = FileEntity | ArchiveEntity | HeapConnectEntity


def read_entities(path: Path) -> tuple[Entity, ...]:
    """Reads an entities list.

    Raises:
        SetupError: the file is missing or not as the grammar has it.
    """
    return entities_of(read_json(path), path)


def entities_of(document: Any, path: Path) -> tuple[Entity, ...]:
    """The entities of a list; `path` is the file that holds it, or will.

    Raises:
        SetupError: it is not as the grammar has it.
    """
    if not isinstance(document, list) or not document:
        raise SetupError(f"`{path}`: expected a list of entities in square brackets, with at least one.")
    entities = tuple(_entity(item, f"`{path}`, entity {number}") for number, item in enumerate(document, 1))
    if len(entities) > 1 and any(isinstance(entity, HeapConnectEntity) for entity in entities):
        raise SetupError(
            f"`{path}`: `heap-connect` must be the only entity of its courier; move the others to a courier of their "
            "own."
        )
    return entities


def _entity(item: object, where: str) -> Entity:
    given = JsonObject(item, where)
    kind = given.text("object/type")
    if kind == "heap-connect":
        entity: Entity = _heap_connect(given)
    elif kind == "file":
        pattern = _pattern(given)
        if pattern.ending.endswith(_ARCHIVES):
            raise given.wrong(f"the pattern {pattern.text} matches archives: set `object/type` to `archive`")
        entity = FileEntity(pattern, given.flag("object/optional", default=False), *_land_as(given, "object/land-as"))
    elif kind == "archive":
        entity = _archive(given)
    else:
        raise given.wrong(f"there is no `object/type` `{kind}`{did_you_mean(kind, _KINDS) or _listed(_KINDS)}")
    given.end()
    return entity


def _pattern(given: JsonObject) -> FilePattern:
    text = given.text("object/file-pattern")
    try:
        pattern = parse_pattern(text)
    except SetupError as fault:
        raise SetupError(f"{given.where}: {fault}") from None
    if pattern.ending.endswith((".pgp", ".gpg")):
        raise given.wrong(f"the pattern {pattern.text} matches encrypted files, which are not supported: decrypt them")
    return pattern


def _land_as(given: JsonObject, key: str) -> tuple[str, FileFormat]:
    inner = JsonObject(given.take(key), f"{given.where}, `{key}`")
    tag = inner.text("file/tag")
    content_type = inner.text("file/content-type")
    if content_type not in CONTENT_TYPES:
        reason = "not supported" if content_type in _UNSUPPORTED else "no content type"
        hint = did_you_mean(content_type, CONTENT_TYPES) if reason == "no content type" else ""
        raise inner.wrong(f"`{content_type}` is {reason}{hint or _listed(CONTENT_TYPES)}")
    header_rows = inner.take("file/header-rows", 1)
    if type(header_rows) is not int or header_rows not in (0, 1):
        raise inner.wrong("`file/header-rows` must be 0 or 1")
    separator, quote, escape = (_sign(inner, f"file/{name}") for name in ("separator", "quote", "escape"))
    has_encoding = inner.has("file/encoding")
    encoding = inner.take("file/encoding") if has_encoding else None
    if has_encoding and not is_encoding(encoding):
        raise inner.wrong(f"`file/encoding` must be the name of an encoding{ENCODINGS}")
    if has_encoding and content_type not in SEPARATORS:
        raise inner.wrong(f"`file/encoding` is for delimited text; remove it, because the content is {content_type}")
    inner.end()
    return tag, FileFormat(content_type, header_rows, separator, quote, escape, encoding)


def _sign(given: JsonObject, key: str) -> str | None:
    if not given.has(key):
        return None
    character = given.take(key)
    if key == "file/quote" and character == "":
        return ""  # the file has no quotes
    if not is_character(character):
        raise given.wrong(
            f"`{key}` must be one ASCII character, such as `|`; write a tab as `\\t`, a backslash as `\\\\`"
        )
    return str(character)


def _archive(given: JsonObject) -> ArchiveEntity:
    pattern = _pattern(given)
    if "." in pattern.ending and not pattern.ending.endswith((*_ARCHIVES, ".gz")):
        raise given.wrong(
            f"the pattern {pattern.text} does not match archives ({', '.join(_ARCHIVES)}): set `object/type` to `file`"
        )
    optional = given.flag("object/optional", default=False)
    skip_missing = given.flag(_SKIP, default=False)
    if given.has("object/land-as") and given.has("archive/contents"):
        raise given.wrong(
            "`object/land-as` applies to all files of an archive, `archive/contents` to named ones: remove one"
        )
    if not given.has("archive/contents"):
        return ArchiveEntity(pattern, optional, (Member(None, *_land_as(given, "object/land-as")),), skip_missing)
    contents = given.take("archive/contents")
    inner = JsonObject(contents, f"{given.where}, `archive/contents`")
    skip_missing = inner.flag(_SKIP, default=skip_missing)
    members = tuple(_member(name, contents[name], inner) for name in contents if name != _SKIP)
    if not members:
        raise inner.wrong("name at least one member, or use `object/land-as` for all of them")
    return ArchiveEntity(pattern, optional, members, skip_missing)


def _member(name: str, value: Any, contents: JsonObject) -> Member:
    if name.endswith(":") or not name.strip():
        raise contents.wrong(f"`{name}` is not a file name" + (": remove the colon in the quotes" if name else ""))
    given = JsonObject(value, f"{contents.where}, `{name}`")
    member = Member(name, *_land_as(given, "subobject/land-as"))
    given.end()
    return member


def _heap_connect(given: JsonObject) -> HeapConnectEntity:
    names = []
    for key in ("heap-connect/tables", "heap-connect/exclude"):
        listed = given.take(key, [])
        if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
            raise given.wrong(f"`{key}` must be a list of table names, which may contain `*`")
        names.append(tuple(listed))
    rules = _column_rules(given)
    secret = given.take("heap-connect/hash-secret-env", "")
    if secret and (not isinstance(secret, str) or not _VARIABLE.fullmatch(secret)):
        raise given.wrong(
            "`heap-connect/hash-secret-env` must be the name of an environment variable; the secret itself does not "
            "belong in the file"
        )
    if any(rule.treatment == HASH for rule in rules) != bool(secret):
        reason = "`heap-connect/hash-secret-env` is for hashed columns, and there are none: remove it"
        if not secret:
            reason = (
                "hashed columns need `heap-connect/hash-secret-env`, the name of the environment variable with a secret"
            )
        raise given.wrong(reason)
    tables, exclude = names
    return HeapConnectEntity(given.text("heap-connect/source", "Heap"), tables, exclude, rules, secret or None)


def _column_rules(given: JsonObject) -> tuple[ColumnRule, ...]:
    key = "heap-connect/columns"
    tables = given.take(key, {})
    if not isinstance(tables, dict) or not all(isinstance(columns, dict) for columns in tables.values()):
        raise given.wrong(f'`{key}` must be an object such as {{"users": {{"email": "hash", "phone": "leave-out"}}}}')
    rules = [ColumnRule(table, column, how) for table, columns in tables.items() for column, how in columns.items()]
    for table, column, how in rules:
        if how not in _TREATMENTS:
            hint = did_you_mean(how, _TREATMENTS) if isinstance(how, str) else ""
            raise given.wrong(f"`{key}`, `{table}`, `{column}`: must be `hash` or `leave-out`{hint}")
        if column.lower() in _NEEDED:
            raise given.wrong(
                f"`{key}`, `{table}`: the courier needs `{column}` to tell rows apart, join or order them; remove it"
            )
    return tuple(rules)


def _listed(names: tuple[str, ...]) -> str:
    return f"; supported: {', '.join(names)}"
