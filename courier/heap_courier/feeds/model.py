"""The model of a feed: how the rows of a file become rows of a domain table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heap_courier.data_types.field_types import FieldType
from heap_courier.formats.file_format import FileFormat

GENERATED: Final = "generated"
"""The value of `last-updated` if no field says when a row was updated."""

UPDATED: Final = "_updated"  # the generated last-updated field: when the row was ingested
PRIMARY_KEY: Final = "_pk"  # the generated field of a primary key that has several fields, joined


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a feed, and so a column of its domain table.

    Attributes:
        name: of the column; letters, numbers, underscores.
        type: of its values.
        source: the incoming name, matched without regard to case; `traits.email` is a field of a record.
        tag: a semantic tag such as `email` or `pk`; Stitch uses it.
        required: a row without a value is rejected; a file without the column is not loaded.
        pattern: the Joda pattern of a date or an instant in text; None if it is ISO 8601 or a number of seconds,
            milliseconds or microseconds, distinguished by magnitude.
    """

    name: str
    type: FieldType
    source: str
    tag: str | None = None
    required: bool = False
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The file that a feed was proposed from, and its format; `path` is relative to the project's folder."""

    path: str
    format: FileFormat


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed: https://docs.amperity.com/reference/feeds.html.

    Attributes:
        id: its name in load operations: `df-` and eight letters or digits.
        source, name: of the domain table, `<source>:<name>`.
        fields: in the order of the table's columns.
        primary_key: names of fields, at least one.
        last_updated: the name of a Datetime or Integer field, or None if it is generated.
        error_threshold: percentage of rows that may be rejected; above it nothing is loaded.
        stitch: "make available to Stitch": whether its rows are customer records.
        sample: the file loaded when the feed is activated.
    """

    id: str
    source: str
    name: str
    fields: tuple[Field, ...]
    primary_key: tuple[str, ...]
    last_updated: str | None = None
    error_threshold: int = 1
    stitch: bool = False
    sample: Sample | None = None

    @property
    def domain_table(self) -> str:
        """The name of its table."""
        return f"{self.source}:{self.name}"
