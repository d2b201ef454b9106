"""Names of folders and columns that every reader of Delta tables accepts: injective, so that no two become one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from heap_courier.errors import SchemaError

LONGEST: Final = 200
"""Characters of a folder's name: file systems take 255 bytes."""

_ESCAPE: Final = re.compile(r"_(?=x[0-9A-F]+_)")
_NOT_IN_A_FOLDER: Final = re.compile(r"[^A-Za-z0-9_:-]")
# https://github.com/delta-io/delta/blob/master/PROTOCOL.md: these need column mapping, which not every reader has
_NOT_IN_A_COLUMN: Final = re.compile(r"[ ,;{}()\n\t=]")


def folder_name(domain_table: str) -> str:
    """The folder of a domain table: `Heap:users` is `Heap.users`, `Heap:sign up` is `Heap.sign_x20_up`.

    Raises:
        SchemaError: it would be too long.
    """
    name = _escaped(domain_table, _NOT_IN_A_FOLDER).replace(":", ".")
    if len(name) > LONGEST:
        raise SchemaError(
            f"The folder of `{domain_table}` would have a name of {len(name)} characters, {LONGEST} at most are "
            "possible: give the table a shorter name."
        )
    return name


def column_names(columns: Iterable[str]) -> Mapping[str, str]:
    """The columns of a published table by those of the domain table.

    Raises:
        SchemaError: two differ in case alone, which readers do not distinguish.
    """
    names: dict[str, str] = {}
    for column in columns:
        name = _escaped(column, _NOT_IN_A_COLUMN)
        if other := next((first for first, given in names.items() if given.lower() == name.lower()), None):
            raise SchemaError(f"The columns `{other}` and `{column}` differ in case alone: rename one of them.")
        names[column] = name
    return names


def _escaped(name: str, refused: re.Pattern[str]) -> str:
    """Each refused character as `_x20_`, its number in hexadecimal digits; what looks like that already, too."""
    return refused.sub(lambda found: f"_x{ord(found[0]):X}_", _ESCAPE.sub("_x5F_", name))
