"""Parses delimited text (CSV, TSV) into rows. Every value is text; an empty one is null.

Quoting follows RFC 4180. Malformed text is refused with its line number, not repaired: a row with more or fewer values
than columns, an unclosed quote, a column without a name, or two columns with the same name.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import orjson

from destination_heap_analytics.config.casts import Cast, boolean_of, number_of
from destination_heap_analytics.config.column_list import ColumnList, ListedProperty
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.names import normal
from destination_heap_analytics.rows.text import LONGEST_LINE

_DELIMITERS: Final = ",;\t|"
_HINT_ROWS: Final = 1000
"""The number of rows that are examined for the hint."""

_IDENTIFIER: Final = re.compile(r"(?:\b|_)[iI][dD]$|[a-z]I[dD]$")
"""Names of columns whose numbers are IDs, not quantities."""

_SPACED: Final = re.compile(r"[ ]+\".*\"[ ]*", re.DOTALL)
"""A value whose quotes are content according to RFC 4180, because a space precedes them."""

_NAMES_SHOWN: Final = 10


class Delimited:
    """The rows of one delimited text.

    Attributes:
        kind: the name of the format, for messages.
    """

    def __init__(self, lines: Iterator[str], name: str, delimiter: str | None = None) -> None:
        """Start.

        Args:
            lines: the lines, with their line ends.
            name: the name of the file, for messages.
            delimiter: the separator; None for the most frequent one in the header.
        """
        self.kind = "TSV" if delimiter == "\t" else "CSV"
        self._lines = lines
        self._name = name
        self._delimiter = delimiter
        self._header: list[str] = []
        self._values: list[_Values] = []
        self._may_be_spaced = False

    def rows(self) -> Iterator[bytes]:
        """Each row, as a JSON object.

        Raises:
            ConfigError: the text is malformed; the message has the line number.
        """
        csv.field_size_limit(LONGEST_LINE)
        blank, header_line = next(((at, line) for at, line in enumerate(self._lines) if line.strip()), (0, None))
        if header_line is None:
            return
        delimiter = self._delimiter or _delimiter_of(header_line)
        reader = csv.reader(self._watched(header_line, delimiter), delimiter=delimiter, strict=True)
        records = self._records(reader, blank)
        self._take_header(next(records)[1])
        width = len(self._header)
        for number, (line, cells) in enumerate(records):
            if len(cells) != width:
                raise ConfigError(
                    f"{self._name}, line {line:,}: the row has {_count(len(cells), 'value')}, but the header has "
                    f"{_count(width, 'column')}. Put values that contain the separator or line ends in double quotes."
                )
            if number < _HINT_ROWS:
                for values, cell in zip(self._values, cells, strict=True):
                    values.see(cell)
            yield orjson.dumps(dict(zip(self._header, [cell or None for cell in cells], strict=True)))

    def hint(self, columns: ColumnList) -> str | None:
        """A hint about columns whose values look like numbers or booleans but are sent as text; None if none do."""
        listed = {item.source: item for item in columns.items if isinstance(item.source, str)}
        casts = []
        for name, values in zip(self._header, self._values, strict=True):
            item = listed.get(name)
            is_sent = item.cast is None if item else columns.selects_all and name not in columns.excepted
            if is_sent and not _IDENTIFIER.search(name) and (cast := values.cast):
                casts.append(str(ListedProperty(name, item.name if item else name, cast)))
        if not casts:
            return None
        more = f" and {len(casts) - _NAMES_SHOWN:,} more" if len(casts) > _NAMES_SHOWN else ""
        shown = ", ".join(f"`{cast}`" for cast in casts[:_NAMES_SHOWN])
        return f"All values of a {self.kind} file are text. To send numbers and booleans, cast them: {shown}{more}."

    def _records(self, reader: Any, blank: int) -> Iterator[tuple[int, list[str]]]:
        """Each record with the number of its first line. Blank lines are skipped; `blank` lines precede the header."""
        while True:
            line = blank + reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as wrong:
                raise ConfigError(f"{self._name}, line {line:,}: {_reason(str(wrong))}") from None
            if cells is None:
                return
            if self._may_be_spaced:
                self._may_be_spaced = False
                if any(map(_SPACED.fullmatch, cells)):
                    raise ConfigError(
                        f"{self._name}, line {line:,}: a space precedes the opening quote of a value, which makes the "
                        "quotes part of the value. Remove the spaces between separators and quotes."
                    )
            if cells:
                yield line, cells

    def _watched(self, first: str, delimiter: str) -> Iterator[str]:
        """All lines. Notes whether a line may have an opening quote that is preceded by a space."""
        spaced = f"{delimiter} "
        quote = re.compile(f'{re.escape(spaced)}+"')
        for line in chain([first], self._lines):
            if spaced in line and quote.search(line):
                self._may_be_spaced = True
            yield line

    def _take_header(self, cells: list[str]) -> None:
        self._header = [normal(cell) for cell in cells]
        if "" in self._header:
            raise ConfigError(
                f"{self._name}: column {self._header.index('') + 1} has no name in the header. Name it, or remove it."
            )
        name, count = Counter(self._header).most_common(1)[0]
        if count > 1:
            first, second = [at for at, other in enumerate(self._header, 1) if other == name][:2]
            raise ConfigError(
                f"{self._name}: columns {first} and {second} of the header have the same name, `{name}`. Rename one."
            )
        self._values = [_Values() for _ in self._header]


class _Values:
    """What all values of a column have in common so far."""

    __slots__ = ("are_booleans", "are_numbers", "has_any")

    def __init__(self) -> None:
        self.has_any = False
        self.are_numbers = self.are_booleans = True

    def see(self, cell: str) -> None:
        text = cell.strip()
        if not text:
            return
        self.has_any = True
        is_code = len(text) > 1 and text.startswith(("0", "+")) and text[1].isdigit()  # such as a postal code
        self.are_numbers = self.are_numbers and not is_code and number_of(text) is not None
        self.are_booleans = self.are_booleans and boolean_of(text) is not None and len(text) > 1

    @property
    def cast(self) -> Cast | None:
        if not self.has_any:
            return None
        return Cast.NUMBER if self.are_numbers else Cast.BOOLEAN if self.are_booleans else None


def _delimiter_of(header: str) -> str:
    """The most frequent delimiter outside quotes in a header; a comma if there is none."""
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def _reason(error: str) -> str:
    """The message for an error of the parser; it contains none of the content."""
    if "unexpected end of data" in error or "field limit" in error:
        return "a quoted value in the row that begins here is not closed. Close it, and double quotes inside a value."
    if "expected after" in error:
        return "text follows a closing quote in the row that begins here. Double the quotes inside a quoted value."
    return "the row that begins here is not valid CSV. Export the file again, with values in double quotes."


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
