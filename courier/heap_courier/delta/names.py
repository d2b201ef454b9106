"""Escapes names of folders and columns for readers of Delta tables. Distinct names stay distinct."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from heap_courier.errors import SchemaError

LONGEST: Final = 200
"""The most characters in the name of a folder; file systems allow 255 bytes."""

_ESCAPE: Final = re.compile(r"_(?=x[0-9A-F]+_)")
_NOT_IN_A_FOLDER: Final = re.compile(r"[^A-Za-z0-9_:-]")
# These need column mapping, which not every reader supports: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
_NOT_IN_A_COLUMN: Final = re.compile(r"[ ,;{}()\n\t=]")


def folder_name(domain_table: str) -> str:
    """The folder for a domain table: `Heap.users` for `Heap:users`, `Heap.sign_x20_up` for `Heap:sign up`.

    Raises:
        SchemaError: its name would be too long.
    """
    name = _escaped(domain_table, _NOT_IN_A_FOLDER).replace(":", ".")
    if len(name) > LONGEST:
        raise SchemaError(
            f"The name of the folder for `{domain_table}` would have {len(name)} characters, but at most {LONGEST} are "
            "possible: give the table a shorter name."
        )
    return name


def column_names(columns: Iterable[str]) -> Mapping[str, str]:
    """The names of the columns of a published table, by their names in the domain table.

    Raises:
        SchemaError: two names differ only in case, which readers do not distinguish.
    """
    names: dict[str, str] = {}
    for column in columns:
        name = _escaped(column, _NOT_IN_A_COLUMN)
        if other := next((first for first, given in names.items() if given.lower() == name.lower()), None):
            raise SchemaError(
                f"The names of the columns `{other}` and `{column}` differ only in case: rename one of them."
            )
        names[column] = name
    return names


def _escaped(name: str, refused: re.Pattern[str]) -> str:
    """Replaces each refused character by its code in hexadecimal digits, such as `_x20_`; escapes such text, too."""
    return refused.sub(lambda found: f"_x{ord(found[0]):X}_", _ESCAPE.sub("_x5F_", name))
