"""Reads feed files: the YAML that people edit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainValidator, StringConstraints, TypeAdapter

from heap_courier.data_types.field_types import FieldType, parse_type
from heap_courier.documents.schema import Location, Schema, Section, dotted
from heap_courier.documents.strict_yaml import read_yaml
from heap_courier.errors import SetupError
from heap_courier.feeds.model import GENERATED, Feed, Field, Sample
from heap_courier.feeds.rules import check
from heap_courier.files.format_settings import Character, ContentType, Encoding, Quote
from heap_courier.formats.file_format import FileFormat

_PERCENTAGE: Final = re.compile(r"-?\d{1,9}")  # the rules of feeds limit it to 0 to 100


# `read_yaml` leaves every scalar of a feed as text, because a field may be called `on` or `1`.


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a single value")  # noqa: TRY004  (pydantic does not handle TypeError)
    return value


def _type(value: object) -> FieldType:
    text = _text(value)
    try:
        return parse_type(text)
    except ValueError as error:
        sentence = str(error)
        raise ValueError(sentence[:1].upper() + sentence[1:]) from None


def _boolean(value: object) -> bool:
    if (text := _text(value).lower()) not in ("true", "false"):
        raise ValueError("must be `true` or `false`")
    return text == "true"


def _percentage(value: object) -> int:
    if not _PERCENTAGE.fullmatch(text := _text(value)):
        raise ValueError(f"is `{text}`; it must be a whole percentage from 0 to 100")
    return int(text)


def _header_rows(value: object) -> int:
    if (text := _text(value)) not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return int(text)


def _names(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value] if value != "" else []
    if not all(isinstance(name, str) for name in names):
        raise ValueError("must be a list of field names, such as `[user_id]`")
    return tuple(names)


_Boolean = Annotated[bool, PlainValidator(_boolean)]


class _Field(Section):
    name: Annotated[str, StringConstraints(min_length=1)]
    type: Annotated[FieldType, PlainValidator(_type)]
    source: str | None = None
    tag: str = ""
    required: _Boolean = False
    pattern: str = ""

    def field(self) -> Field:
        source = self.name if self.source is None else self.source
        return Field(self.name, self.type, source, self.tag or None, self.required, self.pattern or None)


class _Sample(Section):
    file: str
    content_type: ContentType
    header_rows: Annotated[int, PlainValidator(_header_rows)] = 1
    separator: Character = None
    quote: Quote = None
    escape: Character = None
    encoding: Encoding = None

    def sample(self) -> Sample:
        characters = (self.separator, self.quote, self.escape)
        return Sample(self.file, FileFormat(self.content_type, self.header_rows, *characters, self.encoding))


class _Feed(Section):
    id: str
    source: str
    name: str
    primary_key: Annotated[tuple[str, ...], PlainValidator(_names)] = ()
    last_updated: str = GENERATED
    error_threshold: Annotated[int, PlainValidator(_percentage)] = 1
    stitch: _Boolean = False
    sample: _Sample | None = None
    fields: list[_Field]

    def feed(self) -> Feed:
        return Feed(
            id=self.id,
            source=self.source,
            name=self.name,
            fields=tuple(section.field() for section in self.fields),
            primary_key=self.primary_key,
            last_updated=None if self.last_updated.lower() == GENERATED else self.last_updated,
            error_threshold=self.error_threshold,
            stitch=self.stitch,
            sample=self.sample.sample() if self.sample else None,
        )


def _place(location: Location, document: object) -> str:
    """A place in a feed: "field `email`, `type`", or "field 2, `type`" if its name is missing; "`sample.quote`"."""
    match location, document:
        case ("fields", int(number), *keys), {"fields": [*fields]}:
            match fields[number]:
                case {"name": str(name)} if name:
                    field = f"field `{name}`"
                case _:
                    field = f"field {number + 1}"
            return ", ".join([field, *(f"`{key}`" for key in keys)])
    return dotted(location)


_SCHEMA: Final = Schema(
    TypeAdapter(_Feed),
    _place,
    reasons={
        "list_type": "must be a list: write each field on a line that starts with a hyphen",
        "string_type": "must be a single value",
    },
)


def read_feed(path: Path) -> Feed:
    """Reads and checks a feed file.

    Raises:
        SetupError: it is missing or not valid; the message starts with the file's name.
    """
    feed = _SCHEMA.parse(read_yaml(path, texts=True), path).feed()
    try:
        check(feed)
    except ValueError as error:
        raise SetupError(f"`{path}`: {error}") from None
    return feed


def read_feeds(folder: Path) -> tuple[Feed, ...]:
    """Reads all feed files (`*.yaml`, `*.yml`) of a folder, sorted by name; none if the folder does not exist.

    Raises:
        SetupError: the folder cannot be read, a file is not valid, or two have the same id or domain table (in any
            case).
    """
    try:
        list(folder.iterdir())  # `glob` treats an unreadable folder as an empty one
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise SetupError(f"The feeds folder `{folder}` cannot be read: {error.strerror}.") from None
    feeds = {path: read_feed(path) for path in sorted(folder.glob("*.y*ml"))}
    _refuse_duplicates({path: feed.id for path, feed in feeds.items()}, "id")
    _refuse_duplicates({path: feed.domain_table for path, feed in feeds.items()}, "domain table")
    return tuple(feeds.values())


def _refuse_duplicates(names: Mapping[Path, str], what: str) -> None:
    first: dict[str, Path] = {}
    for path, name in names.items():
        other = first.setdefault(name.lower(), path)
        if other != path:
            raise SetupError(f"`{other}` and `{path}` have the same {what}, `{name}`; change or remove one of them.")
