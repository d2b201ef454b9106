"""The grammar of columns in the settings.

    list     := item ("," item)*
    item     := "*" ["except" "(" column ("," column)* ")"]
              | (column | constant) ["::" cast] ["as" name]
    column   := bare | quoted                    `identities.user_id`, `"Revenue, USD"`, `items[].sku`
    constant := "'" any characters, a single quote doubled "'"
    cast     := number | text | boolean | json
    name     := bare | quoted
    quoted   := '"' any characters, a double quote doubled '"'
    bare     := any characters but a comma, not beginning with a quote, without " as " and "::" before a cast

`property_columns` accepts a list, `event_column` a column or a constant, every other setting a column. White space
around a part is ignored. Extra commas and repeated items are ignored, with a warning.

Version 0.1.0 had no casts or names: all text up to a comma was a column's name. So an item keeps its whole text
(`ListedProperty.whole`), and if the source has a column of exactly that name, that column is used.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NoReturn

from destination_heap_analytics.config.casts import OTHER_NAMES, Cast, boolean_of, number_of
from destination_heap_analytics.config.column_list import ColumnList, Constant, ListedProperty
from destination_heap_analytics.heap_api import MAX_EVENT, MAX_PROPERTY, text_units
from destination_heap_analytics.names import nearest

_SHOWN: Final = 30
"""Characters of a setting that an error shows."""

_SPACE: Final = re.compile(r"\s*")
_STAR: Final = re.compile(r"\*(?=\s*(?:,|\Z|except\s*\())", re.IGNORECASE)
_EXCEPT: Final = re.compile(r"\s*except\s*\(", re.IGNORECASE)
_UNOPENED_EXCEPT: Final = re.compile(r"\*\s*(?:except|exclude|excluding)[\s(]+[^\s(,]|except\s*\(", re.IGNORECASE)
"""Unsupported ways to exclude columns: otherwise they would be read as the names of columns to send."""

_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')
_CONSTANT: Final = re.compile(r"'((?:[^']|'')*)'")
_BARE: Final = re.compile(r"[^,]*")
_BARE_EXCEPTED: Final = re.compile(r"[^,)]*")
_AS: Final = re.compile(r"(?<=\s)as(?=\s)", re.IGNORECASE)
_AS_AFTER_QUOTE: Final = re.compile(r"\s*\bas\s+(?=[^\s,])", re.IGNORECASE)
_AFTER_QUOTE: Final = re.compile(r"\s*(?:\Z|[,)]|::|as\s)", re.IGNORECASE)
_CAST: Final = re.compile(r"\s*::\s*([^\s,]*)")
_CASTS: Final = ", ".join(cast.value for cast in Cast)


class GrammarError(ValueError):
    """A setting cannot be parsed; the message continues the name of the setting."""


def parse_column_list(text: str, *, reserved: Collection[str] = ()) -> ColumnList:
    """The properties that a list of columns selects.

    Args:
        text: as typed.
        reserved: names, in lower case, that Heap does not allow in any letter case.

    Raises:
        GrammarError: the list is invalid; the message says what is wrong, and at which character.
    """
    return _ListParser(text, reserved).parse()


def parse_column(text: str) -> str:
    """The name of one column.

    Raises:
        GrammarError: a quote is not closed, or the text is a constant.
    """
    source = _parse_source(text)
    if isinstance(source, Constant):
        raise GrammarError(
            f"is the constant {_excerpt(text.strip())}, the same for every row, but must be a column: remove the "
            "single quotes if that is the column's name"
        )
    return source


def parse_event(text: str) -> str | Constant:
    """The column with the name of the event, or a constant: the name itself.

    Raises:
        GrammarError: a quote is not closed, or Heap does not accept the name.
    """
    source = _parse_source(text)
    if isinstance(source, Constant):
        if not source.text.strip():
            raise GrammarError("is an empty event name: write it between the single quotes, as in 'Order Placed'")
        if text_units(source.text) > MAX_EVENT:
            raise GrammarError(f"is longer than the {MAX_EVENT:,} characters Heap accepts for the name of an event")
    return source


def _parse_source(text: str) -> str | Constant:
    stripped = text.strip()
    if stripped[:1] == '"':
        if not (quoted := _QUOTED.fullmatch(stripped)):
            raise GrammarError(_unclosed(stripped, 0))
        return quoted[1].replace('""', '"')
    if stripped[:1] == "'" and stripped[1:].endswith("'"):
        if not (constant := _CONSTANT.fullmatch(stripped)):
            raise GrammarError(
                f"has a single quote inside the constant {_excerpt(stripped)}: double it, as in 'Customer''s Order'"
            )
        return Constant(constant[1].replace("''", "'"))
    return stripped


def extras_of(name: str) -> str | None:
    """The part of a name that only a list of properties accepts, such as `::number`; None if it has none."""
    try:
        items = _ListParser(name, ()).parse().items
    except GrammarError:
        return None
    if len(items) != 1 or items[0].whole is None or not isinstance(items[0].source, str):
        return None
    return name[len(items[0].source) :].strip()


class _ListParser:
    """Parses one list from left to right."""

    def __init__(self, text: str, reserved: Collection[str]) -> None:
        self._text = text
        self._reserved = reserved
        self._at = 0
        self._items: dict[str, ListedProperty] = {}
        self._star: tuple[str, ...] | None = None
        self._doubled: dict[str, None] = {}
        self._empty = 0

    def parse(self) -> ColumnList:
        while True:
            self._skip_space()
            start = self._at
            if self._peek() in {"", ","}:
                self._empty += 1
            elif star := _STAR.match(self._text, self._at):
                self._at = star.end()
                self._add_star(self._excepted(), start)
            elif item := self._item():
                self._add(item, start)
            self._skip_space()
            if self._peek() == "":
                break
            if self._peek() != ",":
                self._fail(self._at, "has unexpected text", "put a comma between columns")
            self._at += 1
        if not self._items and self._star is None:
            raise GrammarError("is empty: list columns separated by commas, or use * for all")
        return ColumnList(tuple(self._items.values()), self._star is not None, self._star or (), self._warning())

    def _item(self) -> ListedProperty | None:
        start = self._at
        first = self._peek()
        source: str | Constant
        whole = None
        if first == '"':
            source = self._quoted()
            cast, name = self._cast(), self._name_after_quote()
            if cast is None and name is None and source == "*":  # as in version 0.2.0
                self._add_star((), start)
                return None
            if not source.strip() and (cast or name is not None):
                self._fail(start, "has an empty column name", "enter the column's name")
        elif first == "'" and (constant := self._constant()):
            source = constant
            cast, name = self._cast(), self._name_after_quote()
            if name is None:
                self._fail(start, "has a constant without a name", "add a property name, as in 'web' as channel")
            self._check_constant(constant, cast, start)
            whole = self._whole(start)
        else:
            source, cast, name = self._bare()
            whole = self._whole(start) if cast or name is not None else None
        if isinstance(source, str) and not source.strip():
            self._empty += 1
            return None
        return ListedProperty(source, str(source) if name is None else name, cast, whole)

    def _add(self, item: ListedProperty, start: int) -> None:
        name = item.name
        known = self._items.setdefault(name, item)
        if known is not item:
            if known != item:
                self._fail(
                    start, f"gives two properties the name `{_short(name)}`", "rename one, as in amount as total"
                )
            self._doubled[name] = None
            return
        if not name.strip():
            self._fail(start, "has an empty property name", "enter a name after `as`")
        if text_units(name) > MAX_PROPERTY:
            self._fail(start, f"has a name longer than the {MAX_PROPERTY:,} characters Heap accepts", "shorten it")
        if name.lower() in self._reserved:
            at = f", {self._place(start)}" if name != item.source else ""
            raise GrammarError(
                f"lists `{name}`{at}, but Heap does not allow a user property of that name in any letter case: "
                "remove it, or rename it, as in id as customer_id"
            )

    def _add_star(self, excepted: tuple[str, ...], start: int) -> None:
        if self._star not in {None, excepted}:
            self._fail(start, "has * more than once", "list all columns to leave out in one `except`")
        if self._star is not None:
            self._doubled["*"] = None
        self._star = excepted

    def _excepted(self) -> tuple[str, ...]:
        opening = _EXCEPT.match(self._text, self._at)
        if not opening:
            return ()
        start, self._at = self._at, opening.end()
        names: dict[str, None] = {}
        while True:
            self._skip_space()
            at = self._at
            if self._peek() == "'":
                self._fail(at, "has a single quote inside `except`", "list columns, in double quotes if necessary")
            if self._peek() == '"':
                names[self._quoted()] = None
            else:
                names[self._match(_BARE_EXCEPTED).strip()] = None
            if any(_AS.search(name) for name in names) or any("::" in name for name in names):
                self._fail(at, "has a cast or a name inside `except`", "list only columns")
            self._skip_space()
            end = self._peek()
            self._at += 1
            if end == ")":
                break
            if end != ",":
                self._fail(start, "has an `except (` that is not closed", "close it with )")
        names.pop("", None)
        if not names:
            self._fail(start, "has an empty `except`", "name the columns to leave out, as in * except (password)")
        return tuple(names)

    def _bare(self) -> tuple[str, Cast | None, str | None]:
        start = self._at
        if _UNOPENED_EXCEPT.match(self._text, start):
            self._fail(
                start,
                "has an exclusion in an unsupported form",
                "put the columns in parentheses after `* except`, as in * except (password, ssn)",
            )
        chunk = self._match(_BARE)
        name = None
        separator = _AS.search(chunk)
        if separator and chunk[separator.end() :].strip():
            self._at = start + separator.end()
            self._skip_space()
            name = self._name()
            chunk = chunk[: separator.start()]
        source, cast = chunk.strip(), None
        cut = chunk.rfind("::")
        if cut >= 0 and (cast := self._named_cast(chunk[cut + 2 :].strip(), start + cut)):
            source = chunk[:cut].strip()
        if source == "*":
            self._fail(start, "gives * a cast or a name", "* accepts neither; list the column separately")
        if not source and (cast or name is not None):
            self._fail(start, "has no column before the cast or the name", "add the column")
        return source, cast, name

    def _cast(self) -> Cast | None:
        """The cast after a quoted name or a constant; None if there is none."""
        start = self._at
        if not (cast := _CAST.match(self._text, start)):
            return None
        self._at = cast.end()
        known = self._named_cast(cast[1], start)
        if known is None:
            self._fail(start, "has an unknown cast", f"use one of {_CASTS}")
        return known

    def _named_cast(self, word: str, at: int) -> Cast | None:
        """The cast called `word`; None if no cast has a similar name, so that `word` is a part of the column's name."""
        lower = word.lower()
        if lower in {cast.value for cast in Cast}:
            return Cast(lower)
        near = OTHER_NAMES.get(lower.partition("(")[0])
        guess = near.value if near else nearest(lower, [cast.value for cast in Cast])
        if guess:
            self._fail(at, f"has an unknown cast, `{_short(word)}`", f"use one of {_CASTS} (did you mean `{guess}`?)")
        if not word:
            self._fail(at, "has :: without a cast", f"use one of {_CASTS}")
        if lower in {"date", "time", "timestamp", "datetime"}:
            self._fail(
                at, f"has an unknown cast, `{_short(word)}`", "leave it out: Heap accepts ISO 8601 dates as text"
            )
        return None

    def _name_after_quote(self) -> str | None:
        if not (separator := _AS_AFTER_QUOTE.match(self._text, self._at)):
            return None
        self._at = separator.end()
        return self._name()

    def _name(self) -> str:
        start = self._at
        if self._peek() == '"':
            return self._quoted()
        if self._peek() == "'":
            self._fail(start, "has a property name in single quotes", "use double quotes, or none")
        name = self._match(_BARE).strip()
        if _AS.search(name):
            self._fail(start, "has `as` twice", "put the name in double quotes if it contains ` as `")
        _, cut, word = name.rpartition("::")
        if cut and (self._named_cast(word.strip(), start)):
            self._fail(start, "has a cast after the name", "put it before `as`, as in amount::number as total")
        return name

    def _quoted(self) -> str:
        if not (quoted := _QUOTED.match(self._text, self._at)):
            raise GrammarError(_unclosed(self._text, self._at))
        if not _AFTER_QUOTE.match(self._text, quoted.end()):
            raise GrammarError(_unclosed(self._text, self._at))
        self._at = quoted.end()
        return quoted[1].replace('""', '"')

    def _constant(self) -> Constant | None:
        """The constant at this position; None if its quote is not closed, and so is part of a column's name."""
        constant = _CONSTANT.match(self._text, self._at)
        if constant and _AFTER_QUOTE.match(self._text, constant.end()):
            self._at = constant.end()
            return Constant(constant[1].replace("''", "'"))
        start = self._at
        chunk = self._match(_BARE)
        self._at = start
        if _AS.search(chunk) or "'" in chunk[1:].strip():
            self._fail(
                start, "has a constant whose quotes do not match", "double each quote inside it, as in 'it''s' as note"
            )
        return None

    def _check_constant(self, constant: Constant, cast: Cast | None, start: int) -> None:
        is_castable = {Cast.NUMBER: number_of, Cast.BOOLEAN: boolean_of}
        if cast in is_castable and is_castable[cast](constant.text) is None:
            self._fail(start, f"has a constant that is not a {cast.value}", "correct it, or remove the cast")
        if not constant.text.strip():
            self._fail(start, "has an empty constant", "write it between the single quotes")

    def _whole(self, start: int) -> str | None:
        """The text of the item as a single name; None if it contains a comma, which separates names."""
        whole = self._text[start : self._at].strip()
        return None if "," in whole or '"' in whole[:1] else whole

    def _warning(self) -> str | None:
        parts = []
        if self._empty:
            parts.append(f"has {'an extra comma' if self._empty == 1 else f'{self._empty} extra commas'}")
        if self._doubled:
            parts.append(f"lists {', '.join(f'`{name}`' for name in self._doubled)} more than once")
        return " and ".join(parts) + "; the rest was used as is" if parts else None

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None  # noqa: S101  # each pattern matches the empty text too
        self._at = match.end()
        return match[0]

    def _skip_space(self) -> None:
        self._match(_SPACE)

    def _place(self, at: int) -> str:
        return f"at character {at + 1} ({_excerpt(self._text[at:])})"

    def _fail(self, at: int, what: str, remedy: str) -> NoReturn:
        raise GrammarError(f"{what} {self._place(at)}: {remedy}")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _excerpt(text: str) -> str:
    return f"`{_short(text)}`" if text else "the end"


def _unclosed(text: str, at: int) -> str:
    return (
        f"has a double quote at character {at + 1} ({_excerpt(text[at:])}) that is not closed before the next comma or "
        'the end: close it, and double each quote inside the name, as in "a ""b"""'
    )
