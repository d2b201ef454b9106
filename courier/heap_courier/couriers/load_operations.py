"""Load operations: which fetched files go into which feed's domain table.

The grammar: https://docs.amperity.com/legacy/couriers.html.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heap_courier.documents.strict_json import JsonObject, read_json
from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import SetupError

_TYPES: Final = ("load", "truncate")
_EXAMPLE: Final = '{"df-xxxxxx": [{"type": "load", "file": "users"}]}'


@dataclass(frozen=True, slots=True)
class Operations:
    """What is done for one feed.

    Attributes:
        feed_id: the feed, which may not exist.
        truncate: whether the table is emptied first, regardless of its position.
        load_tags: of the files to load, in the order written, each once.
    """

    feed_id: str
    truncate: bool
    load_tags: tuple[str, ...]


def read_operations(path: Path, tags: Collection[str]) -> tuple[Operations, ...]:
    """Reads load operations; `{}` is none: files are fetched and kept, and nothing is loaded.

    Args:
        path: of the file.
        tags: those of the entities list.

    Raises:
        SetupError: the file is missing or not valid, or an operation names an unknown tag.
    """
    return operations_of(read_json(path), path, tags)


def operations_of(document: Any, path: Path, tags: Collection[str]) -> tuple[Operations, ...]:
    """The operations of a document; `path` is the file that holds it, or will. Raises what `read_operations` raises."""
    if not isinstance(document, dict):
        raise SetupError(f"`{path}`: expected an object of feeds and their operations, such as {_EXAMPLE}, or {{}}.")
    return tuple(
        _operations(feed_id, listed, f"`{path}`, feed `{feed_id}`", tags) for feed_id, listed in document.items()
    )


def _operations(feed_id: str, listed: object, where: str, tags: Collection[str]) -> Operations:
    if not isinstance(listed, list) or not listed:
        raise SetupError(f"{where}: expected a list with at least one operation, such as {_EXAMPLE}.")
    truncate = False
    load_tags: dict[str, None] = {}
    for number, item in enumerate(listed, 1):
        given = JsonObject(item, f"{where}, operation {number}")
        kind = given.text("type")
        if kind == "truncate":
            truncate = True
        elif kind == "load":
            load_tags[_tag(given, tags)] = None
        elif kind == "spark-sql":
            raise given.wrong("`spark-sql` is not supported: use `load`, which also reads records, lists and unions")
        else:
            raise given.wrong(
                f"there is no type `{kind}`{did_you_mean(kind, _TYPES) or ': write `load` or `truncate`'}"
            )
        given.end()
    return Operations(feed_id, truncate, tuple(load_tags))


def _tag(given: JsonObject, tags: Collection[str]) -> str:
    tag = given.text("file")
    if tag not in tags:
        known = ", ".join(f"`{other}`" for other in sorted(tags)) or "none"
        raise given.wrong(f"no entity has the `file/tag` `{tag}`{did_you_mean(tag, tags)}; known tags are {known}")
    return tag
