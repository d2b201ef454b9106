"""The model of a feed: how the rows of a file become rows of a domain table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heap_courier.data_types.field_types import FieldType
from heap_courier.formats.file_format import FileFormat

GENERATED: Final = "generated"
"""The value of `last-updated` if no field has the time when a row was updated."""

UPDATED: Final = "_updated"  # the generated last-updated field: when the row was ingested
PRIMARY_KEY: Final = "_pk"  # the generated field that joins the fields of a composite primary key


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a feed, and so a column of its domain table.

    Attributes:
        name: the column's name: letters, digits and underscores.
        type: the type of its values.
        source: the incoming name, which matches in any case; `traits.email` is a field of a record.
        tag: a semantic tag such as `email` or `pk`, for Stitch.
        required: whether to reject rows without a value, and to refuse files without the column.
        pattern: the Joda pattern of dates or times in text; None for ISO 8601, and for seconds, milliseconds or
            microseconds since 1970, which are distinguished by their magnitude.
    """

    name: str
    type: FieldType
    source: str
    tag: str | None = None
    required: bool = False
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The file that a feed was proposed from, and its format; `path` is relative to the project folder."""

    path: str
    format: FileFormat


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed: https://docs.amperity.com/reference/feeds.html.

    Attributes:
        id: its name in load operations: `df-` and eight letters or digits.
        source, name: the parts of the domain table's name, `<source>:<name>`.
        fields: its fields, in the order of the table's columns.
        primary_key: the names of the fields that identify a row, at least one.
        last_updated: the name of a Datetime or Integer field, or None if it is generated.
        error_threshold: the percentage of rows that may be rejected; above it nothing is loaded.
        stitch: "make available to Stitch": whether its rows are customer records.
        sample: the file to load when the feed is activated.
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
