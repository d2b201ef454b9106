"""Load operations: which fetched files are loaded by which feed.

The grammar: https://docs.amperity.com/legacy/couriers.html.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationInfo, field_validator

from heap_courier.documents.schema import IN_JSON, LAZY, JsonSection, Location, Schema
from heap_courier.documents.strict_json import read_json
from heap_courier.documents.wording import did_you_mean, listed

_EXAMPLE: Final = '{"df-xxxxxx": [{"type": "load", "file": "users"}]}'


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of one feed.

    Attributes:
        feed_id: the feed, which may not exist.
        truncate: whether to empty the table first, wherever `truncate` is in the list.
        load_tags: the tags of the files to load, in order, without duplicates.
    """

    feed_id: str
    truncate: bool
    load_tags: tuple[str, ...]


def read_operations(path: Path, tags: Collection[str]) -> tuple[Operations, ...]:
    """Reads load operations; none (`{}`) means that files are fetched and kept, but not loaded.

    Args:
        path: the file.
        tags: the tags of the entities list.

    Raises:
        SetupError: the file is missing or not valid, or an operation has an unknown tag.
    """
    return operations_of(read_json(path), path, tags)


def operations_of(document: Any, path: Path, tags: Collection[str]) -> tuple[Operations, ...]:
    """The operations of a parsed document; `path` is its file in error messages. Raises as `read_operations` does."""
    feeds = _SCHEMA.parse(document, path, tags)
    return tuple(_operations(feed_id, sections) for feed_id, sections in feeds.items())


class _Truncate(JsonSection):
    type: Literal["truncate"]


class _Load(JsonSection):
    type: Literal["load"]
    file: str

    @field_validator("file")
    @classmethod
    def _is_fetched(cls, tag: str, entities: ValidationInfo) -> str:
        tags: Collection[str] = entities.context or ()
        if tag not in tags:
            raise ValueError(
                f"is `{tag}`, but no entity has that `file/tag`{did_you_mean(tag, tags)}; known tags are "
                f"{listed(sorted(tags)) or 'none'}"
            )
        return tag


def _supported(section: object) -> object:
    if isinstance(section, dict) and section.get("type") == "spark-sql":
        raise ValueError(
            "is a `spark-sql`, which is not supported: use `load`, which also reads records, lists and unions"
        )
    return section


def _not_empty(sections: list[Any]) -> list[Any]:
    if not sections:
        raise ValueError(f"must have at least one operation, such as {_EXAMPLE}")
    return sections


def _operations(feed_id: str, sections: Iterable[_Truncate | _Load]) -> Operations:
    tags = dict.fromkeys(section.file for section in sections if isinstance(section, _Load))
    return Operations(feed_id, any(isinstance(section, _Truncate) for section in sections), tuple(tags))


def _place(location: Location, document: object) -> str:  # noqa: ARG001  (a place of any `Schema`)
    """A place in load operations: "feed `df-1`, operation 2, `file`"."""
    feed_id, *rest = location
    numbered = [f"operation {part + 1}" if isinstance(part, int) else f"`{part}`" for part in rest]
    return ", ".join([f"feed `{feed_id}`", *numbered])


_Operation = Annotated[
    Annotated[_Truncate | _Load, Field(discriminator="type")],
    BeforeValidator(_supported),
]
_SCHEMA: Final = Schema(
    TypeAdapter(dict[str, Annotated[list[_Operation], AfterValidator(_not_empty)]], config=LAZY),
    _place,
    ("type", ("load", "truncate")),
    {
        **IN_JSON,
        "dict_type": f"must be an object of feeds and their operations, such as {_EXAMPLE}, or {{}}",
        "list_type": f"must be a list with at least one operation, such as {_EXAMPLE}",
    },
)
