"""A column such as `identities.user_id`: what it names, and where a record has it.

A column is read in one of three ways, tried in this order:

    literal       the key `identities.user_id` itself
    dotted        `user_id` inside `identities`; list positions are numbers: `visits.0.date`
    underscored   the same, if the user writes an underscore for a dot: `identities_user_id`

A name with `[]` that is none of these collects: `items[].sku` is the list of what `sku` is in each item of `items`.

The way is fixed once per run, by the catalog's schema or else by the first record that has the column. A record that
lacks the column in that way lacks it: guessing again for each row could send a row to the wrong person. The underscored
way is a guess. Without a schema that declares it, it holds for properties only, until a record has the exact key.

A key matches a name regardless of outer white space and Unicode normal form. A dotted path leads into a text that holds
a JSON object or list, as PostgreSQL's jsonb and Snowflake's VARIANT arrive.
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
"""There is no such column in the record; null, in contrast, is a value."""

_AIRBYTE_PREFIXES: Final = ("_airbyte_", "_ab_")
"""The prefix of the columns that Airbyte adds to those of the source, in lower case."""

DELETED_AT: Final = "_ab_cdc_deleted_at"
"""The column that change data capture sets in a deleted row (in lower case)."""

_PLAIN: Final = re.compile(r"(?:[^\W\d][\w-]{0,63}|\d{1,4})(?:\.(?:[^\W\d][\w-]{0,63}|\d{1,4}))*")

_LONGEST_POSITION: Final = 9
"""Digits of a list position; what is longer is a key."""

EACH: Final = "[]"
"""In a path, after the key of a list: what follows is read from each of its items."""

_OPEN: Final = object()
"""A part of a schema that does not describe its content."""

_Step = Callable[[Any, str], tuple[str, Any] | None]
"""The key of a node for a name, and its value; None if there is none."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by the name that the user wrote.

    Attributes:
        name: as written.
        path: the keys that lead to it, once its way is fixed.
        declared: whether the catalog's schema has it, so that its absence from a few rows proves nothing.
        may_guess: whether rows alone may fix the underscored way.
        guessed: whether they did, so that a row with the exact key is still waited for.
        label: the name of the property it becomes; None for its own.
        cast: what its values are converted to; None if they are not converted.
        whole: the setting's text for it, cast and label included; if there is a key of that name, it is the column.
        keys: where it is read: its path, or the dotted way, which before the way is fixed can only find it null below
            a null parent.
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
        """The name of the property it becomes."""
        return self.name if self.label is None else self.label

    def declared_by(self, schema: Mapping[str, Any]) -> Column:
        """This column, with the way that a JSON schema declares, if it declares one."""
        if not isinstance(schema.get("properties"), dict):
            return self  # a schema without any column says nothing about this one
        if literal := self._as_whole(schema, _schema_step):
            return replace(literal, declared=True)
        path = _exact_way(schema, self.name, _schema_step) or _underscored(schema, self.name, _schema_step)
        if path is not None:
            return replace(self, path=path, declared=True)
        return replace(self, declared=_underscored(schema, self.name, _schema_step, through_open=True) is not None)

    def found_in(self, data: Mapping[str, Any]) -> Column:
        """This column, with the way fixed by `data` if it was open and `data` has it."""
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
        """The column whose name is the whole text of the setting, if there is one."""
        found = None if self.whole is None else step(root, self.whole)
        if found is None or found[1] is _OPEN:
            return None
        return Column(str(self.whole), path=(found[0],), may_guess=self.may_guess)

    def read(self, data: Mapping[str, Any]) -> Any | Literal[_Absent.ABSENT]:
        """The value in `data`: None also if a parent is null, ABSENT if there is no such column."""
        return look_up(data, self.keys)


def look_up(data: Any, path: Path) -> Any | Literal[_Absent.ABSENT]:
    """The value at a path of keys and list positions: None also if a parent is null, ABSENT if there is none."""
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
    """What a path leads to in each of the items that has it; lists inside lists become one."""
    values: list[Any] = []
    for item in items:
        value = look_up(item, path)
        if value is not ABSENT and value is not None:
            values.extend(value if EACH in path and isinstance(value, list) else [value])
    return values


def list_in(value: Any) -> list[Any] | None:
    """A list, also one that a text holds; None if the value is not a list."""
    inside = json_inside(value) if isinstance(value, str) else value
    return inside if isinstance(inside, list) else None


def collecting_path(name: str) -> Path | None:
    """The keys of a name with `[]`, as in `items[].sku`; None if it has none."""
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
    """The keys of a path with EACH as the record or the schema writes them, if one item at least has them all."""
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
    """The items of a list; of a schema, what it says of each."""
    if step is not _schema_step:
        return list_in(node) or ()
    if node is _OPEN:
        return (_OPEN,)
    types = node.get("type", "array") if isinstance(node, dict) else ()
    if "array" not in types or (isinstance(node, dict) and "properties" in node):
        return ()
    return (node.get("items") or _OPEN,)


def _exact_way(root: Any, name: str, step: _Step) -> Path | None:
    """The literal, the dotted or the collecting way, with the keys as the record or the schema writes them."""
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
        # Any split of the name is possible in an open object: the rows decide.
        return (found[0],) if found[1] is not _OPEN or through_open else None
    for cut in range(len(name) - 2, 0, -1):
        if name[cut] in "._" and (child := step(node, name[:cut])) is not None:
            rest = _underscored(child[1], name[cut + 1 :], step, through_open=through_open)
            if rest is not None:
                return (child[0], *rest)
    return None


def _key_in(members: Mapping[str, Any], name: str) -> str | None:
    """The key that a name means: itself, or the first one with the same normal form."""
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
    """The JSON object or list in a text; None if it holds neither. Numbers are read exactly."""
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
        # A branch may only constrain its siblings; unless it is of a type itself, it declares nothing.
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
    """Whether a key can be a position in a list."""
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and len(key) <= _LONGEST_POSITION


def is_airbytes(name: str) -> bool:
    """Whether Airbyte adds a column of this name to those of the source; Snowflake writes it in capitals."""
    return name[:1] == "_" and name.lower().startswith(_AIRBYTE_PREFIXES)


def deleted_at(data: Mapping[str, Any]) -> Any:
    """When this row was deleted at its source, as change data capture writes it; None if it was not."""
    for name, value in data.items():
        if name[:1] == "_" and value is not None and name.lower() == DELETED_AT:
            return None if isinstance(value, str) and not value.strip() else value
    return None


def is_deletion(data: Mapping[str, Any]) -> bool:
    """Whether change data capture says that this row was deleted at its source."""
    return deleted_at(data) is not None


def is_plain(name: str) -> bool:
    """Whether all keys in a name look like those of columns; a key in an object may be content, such as an address."""
    return _PLAIN.fullmatch(name.partition(".")[2] or "_") is not None


def column_names(pairs: Iterable[tuple[str, Any]]) -> Iterable[str]:
    """Names by which columns could be picked: the keys, and dotted paths into objects, breadth first."""
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
    """The same, from a JSON schema."""
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
