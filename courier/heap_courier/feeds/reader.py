"""Feed files: the YAML that people edit, read and written."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from heap_courier.data_types import date_patterns
from heap_courier.data_types.field_types import Kind, parse_type
from heap_courier.documents.strict_yaml import read_yaml
from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import SetupError
from heap_courier.feeds import tags
from heap_courier.feeds.model import PRIMARY_KEY, UPDATED, Feed, Field, Sample
from heap_courier.formats.file_format import CONTENT_TYPES, ENCODINGS, FileFormat, is_character, is_encoding

GENERATED: Final = "generated"
"""The value of `last-updated` if no field says when a row was updated."""

ILLEGAL_NAME: Final = (
    "Field names may only contain letters, numbers, and underscores. "
    "If an incoming field name has unsupported characters, add a rename."
)
NAME_CONFLICT: Final = (
    "There is a name conflict in the resulting fields of this feed. "
    "Make sure that none of the field names are duplicated (including any generated fields)."
)
"""Both are literal: https://docs.amperity.com/reference/feeds.html."""

LONGEST_NAME: Final = 63  # of a column in PostgreSQL, which silently truncates longer names
RESERVED: Final = frozenset({PRIMARY_KEY, UPDATED})

_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_ID: Final = re.compile(r"df-[A-Za-z0-9]+")
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
KEYS: Final = ("id", "source", "name", "primary-key", "last-updated", "error-threshold", "stitch", "sample", "fields")
_SAMPLE_KEYS: Final = ("file", "content-type", "header-rows", "separator", "quote", "escape", "encoding")
FIELD_KEYS: Final = ("name", "type", "source", "tag", "required", "pattern")
_MOST_PER_CENT: Final = 100

_TEMPLATE: Final = """\
# A feed defines how rows of a file become rows of the domain table {table}.

id: {id}  # its name in load operations
source: {source}
name: {name}

primary-key: [{primary_key}]  # fields that identify a row, at least one
last-updated: {last_updated}  # the Datetime or Integer field by which the newest row wins; or {generated}
error-threshold: {error_threshold}  # percentage of rows that may be rejected; above it nothing is loaded
stitch: {stitch}  # make it available to Stitch: for tables with personal data
{sample}
# name: of the column: letters, digits and underscores
# type: Boolean, Date, Datetime, Decimal(38, 2), Float, Integer or String
# source: the incoming name, if different; traits.email is a field of the record traits
# tag: its meaning, see below
# required: true: a row without a value is rejected
# pattern: of a Date or Datetime, such as dd.MM.yyyy, if it is neither ISO 8601 nor seconds since 1970
fields:
{fields}

# Tags of profiles: {tags}.
# Tags of keys: {keys}. Any other is a custom tag: lowercase letters, digits, hyphens.
"""


def write_feed(feed: Feed, path: Path) -> None:
    """Writes a feed with comments that say what each key means."""
    text = _TEMPLATE.format(
        table=feed.domain_table,
        id=_scalar(feed.id),
        source=_scalar(feed.source),
        name=_scalar(feed.name),
        primary_key=", ".join(map(_scalar, feed.primary_key)),
        last_updated=_scalar(feed.last_updated or GENERATED),
        generated=GENERATED,
        error_threshold=feed.error_threshold,
        stitch=_scalar(str(feed.stitch).lower()),
        sample=_sample_line(feed.sample) if feed.sample else "",
        fields="\n".join(map(_field_line, feed.fields)),
        tags=", ".join(tags.PROFILE),
        keys=", ".join(tags.KEYS),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def read_feed(path: Path) -> Feed:
    """Reads and checks a feed file.

    Raises:
        SetupError: what is wrong, in a sentence that starts with the file's name.
    """
    parsed = read_yaml(path, texts=True)
    try:
        feed = _feed(parsed)
        check(feed)
    except ValueError as error:
        raise SetupError(f"`{path}`: {error}") from None
    return feed


def read_feeds(folder: Path) -> tuple[Feed, ...]:
    """Reads all feed files (`*.yaml`, `*.yml`) of a folder, sorted by name; none if the folder does not exist.

    Raises:
        SetupError: the folder or a file is wrong, or two of them have the same id or domain table, in whatever case.
    """
    try:
        list(folder.iterdir())  # `glob` takes a folder that cannot be read for an empty one
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise SetupError(f"The folder of feeds `{folder}` cannot be read: {error.strerror}.") from None
    feeds = {path: read_feed(path) for path in sorted(folder.glob("*.y*ml"))}
    _refuse_duplicates({path: feed.id for path, feed in feeds.items()}, "id")
    _refuse_duplicates({path: feed.domain_table for path, feed in feeds.items()}, "domain table")
    return tuple(feeds.values())


def _refuse_duplicates(names: Mapping[Path, str], what: str) -> None:
    first: dict[str, Path] = {}
    for path, name in names.items():
        other = first.setdefault(name.lower(), path)
        if other != path:
            raise SetupError(f"{other} and {path} have the same {what}, `{name}`; change or remove one of them.")


def check(feed: Feed) -> None:
    """Checks a feed against the rules of feeds.

    Raises:
        ValueError: the first rule that it violates, in a sentence.
    """
    if not _ID.fullmatch(feed.id):
        raise ValueError(f"the id `{feed.id}` must be `df-` followed by letters or digits, such as df-5Jagkabc.")
    if not feed.source.strip() or not feed.name.strip() or ":" in feed.source:
        raise ValueError("`source` and `name` form the table's name, `source:name`; set both, without a colon.")
    if not feed.domain_table.isprintable():
        raise ValueError("`source` or `name` contains an unprintable character; remove it.")
    if len(feed.domain_table.encode()) > LONGEST_NAME:
        raise ValueError(f"the domain table's name is longer than {LONGEST_NAME} bytes; shorten `source` or `name`.")
    if not feed.fields:
        raise ValueError("`fields` is empty; a feed needs at least one.")
    _check_names(feed)
    for field in feed.fields:
        _check_field(field)
    _check_key(feed)
    if not 0 <= feed.error_threshold <= _MOST_PER_CENT:
        raise ValueError(f"`error-threshold` is {feed.error_threshold}; it must be a whole percentage from 0 to 100.")


def _check_names(feed: Feed) -> None:
    for field in feed.fields:
        if not _NAME.fullmatch(field.name):
            raise ValueError(f"field `{field.name}`: {ILLEGAL_NAME}")
        if len(field.name) > LONGEST_NAME:
            raise ValueError(f"field `{field.name}`: its name is longer than {LONGEST_NAME} letters; add a rename.")
    seen = set(RESERVED)
    for field in feed.fields:
        if field.name.lower() in seen:
            raise ValueError(f"field `{field.name}`: {NAME_CONFLICT}")
        seen.add(field.name.lower())


def _check_field(field: Field) -> None:
    if not field.source:
        raise ValueError(f"field `{field.name}` has an empty `source`; set it to the incoming name, or remove it.")
    if field.tag is not None and not tags.legal(field.tag):
        raise ValueError(
            f"field `{field.name}`: a tag consists of lowercase letters, digits and hyphens, unlike `{field.tag}`."
        )
    if field.pattern is None:
        return
    if field.type.kind not in (Kind.DATE, Kind.DATETIME):
        raise ValueError(f"field `{field.name}` has a pattern, which only a Date or Datetime can have; remove it.")
    try:
        date_patterns.reader(field.pattern)
    except ValueError as error:
        raise ValueError(f"field `{field.name}`: the pattern `{field.pattern}` {error}.") from None


def _check_key(feed: Feed) -> None:
    types = {field.name: field.type for field in feed.fields}
    if not feed.primary_key:
        raise ValueError("`primary-key` is empty; name the fields that identify a row.")
    for name in feed.primary_key:
        if name not in types:
            raise ValueError(f"`primary-key` names `{name}`, which is not a field{_nearest(name, types)}.")
    if len(set(feed.primary_key)) < len(feed.primary_key):
        raise ValueError("`primary-key` names a field twice; once is enough.")
    if feed.last_updated is None:
        return
    if feed.last_updated not in types:
        raise ValueError(
            f"`last-updated` names `{feed.last_updated}`, which is not a field"
            f"{_nearest(feed.last_updated, types)}; without such a field write `{GENERATED}`."
        )
    if types[feed.last_updated].kind not in (Kind.DATETIME, Kind.INTEGER):
        raise ValueError(
            f"`last-updated` is `{feed.last_updated}`, a {types[feed.last_updated]}; it must be a Datetime or an "
            f"Integer (a day is too coarse), or `{GENERATED}`."
        )


# Reading


def _feed(parsed: Any) -> Feed:
    values = _keys(parsed, KEYS, "the feed")
    fields = values.get("fields") or []
    if not isinstance(fields, list):
        raise ValueError("`fields` is not a list; start each field on a line with a hyphen.")  # noqa: TRY004
    key = values.get("primary-key") or []
    last_updated = _text(values, "last-updated", GENERATED)
    threshold = _text(values, "error-threshold", "1")
    if not re.fullmatch(r"-?\d{1,9}", threshold):
        raise ValueError(f"`error-threshold` is `{threshold}`; it must be a whole percentage from 0 to 100.")
    return Feed(
        id=_text(values, "id"),
        source=_text(values, "source"),
        name=_text(values, "name"),
        fields=tuple(_field(number, each) for number, each in enumerate(fields, 1)),
        primary_key=tuple(str(name) for name in key) if isinstance(key, list) else (key,),
        last_updated=None if last_updated.lower() == GENERATED else last_updated,
        error_threshold=int(threshold),
        stitch=_yes_or_no(values, "stitch", "the feed"),
        sample=_sample(values["sample"]) if "sample" in values else None,
    )


def _sample(parsed: Any) -> Sample:
    values = _keys(parsed, _SAMPLE_KEYS, "`sample`")
    content_type = _text(values, "content-type")
    if content_type not in CONTENT_TYPES:
        raise ValueError(f"`sample`: there is no content type `{content_type}`{_nearest(content_type, CONTENT_TYPES)}.")
    header_rows = _text(values, "header-rows", "1")
    if header_rows not in ("0", "1"):
        raise ValueError(f"`sample`: `header-rows` is `{header_rows}`; it is 0 or 1.")
    for key in ("separator", "quote", "escape"):
        if key in values and not is_character(values[key]) and (key, values[key]) != ("quote", ""):
            raise ValueError(f"`sample`: `{key}` is not one ASCII character.")
    if "encoding" in values and not is_encoding(values["encoding"]):
        raise ValueError(f"`sample`: `encoding` is not the name of an encoding{ENCODINGS}.")
    rest = (values.get(key) for key in ("separator", "quote", "escape", "encoding"))
    return Sample(_text(values, "file"), FileFormat(content_type, int(header_rows), *rest))


def _field(number: int, parsed: Any) -> Field:
    values = _keys(parsed, FIELD_KEYS, f"field {number}")
    if not values.get("name"):
        raise ValueError(f"field {number} has no `name`.")
    name = _text(values, "name")
    try:
        field_type = parse_type(_text(values, "type"))
    except ValueError as error:
        raise ValueError(f"field `{name}`: {error}.") from None
    return Field(
        name,
        field_type,
        source=_text(values, "source", name),
        tag=_text(values, "tag", "") or None,
        required=_yes_or_no(values, "required", f"field `{name}`"),
        pattern=_text(values, "pattern", "") or None,
    )


def _keys(parsed: Any, known: Collection[str], what: str) -> Mapping[str, Any]:
    if not isinstance(parsed, dict):
        raise ValueError(f"{what} is not a mapping of `key: value`; its keys are {', '.join(known)}.")  # noqa: TRY004
    for key in parsed:
        if key not in known:
            raise ValueError(f"{what} has the unknown key `{key}`{_nearest(key, known)}.")
    return parsed


def _text(values: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if value is None:
        raise ValueError(f"`{key}` is missing.")
    if not isinstance(value, str):
        raise ValueError(f"`{key}` must be a single value.")  # noqa: TRY004
    return value


def _yes_or_no(values: Mapping[str, Any], key: str, what: str) -> bool:
    text = _text(values, key, "false").lower()
    if text not in ("true", "false"):
        raise ValueError(f"{what}: `{key}` is `{text}`; write true or false.")
    return text == "true"


def _nearest(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known) or f" (known: {', '.join(known)})"


# Writing


def _sample_line(sample: Sample) -> str:
    parts = {
        "file": sample.path,
        "content-type": sample.format.content_type,
        "header-rows": "0" if sample.format.header_rows == 0 else None,
        "separator": sample.format.separator,
        "quote": sample.format.quote,
        "escape": sample.format.escape,
        "encoding": sample.format.encoding,
    }
    return f"sample: {_mapping(parts)}  # loaded when the feed is activated; relative to the project's folder\n"


def field_entry(field: Field) -> dict[str, str]:
    """A field as a feed file writes it: what is given, in the order of the file."""
    parts = {
        "name": field.name,
        "type": str(field.type),
        "source": field.source if field.source != field.name else None,
        "tag": field.tag,
        "required": "true" if field.required else None,
        "pattern": field.pattern,
    }
    return {key: value for key, value in parts.items() if value is not None}


def _field_line(field: Field) -> str:
    return f"  - {_mapping(field_entry(field))}"


def _mapping(parts: Mapping[str, str | None]) -> str:
    return f"{{{', '.join(f'{key}: {_scalar(value)}' for key, value in parts.items() if value is not None)}}}"


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return yaml.dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()
