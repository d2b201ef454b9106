"""Proposes a feed from a sample, for a person to review before it is used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.data_types.casts import Converted, converted, plain
from heap_courier.data_types.field_types import (
    BOOLEAN,
    DATE,
    DATETIME,
    FLOAT,
    INTEGER,
    MOST_DIGITS,
    STRING,
    FieldType,
    Kind,
)
from heap_courier.errors import SchemaError, SetupError
from heap_courier.feeds.column_mapping import column_path
from heap_courier.feeds.model import Feed, Field
from heap_courier.feeds.rules import LONGEST_NAME, RESERVED
from heap_courier.formats.chunk import IS_TEXT

_SAMPLE_ROWS: Final = 20_000  # the most rows to examine
_ERROR_THRESHOLD: Final = 1  # the percentage of rows that a proposed feed may reject
_KEYS_FIRST: Final = ("event_id", "from_user_id")  # Heap's own keys, before other ids, which do not identify the rows
_UPDATED: Final = (
    "last_modified",
    "last_updated",
    "updated_at",
    "modified_at",
    "update_time",
    "updated",
    "modified",
    "timestamp",
    "time",
)
_IS_TIME: Final = re.compile(r"(^|_)(time|timestamp|date|joindate|modified|updated|created|at|on)$|date$|time$")
_DAY: Final = r"^\d{4}-\d\d-\d\d$"
_INSTANT: Final = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d"
_WHOLE: Final = r"^-?(0|[1-9]\d{0,18})$"  # no leading zeros, which a number would lose
_EXACT: Final = r"^-?(0|[1-9]\d{0,14})$"  # integers that a Float represents exactly
_BROKEN: Final = r"^-?(0|[1-9]\d{0,14})\.\d{1,15}$"
_TRUE_OR_FALSE: Final = r"^(?i:true|false)$"
_IS_ID: Final = re.compile(r"(^|_)id$")
_IS_NO_NUMBER: Final = re.compile(r"(^|_)(zip|phone|mobile|postal\w*|zip_?code|code|number|no|version)$")
_EPOCH_FROM: Final = 946_684_800  # the year 2000: from here to 2100 a number may be a time, in seconds
_EPOCH_TO: Final = 4_102_444_800

_TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "address": ("address", "address1", "addressline1", "street", "streetaddress"),
    "address2": ("address2", "addressline2"),
    "birthdate": ("birthdate", "birthday", "dateofbirth", "dob"),
    "city": ("city", "town"),
    "company": ("company", "companyname", "organization", "organisation"),
    "country": ("country", "countrycode"),
    "create-dt": ("createdat", "created", "joindate", "signupdate", "createdate"),
    "email": ("email", "emailaddress", "mail"),
    "full-name": ("fullname",),
    "gender": ("gender", "sex"),
    "generational-suffix": ("suffix", "namesuffix", "generationalsuffix"),
    "given-name": ("givenname", "firstname", "forename"),
    "phone": ("phone", "phonenumber", "mobile", "mobilephone", "telephone"),
    "postal": ("postal", "postalcode", "postcode", "zip", "zipcode"),
    "state": ("state", "province"),
    "surname": ("surname", "lastname", "familyname"),
    "title": ("jobtitle", "salutation"),
    "update-dt": ("updatedat", "lastmodified", "lastupdated", "modifiedat"),
}
_TAG_OF: Final = {name: tag for tag, names in _TAGS.items() for name in names}
_PERSONAL: Final = frozenset({"email", "phone", "surname", "given-name", "full-name"})


class Proposal(NamedTuple):
    """A feed, and sentences about what to review in it."""

    feed: Feed
    notes: tuple[str, ...]


class _SampleColumn(NamedTuple):
    """A column of the sample, or a field of a record, with the path to it."""

    source: str
    path: tuple[int, ...]
    field: pa.Field
    values: pa.Array


class _Typed(NamedTuple):
    """A column with the type proposed for it, and its values cast to that type."""

    column: _SampleColumn
    type: FieldType
    converted: Converted


def propose(schema: pa.Schema, sample: Iterable[pa.RecordBatch], *, source: str, name: str, feed_id: str) -> Proposal:
    """Proposes names, types, key, tags and the last-updated field for files like a sample.

    Args:
        schema: the schema of the sample.
        sample: its rows; the first 20,000 that have exactly these columns are examined.
        source: the source of the domain table, such as Heap.
        name: the name of the feed, such as Users.
        feed_id: the id of the feed.

    Raises:
        SetupError: the sample has no column that a feed can use, or none that can be the primary key.
    """
    notes: list[str] = []
    typed: list[_Typed] = []
    columns = list(schema)
    for column in _columns(schema, sample):
        if not _can_be_named(columns, column):
            notes.append(f"Column `{column.source}` is left out: another column has the same path.")
        elif (best := _typed(column)) is None:
            notes.append(f"Column `{column.source}` is left out: {_unfit(column.field.type)}.")
        else:
            typed.append(best)
    if not typed:
        raise SetupError(
            "The sample has no columns that a feed can use" + (f". {' '.join(notes)}" if notes else "; it has no rows.")
        )
    names = _names([each.column.source for each in typed])
    fields = tuple(Field(field, each.type, each.column.source) for field, each in zip(names, typed, strict=True))
    values = {field.name: each.converted.values for field, each in zip(fields, typed, strict=True)}
    nested = {
        field.name for field, each in zip(fields, typed, strict=True) if pa.types.is_nested(each.column.values.type)
    }
    key = _key(fields, values, nested, name)
    if len(values[key]) and not _is_unique(values[key]):
        notes.append(
            f"No column identifies the rows of the sample: rows with the same `{key}` replace each other. "
            "List the fields that identify a row in `primary-key`."
        )
    tagged = tuple(_tagged(fields, key))
    feed = Feed(
        id=feed_id,
        source=source,
        name=name,
        fields=tagged,
        primary_key=(key,),
        last_updated=_last_updated(fields, values),
        error_threshold=_ERROR_THRESHOLD,
        stitch=any(field.tag in _PERSONAL for field in tagged),
    )
    return Proposal(feed, tuple(notes))


def _columns(schema: pa.Schema, sample: Iterable[pa.RecordBatch]) -> Iterator[_SampleColumn]:
    batches: list[pa.RecordBatch] = []
    for batch in sample:
        if batch.schema.equals(schema):
            batches.append(batch)
        if sum(looked_at.num_rows for looked_at in batches) >= _SAMPLE_ROWS:
            break
    table = pa.Table.from_batches([batch.cast(schema) for batch in batches], schema)
    sources = _sources(table.column_names)
    for position, (source, field, values) in enumerate(zip(sources, schema, table.columns, strict=True)):
        yield from _leaves(source, (position,), field, values.combine_chunks())


def _leaves(source: str, path: tuple[int, ...], field: pa.Field, values: pa.Array) -> Iterator[_SampleColumn]:
    if not pa.types.is_struct(field.type):
        yield _SampleColumn(source, path, field, plain(values))
        return
    inner = [field.type.field(position) for position in range(field.type.num_fields)]
    for position, name in enumerate(_sources([each.name for each in inner])):
        part = pc.struct_field(values, [position])
        yield from _leaves(f"{source}.{name}", (*path, position), inner[position], part)


def _sources(names: Sequence[str]) -> Iterator[str]:
    """The sources of columns in a feed: their names, or `name#1`, `name#2` if a name is empty or not unique."""
    times = Counter(names)
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if name and times[name] == 1 else f"{name}#{seen[name]}"


def _can_be_named(columns: Sequence[pa.Field], column: _SampleColumn) -> bool:
    """Whether the source of a column leads to it, and not to another one: `a.b` may be a column, or `b` in `a`."""
    if len(column.path) == 1 and columns[column.path[0]].name == column.source:  # (no other column has this name)
        return True
    try:
        return column_path(columns, column.source, "sample")[0] == column.path
    except SchemaError:
        return False


# Names


def _names(sources: Iterable[str]) -> list[str]:
    """Legal, unique names: each run of characters other than letters, digits and underscores becomes one underscore."""
    taken = set(RESERVED)
    names = []
    for source in sources:
        legal = re.sub(r"[^A-Za-z0-9_]+", "_", source)
        plain = (legal if legal == source else legal.strip("_"))[:LONGEST_NAME] or "field"
        name = plain
        for number in count(2):
            if name.lower() not in taken:
                break
            name = f"{plain[: LONGEST_NAME - 5]}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


# Types


def _typed(column: _SampleColumn) -> _Typed | None:
    """The column with the type that fits most of its values; None if even that type rejects more than a feed may."""
    types = [_type(column)]
    if pa.types.is_uint64(column.values.type):
        types.append(FieldType(Kind.DECIMAL, 20, 0))
    attempts = [_Typed(column, each, converted(column.values, each)) for each in [*types, STRING]]
    best = min(attempts, key=_wrong)
    return best if _wrong(best) * 100 <= len(column.values) * _ERROR_THRESHOLD else None


def _wrong(typed: _Typed) -> int:
    wrong = typed.converted.wrong
    return 0 if wrong is None else int(wrong.true_count)


def _unfit(kind: pa.DataType) -> str:
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return "it contains bytes that are not text" if is_binary else f"it contains {kind} values that are out of range"


def _type(column: _SampleColumn) -> FieldType:
    kind, values = column.values.type, column.values
    if IS_TEXT in (column.field.metadata or {}):
        return STRING
    last = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.source.rpartition(".")[2]).lower()
    if pa.types.is_boolean(kind):
        return BOOLEAN
    if pa.types.is_integer(kind):
        return DATETIME if _IS_TIME.search(last) and _all_since_2000(values) else INTEGER
    if pa.types.is_floating(kind):
        return FLOAT
    if pa.types.is_decimal(kind) and 0 <= kind.scale <= kind.precision <= MOST_DIGITS and kind.scale < MOST_DIGITS:
        return FieldType(Kind.DECIMAL, kind.precision, kind.scale)
    if pa.types.is_date(kind):
        return DATE
    if pa.types.is_timestamp(kind):
        return DATETIME
    return _type_of_text(last, values) if pa.types.is_string(kind) else STRING


def _type_of_text(last: str, values: pa.Array) -> FieldType:
    """The type that all non-empty texts of a column have; String if in doubt."""
    texts = pc.utf8_trim_whitespace(values)
    texts = texts.filter(pc.fill_null(pc.not_equal(texts, ""), False))  # noqa: FBT003

    def all_are(form: str, field_type: FieldType) -> bool:
        every = pc.all(pc.match_substring_regex(texts, form)).as_py()
        return bool(every) and converted(texts, field_type).wrong is None

    if not len(texts):
        return STRING
    if all_are(_DAY, DATE):
        return DATE
    if all_are(_INSTANT, DATETIME):
        return DATETIME
    if all_are(_WHOLE, INTEGER):
        if _IS_TIME.search(last) and _all_since_2000(texts.cast(pa.int64())):
            return DATETIME
        return STRING if _IS_NO_NUMBER.search(last) else INTEGER
    if all_are(f"{_EXACT}|{_BROKEN}", FLOAT):
        return STRING if _IS_NO_NUMBER.search(last) or _IS_ID.search(last) else FLOAT
    return BOOLEAN if all_are(_TRUE_OR_FALSE, BOOLEAN) else STRING


def _all_since_2000(numbers: pa.Array) -> bool:
    """Whether numbers can be times: seconds, milliseconds or microseconds from 2000 to 2100; 0 means unknown."""
    numbers = numbers.filter(pc.fill_null(pc.not_equal(numbers, 0), False))  # noqa: FBT003
    if numbers.null_count == len(numbers):
        return False
    least, most = pc.min_max(numbers).as_py().values()
    return any(_EPOCH_FROM * unit <= least and most < _EPOCH_TO * unit for unit in (1, 10**3, 10**6))


# Roles of columns


def _key(fields: Sequence[Field], values: Mapping[str, pa.Array], nested: Collection[str], name: str) -> str:
    """The field that identifies rows: the likeliest by name whose values are unique, otherwise the likeliest by name.

    Raises:
        SetupError: each field is empty in more rows than a feed may reject.
    """
    singular = re.sub(r"[^a-z0-9]+", "_", name.lower()).removesuffix("s")
    by_name = {field.name.lower(): field.name for field in fields}
    likely = [*_KEYS_FIRST, f"{singular}_id", "id", "user_id", *(lower for lower in by_name if lower.endswith("id"))]
    candidates = [by_name[lower] for lower in dict.fromkeys(likely) if lower in by_name]
    whole = [field.name for field in fields if field.type.kind in (Kind.INTEGER, Kind.STRING)]
    for field in [*candidates, *whole]:
        if field not in nested and _is_unique(values[field]):
            return field
    best = min([*candidates, *(field.name for field in fields)], key=lambda field: int(values[field].null_count))
    if values[best].null_count * 100 > len(values[best]) * _ERROR_THRESHOLD:
        raise SetupError(
            "Every column of the sample is empty in some rows, so none can be the primary key; use a sample with a "
            "column that has a value in each row."
        )
    return best


def _is_unique(values: pa.Array) -> bool:
    return len(values) > 0 and not values.null_count and len(values.unique()) == len(values)


def _last_updated(fields: Sequence[Field], values: Mapping[str, pa.Array]) -> str | None:
    by_name = {
        field.name.lower(): field.name
        for field in fields
        if field.type.kind in (Kind.DATETIME, Kind.INTEGER) and _always_filled(values[field.name])
    }
    return next((by_name[name] for name in _UPDATED if name in by_name), None)


def _always_filled(values: pa.Array) -> bool:
    return len(values) > 0 and values.null_count == 0


def _tagged(fields: Sequence[Field], key: str) -> Iterator[Field]:
    """Tags of profiles if rows are about people, otherwise tags of keys; no profile tags for Heap's events."""
    plain = {field.name: re.sub(r"[^a-z0-9]+", "", field.source.rpartition(".")[2].lower()) for field in fields}
    personal = any(_TAG_OF.get(name) in _PERSONAL for name in plain.values())
    taken: set[str] = set()
    for field in fields:
        tag = _TAG_OF.get(plain[field.name]) if personal else None
        if field.name == key:
            tag = "pk"
        elif not personal and plain[field.name] in ("userid", "customerid", "touserid"):
            tag = "fk-user"
        if tag is None or tag in taken:
            yield field
        else:
            taken.add(tag)
            yield replace(field, tag=tag)
