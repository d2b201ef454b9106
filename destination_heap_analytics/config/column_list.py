"""What is typed into `property_columns` -> the names of columns.

    list     := item ("," item)*
    item     := bare | '"' any characters, a double quote doubled '"'
    bare     := any characters but a comma, not beginning with a double quote

White space around an item does not count. A comma too many and a name that is given twice are taken as what they mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ALL_COLUMNS: Final = ("*",)
"""The list that takes every attribute."""

_ITEM: Final = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<bare>[^",][^,]*|))\s*(?P<end>,|\Z)')


class ColumnListError(ValueError):
    """The list cannot be read; the text is the end of a sentence that begins with the setting's name."""


@dataclass(frozen=True, slots=True)
class ColumnList:
    """Names in the order given, each once.

    Attributes:
        warning: what was taken as it was meant, as the end of a sentence that begins with the setting's name; None if
            nothing was.
    """

    names: tuple[str, ...]
    warning: str | None = None


def parse_column_list(text: str) -> ColumnList:
    """The columns in a list.

    Raises:
        ColumnListError: a quote is not closed, no name is given, or `*` is not alone.
    """
    names: dict[str, None] = {}
    doubled: dict[str, None] = {}
    empty = 0
    at = 0
    while True:
        item = _ITEM.match(text, at)
        if item is None:
            raise ColumnListError(_quote_error(text, at))
        name = (item["bare"] or "").strip() if item["quoted"] is None else item["quoted"].replace('""', '"')
        if not name.strip():
            empty += 1
        elif name in names:
            doubled[name] = None
        else:
            names[name] = None
        at = item.end()
        if not item["end"]:
            break
    if not names:
        raise ColumnListError("is empty: list columns separated by commas, or give * for all")
    if len(names) > 1 and "*" in names:
        raise ColumnListError("combines * with column names: give either * for all columns, or the names")
    return ColumnList(tuple(names), _warning(empty, list(doubled)))


def parse_column(text: str) -> str:
    """The name of one column, which may stand in double quotes.

    Raises:
        ColumnListError: a quote is not closed.
    """
    if not text.startswith('"'):
        return text
    item = _ITEM.match(text)
    if item is None or item["quoted"] is None or item.end() < len(text) or item["end"]:
        raise ColumnListError(_quote_error(text, 0))
    return item["quoted"].replace('""', '"')


def _quote_error(text: str, at: int) -> str:
    start = at + len(text[at:]) - len(text[at:].lstrip())
    begins = text[start : start + 20]
    return (
        f"has a double quote at character {start + 1} (`{begins}`) that is not closed before the next comma or "
        'the end: close it, and double each quote inside the name, as in "a ""b"""'
    )


def _warning(empty: int, doubled: list[str]) -> str | None:
    parts = []
    if empty:
        parts.append(f"has {'an extra comma' if empty == 1 else f'{empty} extra commas'}")
    if doubled:
        parts.append(f"lists {', '.join(f'`{name}`' for name in doubled)} more than once")
    return " and ".join(parts) + "; the rest was used as is" if parts else None
