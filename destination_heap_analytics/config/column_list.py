"""What a list of columns says: its items, each a column or a constant, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass, field

from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.names import quoted, quoted_if_needed


@dataclass(frozen=True, slots=True)
class Constant:
    """A fixed text, which the settings hold in single quotes."""

    text: str

    def __str__(self) -> str:
        return "'" + self.text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class ListedProperty:
    """One property: what it is read from, and its name.

    Attributes:
        source: the name of a column, or a constant.
        name: of the property.
        cast: what its values are converted to; None if they stay as they are.
        whole: the item as it was typed, which may be a column's name itself; None if it cannot be.
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
        items: in the order given, each once; no two have the same name.
        takes_all: whether all other columns are selected too.
        excepted: the columns that are not.
        warning: what was ignored, as the end of a sentence that begins with the setting's name; None if nothing was.
    """

    items: tuple[ListedProperty, ...] = ()
    takes_all: bool = False
    excepted: tuple[str, ...] = ()
    warning: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        excepted = ", ".join(quoted(name) if ")" in name else quoted_if_needed(name) for name in self.excepted)
        star = f"* except ({excepted})" if excepted else "*"
        return ", ".join([*([star] if self.takes_all else []), *map(str, self.items)])
