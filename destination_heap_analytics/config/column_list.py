"""The parsed form of a list of columns: items, each a column or a constant; `str` gives the text of a setting."""

from __future__ import annotations

from dataclasses import dataclass, field

from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.names import quoted, quoted_if_needed


@dataclass(frozen=True, slots=True)
class Constant:
    """A fixed text, in single quotes in the settings."""

    text: str

    def __str__(self) -> str:
        return "'" + self.text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class ListedProperty:
    """One property: its name, and the column or constant that it is read from.

    Attributes:
        source: the name of a column, or a constant.
        name: the name of the property.
        cast: the type that values are converted to; None if they are not converted.
        whole: the text of the item, which may itself be the name of a column; None if it cannot be.
    """

    source: str | Constant
    name: str
    cast: Cast | None = None
    whole: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        source = quoted_if_needed(self.source) if isinstance(self.source, str) else str(self.source)
        cast = f"::{self.cast.value}" if self.cast else ""
        return source + cast + ("" if self.name == self.source else f" as {quoted_if_needed(self.name)}")


@dataclass(frozen=True, slots=True)
class ColumnList:
    """The properties that a list of columns selects.

    Attributes:
        items: the properties, in the order listed; no two have the same name.
        selects_all: whether all other columns are selected too.
        excepted: the columns after `except`.
        warning: what was ignored, continuing the name of the setting; None if nothing was.
    """

    items: tuple[ListedProperty, ...] = ()
    selects_all: bool = False
    excepted: tuple[str, ...] = ()
    warning: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        excepted = ", ".join(quoted(name) if ")" in name else quoted_if_needed(name) for name in self.excepted)
        star = f"* except ({excepted})" if excepted else "*"
        return ", ".join([*([star] if self.selects_all else []), *map(str, self.items)])
