"""The form of a feed, and its file, which is edited in place to keep comments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from heap_courier.console.editing.yaml_document import YamlDocument
from heap_courier.console.visit import Form
from heap_courier.data_types.field_types import FieldType, Kind, parse_type
from heap_courier.documents.wording import named
from heap_courier.errors import SetupError
from heap_courier.feeds.model import GENERATED, Feed, Field
from heap_courier.feeds.reader import read_feed, read_feeds
from heap_courier.feeds.rules import check
from heap_courier.feeds.writer import field_entry

MEANINGS: Final[Mapping[str, str]] = {
    "address": "street address",
    "address2": "second line of the address",
    "birthdate": "date of birth",
    "city": "city",
    "company": "company",
    "country": "country",
    "create-dt": "when the profile was created",
    "email": "email address",
    "full-name": "first and last name in one field",
    "gender": "gender",
    "generational-suffix": "Jr., Sr., III",
    "given-name": "first name",
    "phone": "phone number",
    "postal": "postal code",
    "state": "state or province",
    "surname": "last name",
    "title": "Mr., Ms., Dr.",
    "update-dt": "when the profile was last updated",
    "pk": "primary key: identifies a row",
    "ck": "customer key: identifies a customer in this source",
    "fk-user": "foreign key: the same customer in several sources",
}
"""Semantic tags and their meaning: https://docs.amperity.com/reference/semantics.html."""

TYPES: Final = (
    "Boolean",
    "Date",
    "Datetime",
    "Decimal(38, 2)",
    "Decimal(38, 0)",
    "Float",
    "Integer",
    "String",
)
_MOST_DIGITS: Final = 4  # of the error threshold


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field as entered in the form, valid or not."""

    name: str
    type: str
    source: str
    tag: str = ""
    required: bool = False
    pattern: str = ""
    key: bool = False


@dataclass(frozen=True, slots=True)
class FeedForm:
    """The content of the form."""

    rows: tuple[FieldRow, ...]
    last_updated: str
    error_threshold: str
    stitch: bool

    def feed(self, old: Feed) -> Feed:
        """The feed as edited in the form.

        Raises:
            SetupError: the form is invalid; the message states the first error.
        """
        try:
            feed = replace(
                old,
                fields=tuple(_field(row) for row in self.rows),
                primary_key=_key(self.rows, old),
                last_updated=None if self.last_updated == GENERATED else self.last_updated,
                error_threshold=_per_cent(self.error_threshold),
                stitch=self.stitch,
            )
            check(feed)
        except ValueError as error:
            sentence = str(error)
            raise SetupError(sentence[:1].upper() + sentence[1:]) from None
        return feed


def form_of_feed(feed: Feed) -> FeedForm:
    """The form of an existing feed."""
    rows = tuple(
        FieldRow(
            field.name,
            str(field.type),
            field.source,
            field.tag or "",
            field.required,
            field.pattern or "",
            field.name in feed.primary_key,
        )
        for field in feed.fields
    )
    return FeedForm(rows, feed.last_updated or GENERATED, str(feed.error_threshold), feed.stitch)


def form_of_fields(form: Form) -> FeedForm:
    """The form as sent by the browser."""
    rows = tuple(
        FieldRow(
            row.get("name"),
            row.get("type"),
            row.get("source") or row.get("name"),
            row.get("tag"),
            row.has("required"),
            row.get("pattern"),
            row.has("key"),
        )
        for row in form.rows("field")
    )
    return FeedForm(rows, form.get("last-updated", GENERATED), form.get("error-threshold"), form.has("stitch"))


def find_feed(folder: Path, feed_id: str) -> tuple[Path, Feed]:
    """A feed by its id, and its file.

    Raises:
        SetupError: there is no such feed, or the file of a feed is invalid.
    """
    by_id = {feed.id: feed for feed in read_feeds(folder)}
    wanted: Feed = named(by_id, feed_id, "The project", "feed")
    for path in sorted(folder.glob("*.y*ml")):
        if read_feed(path).id == wanted.id:
            return path, wanted
    raise SetupError(f"The file of the feed `{feed_id}` no longer exists.")


def write_changes(path: Path, version: str, old: Feed, new: Feed) -> None:
    """Writes the differences between two versions of a feed to its file.

    Raises:
        ChangedFileError: the file was changed since it had this version.
        SetupError: it cannot be written.
    """
    document = YamlDocument(path, texts=True)
    document.version = version
    before, after = _content(old), _content(new)
    changes: dict[tuple[str, ...], Any] = {
        (key,): value for key, value in after.items() if value != before[key] or document.get([key]) is None
    }
    document.write(document.changed(changes))


def _content(feed: Feed) -> dict[str, Any]:
    return {
        "primary-key": list(feed.primary_key),
        "last-updated": feed.last_updated or GENERATED,
        "error-threshold": str(feed.error_threshold),
        "stitch": str(feed.stitch).lower(),
        "fields": [field_entry(field) for field in feed.fields],
    }


def _per_cent(text: str) -> int:
    if not re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", text):
        raise ValueError(f"the error threshold is `{text}`; it must be a percentage, as a whole number from 0 to 100.")
    return int(text)


def _field(row: FieldRow) -> Field:
    try:
        kind = parse_type(row.type)
    except ValueError as error:
        raise ValueError(f"field `{row.name}`: {error}.") from None
    return Field(row.name, kind, row.source, row.tag or None, row.required, row.pattern or None)


def _key(rows: tuple[FieldRow, ...], old: Feed) -> tuple[str, ...]:
    """The checked fields: first those of the old key in their order, because `_pk` depends on it, then the others."""
    ticked = [row.name for row in rows if row.key]
    kept = [name for name in old.primary_key if name in ticked]
    return (*kept, *(name for name in ticked if name not in kept))


def can_be_updated(row: FieldRow) -> bool:
    """Whether a field can be the last updated field."""
    try:
        kind: FieldType = parse_type(row.type)
    except ValueError:
        return False
    return kind.kind in (Kind.DATETIME, Kind.INTEGER)
