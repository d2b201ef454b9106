"""A column such as `identities.user_id`, and where a record has it.

A column is read in one of three ways, tried in this order:

    literal       the key `identities.user_id` itself
    dotted        `user_id` inside `identities`; list positions are numbers: `visits.0.date`
    underscored   the same, with underscores for dots: `identities_user_id`

Otherwise, a name with `[]` collects values: `items[].sku` is the list of the values of `sku` in all items of `items`.

The way is fixed once per run, by the catalog's schema, or else by the first record that has the column. A later record
that does not have the column in that way lacks it: guessing again for each row could send a row to the wrong person.
The underscored way is a guess: unless the schema declares it, it is used only for properties, and only until a record
has the exact key.

A key matches a name regardless of outer white space and Unicode normal form. A dotted path also leads into a text that
contains a JSON object or list, which is how PostgreSQL's jsonb and Snowflake's VARIANT arrive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Literal

from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.names import normal
from destination_heap_analytics.protocol.catalog import Path
from destination_heap_analytics.protocol.numbers import exact_integer, written_float


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""The record does not have the column. Null, in contrast, is a value."""

_AIRBYTE_PREFIXES: Final = ("_airbyte_", "_ab_")
"""The prefixes of columns that Airbyte adds, in lower case."""

DELETED_AT: Final = "_ab_cdc_deleted_at"
"""The column that change data capture sets in a deleted row, in lower case."""

_PLAIN: Final = re.compile(r"(?:[^\W\d][\w-]{0,63}|\d{1,4})(?:\.(?:[^\W\d][\w-]{0,63}|\d{1,4}))*")

_LONGEST_POSITION: Final = 9
"""The most digits of a list position; longer numbers are keys."""

EACH: Final = "[]"
"""In a path, after the key of a list: the rest of the path applies to each of its items."""

_OPEN: Final = object()
"""A part of a schema whose content is not described."""

_Step = Callable[[Any, str], tuple[str, Any] | None]
"""Finds the key of a node that matches a name, and its value; None if there is none."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the user named it.

    Attributes:
        name: the name as written.
        path: the keys that lead to it; None until its way is fixed.
        declared: whether the catalog's schema declares it, so that its absence from some rows proves nothing.
        may_guess: whether rows may fix the underscored way without a schema.
        guessed: whether they did; the exact key is still looked for in later rows.
        label: the name of the property it becomes; None for the column's name.
        cast: the type that its values are converted to; None if they are not converted.
        whole: the text of its item in the setting, with cast and label; a key of exactly that name takes precedence.
        keys: where it is read: its path or, until the way is fixed, the dotted way, which then only finds null below a
            null parent.
    """

    name: str
    path: Path | None = None
    declared: bool = False
    may_guess: bool = False
    guessed: bool = False
    label: str | None = None
    cast: Cast | None = None
    whole: str | None = None
    keys: Path = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", self.path or collecting_path(self.name) or tuple(self.name.split(".")))

    @property
    def property_name(self) -> str:
        """The name of the property that it becomes."""
        return self.name if self.label is None else self.label

    def declared_by(self, schema: Mapping[str, Any]) -> Column:
        """This column, with its way fixed by a JSON schema if the schema declares it."""
        if not isinstance(schema.get("properties"), dict):
            return self  # a schema without columns says nothing about this one
        if literal := self._as_whole(schema, _schema_step):
            return replace(literal, declared=True)
        path = _exact_way(schema, self.name, _schema_step) or _underscored(schema, self.name, _schema_step)
        if path is not None:
            return replace(self, path=path, declared=True)
        return replace(self, declared=_underscored(schema, self.name, _schema_step, through_open=True) is not None)

    def found_in(self, data: Mapping[str, Any]) -> Column:
        """This column, with its way fixed by `data` if it was still open and `data` has the column."""
        if self.path is not None and not self.guessed:
            return self
        if literal := self._as_whole(data, _data_step):
            return literal
        if path := _exact_way(data, self.name, _data_step):
            return replace(self, path=path, guessed=False)
        if self.path is None and self.may_guess and (path := _underscored(data, self.name, _data_step)):
            return replace(self, path=path, guessed=True)
        return self

    def _as_whole(self, root: Any, step: _Step) -> Column | None:
        """The column named by the whole text of the item, if there is one."""
        found = None if self.whole is None else step(root, self.whole)
        if found is None or found[1] is _OPEN:
            return None
        return Column(str(self.whole), path=(found[0],), may_guess=self.may_guess)

    def read(self, data: Mapping[str, Any]) -> Any | Literal[_Absent.ABSENT]:
        """The value in `data`: None also if a parent is null, ABSENT if `data` does not have the column."""
        return look_up(data, self.keys)


def look_up(data: Any, path: Path) -> Any | Literal[_Absent.ABSENT]:
    """The value at a path of keys and list positions: None also if a parent is null, ABSENT if there is no value."""
    for at, key in enumerate(path):
        if isinstance(data, dict):
            data = data.get(key, ABSENT)
        elif data is None:
            return None
        elif key == EACH and (items := list_in(data)) is not None:
            return _collected(items, path[at + 1 :])
        elif (found := _data_step(data, key)) is None:
            return ABSENT
        else:
            data = found[1]
    return data


def _collected(items: list[Any], path: Path) -> list[Any]:
    """The values at a path in all items that have it; nested lists are flattened."""
    values: list[Any] = []
    for item in items:
        value = look_up(item, path)
        if value is not ABSENT and value is not None:
            values.extend(value if EACH in path and isinstance(value, list) else [value])
    return values


def list_in(value: Any) -> list[Any] | None:
    """The value if it is a list, or the JSON list in a text; None otherwise."""
    inside = json_inside(value) if isinstance(value, str) else value
    return inside if isinstance(inside, list) else None


def collecting_path(name: str) -> Path | None:
    """The keys of a name with `[]`, as in `items[].sku`; None for other names."""
    if EACH not in name:
        return None
    keys: list[str] = []
    for part in name.split("."):
        key = part
        while key.endswith(EACH):
            key = key.removesuffix(EACH)
        if not key:
            return None
        keys += [key, *[EACH] * ((len(part) - len(key)) // len(EACH))]
    return tuple(keys) if EACH in keys else None


def _collecting_way(node: Any, path: Path, step: _Step) -> Path | None:
    """The keys of a path with EACH, as written in the record or schema, if at least one item has all of them."""
    if not path:
        return ()
    if path[0] == EACH:
        for item in _items(node, step):
            if (rest := _collecting_way(item, path[1:], step)) is not None:
                return (EACH, *rest)
        return None
    if (found := step(node, path[0])) is None:
        return None
    rest = _collecting_way(found[1], path[1:], step)
    return None if rest is None else (found[0], *rest)


def _items(node: Any, step: _Step) -> Iterable[Any]:
    """The items of a list; for a schema, the schema of the items."""
    if step is not _schema_step:
        return list_in(node) or ()
    if node is _OPEN:
        return (_OPEN,)
    types = node.get("type", "array") if isinstance(node, dict) else ()
    if "array" not in types or (isinstance(node, dict) and "properties" in node):
        return ()
    return (node.get("items") or _OPEN,)


def _exact_way(root: Any, name: str, step: _Step) -> Path | None:
    """The literal, dotted or collecting way, with the keys as written in the record or schema."""
    for path in ((name,), tuple(name.split("."))):
        node: Any = root
        keys: list[str] = []
        for key in path:
            if (found := step(node, key)) is None or (found[1] is _OPEN and key.endswith(EACH)):
                break
            keys.append(found[0])
            node = found[1]
        else:
            return tuple(keys)
    collecting = collecting_path(name)
    return _collecting_way(root, collecting, step) if collecting else None


def _underscored(node: Any, name: str, step: _Step, *, through_open: bool = False) -> Path | None:
    """The keys that spell `name` when joined with dots or underscores; longer keys are preferred."""
    found = step(node, name)
    if found is not None:
        # In an open object, the name can be split anywhere: the rows decide.
        return (found[0],) if found[1] is not _OPEN or through_open else None
    for cut in range(len(name) - 2, 0, -1):
        if name[cut] in "._" and (child := step(node, name[:cut])) is not None:
            rest = _underscored(child[1], name[cut + 1 :], step, through_open=through_open)
            if rest is not None:
                return (child[0], *rest)
    return None


def _key_in(members: Mapping[str, Any], name: str) -> str | None:
    """The key that matches a name: exactly, or else the first one with the same normal form."""
    if name in members:
        return name
    wanted = normal(name)
    if wanted in members:
        return wanted
    return next((key for key in members if isinstance(key, str) and key != wanted and normal(key) == wanted), None)


def _data_step(node: Any, key: str) -> tuple[str, Any] | None:
    if isinstance(node, str):
        node = json_inside(node)
    if isinstance(node, dict):
        found = _key_in(node, key)
        return None if found is None else (found, node[found])
    if isinstance(node, list) and is_position(key) and int(key) < len(node):
        return key, node[int(key)]
    return None


@lru_cache(maxsize=8)  # the columns of one row that lead into the same text
def json_inside(text: str) -> Any:
    """The JSON object or list in a text, with exact numbers; None if the text contains neither."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text, parse_float=written_float, parse_int=exact_integer)
    except (ValueError, RecursionError):
        return None


def _schema_step(node: Any, key: str) -> tuple[str, Any] | None:
    if node is _OPEN:
        return key, _OPEN
    if not isinstance(node, dict):
        return None
    properties, types = node.get("properties"), node.get("type")
    if isinstance(properties, dict) and (found := _key_in(properties, key)) is not None:
        return found, properties[found]
    branches = [branch for word in ("oneOf", "anyOf", "allOf") for branch in _list(node.get(word))]
    if branches:
        # A branch without a type only constrains its siblings, and declares nothing.
        steps = (_schema_step(branch, key) for branch in branches if _is_typed(branch))
        return next((step for step in steps if step is not None), None)
    if isinstance(properties, dict):
        return None
    types = types if isinstance(types, (str, list)) else "object"
    if "array" in types and is_position(key):
        return key, node.get("items") or _OPEN
    return (key, _OPEN) if "object" in types else None


def _is_typed(branch: Any) -> bool:
    return isinstance(branch, dict) and not branch.keys().isdisjoint(("type", "properties", "oneOf", "anyOf", "allOf"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_position(key: str) -> bool:
    """Whether a key can be a list position."""
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and len(key) <= _LONGEST_POSITION


def is_airbytes(name: str) -> bool:
    """Whether a column with this name was added by Airbyte, in any letter case: Snowflake uses upper case."""
    return name[:1] == "_" and name.lower().startswith(_AIRBYTE_PREFIXES)


def deleted_at(data: Mapping[str, Any]) -> Any:
    """When the row was deleted at its source, according to change data capture; None if it was not."""
    for name, value in data.items():
        if name[:1] == "_" and value is not None and name.lower() == DELETED_AT:
            return None if isinstance(value, str) and not value.strip() else value
    return None


def is_deletion(data: Mapping[str, Any]) -> bool:
    """Whether the row was deleted at its source, according to change data capture."""
    return deleted_at(data) is not None


def is_plain(name: str) -> bool:
    """Whether all keys in a name look like column names: a key in an object may be content, such as an address."""
    return _PLAIN.fullmatch(name.partition(".")[2] or "_") is not None


def column_names(pairs: Iterable[tuple[str, Any]]) -> Iterable[str]:
    """The names of all columns: keys, and dotted paths into objects, breadth first."""
    level = list(pairs)
    while level:
        deeper: list[tuple[str, Any]] = []
        for name, value in level:
            yield name
            inside = json_inside(value) if isinstance(value, str) else value
            if isinstance(inside, dict):
                deeper.extend((f"{name}.{key}", inner) for key, inner in inside.items())
        level = deeper


def schema_names(schema: Mapping[str, Any]) -> Iterable[str]:
    """The names of all columns in a JSON schema, breadth first."""
    level = [("", schema)]
    while level:
        deeper: list[tuple[str, Mapping[str, Any]]] = []
        for prefix, node in level:
            properties = node.get("properties")
            for key, child in (properties if isinstance(properties, dict) else {}).items():
                yield prefix + key
                if isinstance(child, dict):
                    deeper.append((f"{prefix}{key}.", child))
        level = deeper
