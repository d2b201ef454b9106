"""The entities list of a courier: which files it fetches, how they are read, and the tags that operations refer to.

Its grammar is documented in https://docs.amperity.com/legacy/couriers.html; `heap-connect` is an extension of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, TypeAdapter, model_validator

from heap_courier.documents.schema import IN_JSON, LAZY, JsonSection, Location, Schema, reason
from heap_courier.documents.strict_json import read_json
from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import SetupError
from heap_courier.files.file_pattern import FilePattern, parse_pattern
from heap_courier.files.format_settings import Character, ContentType, Encoding, Quote
from heap_courier.formats.file_format import SEPARATORS, FileFormat

_ARCHIVES: Final = (".zip", ".tar", ".tgz", ".tar.gz")
HASH: Final = "hash"
LEAVE_OUT: Final = "leave-out"
_TREATMENTS: Final = (HASH, LEAVE_OUT)
# Columns that identify, join and order rows.
_NEEDED: Final = frozenset(
    {
        *("user_id", "event_id", "session_id", "from_user_id", "to_user_id", "_dump_id"),
        *("time", "joindate", "last_modified", "time_raw", "joindate_raw", "last_modified_raw"),
    }
)
_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class FileEntity:
    """Files that are not archives."""

    pattern: FilePattern
    optional: bool
    tag: str
    format: FileFormat


@dataclass(frozen=True, slots=True)
class Member:
    """Files in an archive, selected by name, in which `*` matches any characters except `/`; None selects all."""

    name: str | None
    tag: str
    format: FileFormat

    def matches(self, name: str) -> bool:
        """Whether this selects the file of this name in the archive."""
        if self.name is None:
            return True
        first, *parts = map(re.escape, self.name.split("*"))
        # For each part but the last, the first occurrence suffices. The look-ahead prevents backtracking to others.
        nearest = "".join(rf"(?=([^/]*?{part}))\{number}" for number, part in enumerate(parts[:-1], 1))
        expression = f"{first}{nearest}[^/]*{parts[-1]}" if parts else first
        return re.fullmatch(expression, name.removeprefix("./")) is not None


@dataclass(frozen=True, slots=True)
class ArchiveEntity:
    """Archives, and which of their files are read. A file belongs to the first member that matches it."""

    pattern: FilePattern
    optional: bool
    members: tuple[Member, ...]
    skip_missing: bool


class ColumnRule(NamedTuple):
    """How a column of Heap's tables is treated; `table` may contain `*`."""

    table: str
    column: str
    treatment: str


@dataclass(frozen=True, slots=True)
class HeapConnectEntity:
    """The files of Heap Connect, found through its manifests; must be the only entity of its courier.

    Attributes:
        source: the source of the domain tables, such as `Heap` in `Heap:users`.
        tables: the names of the tables to load, which may contain `*`; empty: all tables.
        exclude: the names of tables not to load, which may contain `*`.
        columns: the columns that are hashed or left out.
        hash_secret_env: the environment variable with the secret for the hashes; set if a column is hashed.
        history: the names of tables whose history is kept, which may contain `*`.
    """

    source: str = "Heap"
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    columns: tuple[ColumnRule, ...] = ()
    hash_secret_env: str | None = None
    history: tuple[str, ...] = ()


Entity = FileEntity | ArchiveEntity | HeapConnectEntity


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _pattern(value: object) -> FilePattern:
    if not isinstance(value, str):
        raise ValueError("must be text in double quotes")  # noqa: TRY004  (pydantic takes no TypeError)
    try:
        pattern = parse_pattern(_not_blank(value))
    except SetupError as fault:
        raise reason(fault) from None
    if pattern.ending.endswith((".pgp", ".gpg")):
        raise ValueError(f"is {pattern.text}, but encrypted files are not supported: decrypt them before uploading")
    return pattern


def _header_rows(value: object) -> int:
    if type(value) is int and value in (0, 1):
        return value
    raise ValueError("must be 0 or 1")


_Text = Annotated[str, AfterValidator(_not_blank)]
_Pattern = Annotated[FilePattern, PlainValidator(_pattern)]


class _LandAs(JsonSection):
    file_tag: _Text
    file_content_type: ContentType
    file_header_rows: Annotated[int, PlainValidator(_header_rows)] = 1
    file_separator: Character = None
    file_quote: Quote = None
    file_escape: Character = None
    file_encoding: Encoding = None

    @model_validator(mode="after")
    def _encodes_text(self) -> _LandAs:
        if self.file_encoding is not None and self.file_content_type not in SEPARATORS:
            raise ValueError(
                "has `file/encoding`, which is for delimited text: remove it, because the content is "
                f"{self.file_content_type}"
            )
        return self

    def format(self) -> FileFormat:
        return FileFormat(
            self.file_content_type,
            self.file_header_rows,
            self.file_separator,
            self.file_quote,
            self.file_escape,
            self.file_encoding,
        )


class _File(JsonSection):
    object_type: Literal["file"]
    object_file_pattern: _Pattern
    object_optional: bool = False
    object_land_as: _LandAs

    @model_validator(mode="after")
    def _is_one_file(self) -> _File:
        if self.object_file_pattern.ending.endswith(_ARCHIVES):
            raise ValueError(
                f"has the pattern {self.object_file_pattern.text}, which matches archives: set `object/type` to "
                "`archive`"
            )
        return self

    def entity(self) -> FileEntity:
        land_as = self.object_land_as
        return FileEntity(self.object_file_pattern, self.object_optional, land_as.file_tag, land_as.format())


class _Member(JsonSection):
    subobject_land_as: _LandAs


class _Contents(JsonSection):
    """The members by name. One example in the documentation puts `archive/skip-missing-contents` among them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _Member]

    archive_skip_missing_contents: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _are_names(cls, contents: object) -> object:
        for name in contents if isinstance(contents, dict) else ():
            if name.endswith(":") or not name.strip():
                hint = ": remove the colon in the quotes" if name else ""
                raise ValueError(f"has a member `{name}`, which is not a file name{hint}")
        return contents

    @model_validator(mode="after")
    def _has_one(self) -> _Contents:
        if not self.__pydantic_extra__:
            raise ValueError("must list at least one file; for all files of the archive, use `object/land-as` instead")
        return self

    def members(self) -> tuple[Member, ...]:
        settings = {name: member.subobject_land_as for name, member in self.__pydantic_extra__.items()}
        return tuple(Member(name, land_as.file_tag, land_as.format()) for name, land_as in settings.items())


class _Archive(JsonSection):
    object_type: Literal["archive"]
    object_file_pattern: _Pattern
    object_optional: bool = False
    object_land_as: _LandAs | None = None
    archive_contents: _Contents | None = None
    archive_skip_missing_contents: bool = False

    @model_validator(mode="after")
    def _is_archive(self) -> _Archive:
        pattern = self.object_file_pattern
        if "." in pattern.ending and not pattern.ending.endswith((*_ARCHIVES, ".gz")):
            raise ValueError(
                f"has the pattern {pattern.text}, which does not match archives ({', '.join(_ARCHIVES)}): set "
                "`object/type` to `file`"
            )
        if self.object_land_as and self.archive_contents:
            raise ValueError(
                "has both `object/land-as` (for all files of an archive) and `archive/contents` (for files by name): "
                "remove one of them"
            )
        if not self.object_land_as and not self.archive_contents:
            raise ValueError("lacks `object/land-as`, or `archive/contents` for files that are read differently")
        return self

    def entity(self) -> ArchiveEntity:
        skip_missing, land_as, contents = self.archive_skip_missing_contents, self.object_land_as, self.archive_contents
        members: tuple[Member, ...] = ()
        if land_as:
            members = (Member(None, land_as.file_tag, land_as.format()),)
        elif contents:
            members = contents.members()
            if contents.archive_skip_missing_contents is not None:
                skip_missing = contents.archive_skip_missing_contents
        return ArchiveEntity(self.object_file_pattern, self.object_optional, members, skip_missing)


_Tables = Annotated[list[Annotated[str, Field(min_length=1)]], Field(default_factory=list)]


def _treatment(value: object) -> str:
    if isinstance(value, str) and value in _TREATMENTS:
        return value
    near = did_you_mean(value, _TREATMENTS) if isinstance(value, str) else ""
    raise ValueError(f"must be `hash` or `leave-out`{near}")


def _not_needed(columns: dict[str, str]) -> dict[str, str]:
    for column in columns:
        if column.lower() in _NEEDED:
            raise ValueError(f"has `{column}`, which the courier needs to identify, join or order rows: remove it")
    return columns


def _variable(value: str) -> str:
    if value and not _VARIABLE.fullmatch(value):
        raise ValueError("must be the name of an environment variable; the secret itself does not belong in the file")
    return value


def _history(value: object) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("*",) if value else ()
    if isinstance(value, list) and value and all(isinstance(name, str) and name.strip() for name in value):
        return tuple(value)
    raise ValueError('must be `true`, `false`, or a list of names of tables, such as `["users"]`')


_Columns = Annotated[dict[str, Annotated[str, PlainValidator(_treatment)]], AfterValidator(_not_needed)]


class _HeapConnect(JsonSection):
    object_type: Literal["heap-connect"]
    source: Annotated[_Text, Field(alias="heap-connect/source")] = "Heap"
    tables: Annotated[_Tables, Field(alias="heap-connect/tables")]
    exclude: Annotated[_Tables, Field(alias="heap-connect/exclude")]
    columns: Annotated[dict[str, _Columns], Field(alias="heap-connect/columns", default_factory=dict)]
    secret: Annotated[str, AfterValidator(_variable), Field(alias="heap-connect/hash-secret-env")] = ""
    history: Annotated[tuple[str, ...], PlainValidator(_history), Field(alias="heap-connect/history")] = ()

    @model_validator(mode="after")
    def _has_secret_for_hashes(self) -> _HeapConnect:
        is_hashed = any(HASH in columns.values() for columns in self.columns.values())
        if is_hashed and not self.secret:
            raise ValueError(
                "has hashed columns, which need a secret: set `heap-connect/hash-secret-env` to the name of the "
                "environment variable that contains it"
            )
        if self.secret and not is_hashed:
            raise ValueError("has `heap-connect/hash-secret-env`, but no hashed columns: remove it")
        return self

    def entity(self) -> HeapConnectEntity:
        rules = [ColumnRule(table, *rule) for table, columns in self.columns.items() for rule in columns.items()]
        tables, exclude = tuple(self.tables), tuple(self.exclude)
        return HeapConnectEntity(self.source, tables, exclude, tuple(rules), self.secret or None, self.history)


_Section = Annotated[_File | _Archive | _HeapConnect, Field(discriminator="object_type")]


def _has_one(sections: list[Any]) -> list[Any]:
    if not sections:
        raise ValueError("must contain at least one entity")
    if len(sections) > 1 and any(isinstance(section, _HeapConnect) for section in sections):
        raise ValueError(
            "has a `heap-connect` entity besides others, but it must be the only entity of its courier: move the "
            "others to a separate courier"
        )
    return sections


def _place(location: Location, document: object) -> str:  # noqa: ARG001  (a place of any `Schema`)
    """A location in an entities list, for messages: "entity 2, `object/land-as`, `file/tag`"."""
    number, *keys = location
    return ", ".join([f"entity {int(number) + 1}", *(f"`{key}`" for key in keys)])


_SCHEMA: Final = Schema(
    TypeAdapter(Annotated[list[_Section], AfterValidator(_has_one)], config=LAZY),
    _place,
    ("object/type", ("file", "archive", "heap-connect")),
    {**IN_JSON, "list_type": "must be a list in square brackets"},
)


def read_entities(path: Path) -> tuple[Entity, ...]:
    """Reads an entities list.

    Raises:
        SetupError: the file is missing or does not follow the grammar.
    """
    return entities_of(read_json(path), path)


def entities_of(document: Any, path: Path) -> tuple[Entity, ...]:
    """Parses the content of an entities list; `path` is its file, for messages.

    Raises:
        SetupError: it does not follow the grammar.
    """
    return tuple(section.entity() for section in _SCHEMA.parse(document, path))
