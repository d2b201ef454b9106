"""Profiles a sample for the Feed Editor: first values, completeness, and rows that would be rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from heap_courier.errors import CourierError
from heap_courier.feeds.column_mapping import column_path, map_columns
from heap_courier.feeds.model import Feed
from heap_courier.formats.readers import chunks, schema

_CHUNKS: Final = 2  # read from the file: some ten thousand rows
_FIRST: Final = 3  # values of a column
_LONGEST: Final = 40  # characters of a value


@dataclass(slots=True)
class ColumnProfile:
    """The profile of a column of the sample.

    Attributes:
        first: its first distinct values, truncated.
        rows: the number of rows read.
        filled: how many of them have a value.
    """

    first: list[str] = field(default_factory=list)
    rows: int = 0
    filled: int = 0

    @property
    def percent(self) -> str:
        """The share of rows with a value; 0 % and 100 % only if they are exact."""
        if not self.rows:
            return ""
        share = 100 * self.filled / self.rows
        rounded = round(share)
        if rounded in (0, 100) and self.filled not in (0, self.rows):
            return f"{share:.1f} %" if 0.1 <= share <= 99.9 else "> 0 %" if rounded == 0 else "< 100 %"  # noqa: PLR2004
        return f"{rounded} %"


@dataclass(frozen=True, slots=True)
class SampleProfile:
    """The profile of a sample, read with a feed.

    Attributes:
        columns: the profiles of the feed's columns, by their incoming names.
        ignored: columns that have no field in the feed.
        rows: the number of rows read.
        rejected: how many of them the feed would reject.
        reasons: why, with the field and how often.
        problem: why the sample cannot be read by the feed, in a sentence.
    """

    columns: Mapping[str, ColumnProfile]
    ignored: tuple[str, ...] = ()
    rows: int = 0
    rejected: int = 0
    reasons: tuple[tuple[str, str, int], ...] = ()
    problem: str = ""


def profile(folder: Path, feed: Feed) -> SampleProfile | None:
    """Profiles the first rows of a feed's sample; None if it has no sample, or its file no longer exists."""
    if feed.sample is None or not (folder / feed.sample.path).is_file():
        return None
    path, name, how = folder / feed.sample.path, feed.sample.path, feed.sample.format
    columns = {each.source: ColumnProfile() for each in feed.fields}
    reasons: Counter[tuple[str, str]] = Counter()
    rows = rejected = 0
    ignored: tuple[str, ...] = ()
    try:
        incoming = schema(path, how, name)
        for chunk in islice(chunks(path, how, name), _CHUNKS):
            decoded = chunk.decode()
            for source, column in columns.items():
                _look(column, decoded.batch, source, name)
            rows += decoded.batch.num_rows + len(decoded.rejected)
        mapping = map_columns(incoming, feed.fields, key=feed.primary_key, name=name)
        ignored = mapping.ignored
        for chunk in islice(chunks(path, how, name), _CHUNKS):
            decoded = chunk.decode()
            conformed = mapping.conform(decoded.batch, chunk.first_row, decoded.rejected)
            rejected += len(conformed.rejected)
            reasons.update((row.column or "", row.reason) for row in conformed.rejected)
    except CourierError as error:
        return SampleProfile(columns, ignored, rows, problem=str(error))
    counted = tuple((column, why, number) for (column, why), number in reasons.most_common())
    return SampleProfile(columns, ignored, rows, rejected, counted)


def _look(column: ColumnProfile, batch: pa.RecordBatch, source: str, name: str) -> None:
    path, _found = column_path(list(batch.schema), source, name)
    column.rows += batch.num_rows
    if not path:
        return
    values = batch.column(path[0])
    if path[1:]:
        values = pc.struct_field(values, list(path[1:]))
    for value in values:
        plain = value.as_py()
        if plain is None or plain == "":
            continue
        column.filled += 1
        if len(column.first) < _FIRST:
            text = str(plain)
            text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
            if text not in column.first:
                column.first.append(text)
