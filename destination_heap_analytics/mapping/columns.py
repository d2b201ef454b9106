"""A column such as `identities.user_id`: what it names, and where a record has it.

A column is read in one of three ways, tried in this order:

    literal       the key `identities.user_id` itself
    dotted        `user_id` inside `identities`; list positions are numbers: `visits.0.date`
    underscored   the same, where the user writes an underscore for a dot: `identities_user_id`

The way is fixed once per run, by the catalog's schema or else by the first record that has the column.
A record that lacks the column in that way lacks it: guessing anew for each row could send a row to the wrong person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Literal

from destination_heap_analytics.protocol.catalog import Path


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""There is no such column in the record; null is a value, and something else."""

AIRBYTE_PREFIXES: Final = ("_airbyte_", "_ab_")
"""What the columns begin with that Airbyte adds to those of the source."""

_PLAIN: Final = re.compile(r"(?:[^\W\d][\w-]{0,63}|\d{1,4})(?:\.(?:[^\W\d][\w-]{0,63}|\d{1,4}))*")

_LONGEST_POSITION: Final = 9
"""Digits of a list position; what is longer is a key."""

_OPEN: Final = object()
"""A part of a schema that says nothing of what is inside it."""

_Step = Callable[[Any, str], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column by the name that the user wrote.

    Attributes:
        name: as written; also the name of the property it becomes.
        path: the keys that lead to it, once its way is fixed.
        declared: whether the catalog's schema has it, so that its absence from a few rows proves nothing.
        keys: where it is read: its path, or the dotted way, which before the way is fixed can only find it null below
            a null parent.
    """

    name: str
    path: Path | None = None
    declared: bool = False
    keys: Path = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", self.path or tuple(self.name.split(".")))

    def declared_by(self, schema: Mapping[str, Any]) -> Column:
        """This column, with the way that a JSON schema declares, if it declares one."""
        if not isinstance(schema.get("properties"), dict):
            return self  # a schema that names no column at all knows nothing of this one
        path = _way(schema, self.name, _schema_step)
        if path is not None:
            return replace(self, path=path, declared=True)
        return replace(self, declared=_underscored(schema, self.name, _schema_step, through_open=True) is not None)

    def found_in(self, data: Mapping[str, Any]) -> Column:
        """This column, with the way fixed by `data` if it was open and `data` has it."""
        if self.path is not None:
            return self
        path = _way(data, self.name, _data_step)
        return self if path is None else replace(self, path=path)

    def read(self, data: Mapping[str, Any]) -> Any | Literal[_Absent.ABSENT]:
        """The value in `data`: None also where a parent is null, ABSENT where there is no such column."""
        return look_up(data, self.keys)


def look_up(data: Any, path: Path) -> Any | Literal[_Absent.ABSENT]:
    """The value at a path of keys and list positions: None also where a parent is null, ABSENT where there is none."""
    for key in path:
        if isinstance(data, dict):
            data = data.get(key, ABSENT)
        elif data is None:
            return None
        else:
            data = _data_step(data, key)
    return data


def _way(root: Any, name: str, step: _Step) -> Path | None:
    for path in ((name,), tuple(name.split("."))):
        node = root
        for key in path:
            node = step(node, key)
            if node is ABSENT:
                break
        else:
            return path
    return _underscored(root, name, step)


def _underscored(node: Any, name: str, step: _Step, *, through_open: bool = False) -> Path | None:
    """The keys that spell `name` when joined with dots or underscores; longer keys are preferred."""
    found = step(node, name)
    if found is _OPEN and not through_open:
        return None  # any split of the name would do: the rows decide
    if found is not ABSENT:
        return (name,)
    for cut in range(len(name) - 2, 0, -1):
        if name[cut] in "._" and (child := step(node, name[:cut])) is not ABSENT:
            rest = _underscored(child, name[cut + 1 :], step, through_open=through_open)
            if rest is not None:
                return (name[:cut], *rest)
    return None


def _data_step(node: Any, key: str) -> Any:
    if isinstance(node, dict):
        return node.get(key, ABSENT)
    if isinstance(node, list) and _is_position(key) and int(key) < len(node):
        return node[int(key)]
    return ABSENT


def _schema_step(node: Any, key: str) -> Any:
    if node is _OPEN:
        return _OPEN
    if not isinstance(node, dict):
        return ABSENT
    properties, types = node.get("properties"), node.get("type")
    if isinstance(properties, dict) and key in properties:
        return properties[key]
    branches = [branch for word in ("oneOf", "anyOf", "allOf") for branch in _list(node.get(word))]
    if branches:
        # A branch may only constrain what stands beside it; unless it is of a type itself, it declares nothing.
        found = (_schema_step(branch, key) for branch in branches if _is_typed(branch))
        return next((child for child in found if child is not ABSENT), ABSENT)
    if isinstance(properties, dict):
        return ABSENT
    types = types if isinstance(types, (str, list)) else "object"
    if "array" in types and _is_position(key):
        return node.get("items") or _OPEN
    return _OPEN if "object" in types else ABSENT


def _is_typed(branch: Any) -> bool:
    return isinstance(branch, dict) and not branch.keys().isdisjoint(("type", "properties", "oneOf", "anyOf", "allOf"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_position(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and len(key) <= _LONGEST_POSITION


def source_columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """A record without the columns that Airbyte adds to those of the source."""
    return {name: value for name, value in data.items() if not name.startswith(AIRBYTE_PREFIXES)}


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
            if isinstance(value, dict):
                deeper.extend((f"{name}.{key}", inner) for key, inner in value.items())
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
