"""The rules that every feed must follow, however it was made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from heap_courier.data_types import date_patterns
from heap_courier.data_types.field_types import Kind
from heap_courier.documents.wording import did_you_mean
from heap_courier.feeds import tags
from heap_courier.feeds.model import GENERATED, PRIMARY_KEY, UPDATED, Feed, Field

ILLEGAL_NAME: Final = (
    "Field names may only contain letters, numbers, and underscores. "
    "If an incoming field name has unsupported characters, add a rename."
)
NAME_CONFLICT: Final = (
    "There is a name conflict in the resulting fields of this feed. "
    "Make sure that none of the field names are duplicated (including any generated fields)."
)
"""Both texts are as documented: https://docs.amperity.com/reference/feeds.html."""

LONGEST_NAME: Final = 63  # bytes of a column's name in PostgreSQL, which silently truncates longer ones
RESERVED: Final = frozenset({PRIMARY_KEY, UPDATED})

_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_ID: Final = re.compile(r"df-[A-Za-z0-9]+")
_MOST_PER_CENT: Final = 100


def check(feed: Feed) -> None:
    """Checks a feed.

    Raises:
        ValueError: the first rule that it violates, in a sentence.
    """
    if not _ID.fullmatch(feed.id):
        raise ValueError(f"the id `{feed.id}` must be `df-` followed by letters or digits, such as df-5Jagkabc.")
    if not feed.source.strip() or not feed.name.strip() or ":" in feed.source:
        raise ValueError("`source` and `name` form the table's name, `source:name`; set both, without a colon.")
    if not feed.domain_table.isprintable():
        raise ValueError("`source` or `name` contains an unprintable character; remove it.")
    if len(feed.domain_table.encode()) > LONGEST_NAME:
        raise ValueError(f"the domain table's name is longer than {LONGEST_NAME} bytes; shorten `source` or `name`.")
    if not feed.fields:
        raise ValueError("`fields` is empty; a feed needs at least one.")
    _check_names(feed)
    for field in feed.fields:
        _check_field(field)
    _check_key(feed)
    if not 0 <= feed.error_threshold <= _MOST_PER_CENT:
        raise ValueError(f"`error-threshold` is {feed.error_threshold}; it must be a whole percentage from 0 to 100.")


def _check_names(feed: Feed) -> None:
    for field in feed.fields:
        if not _NAME.fullmatch(field.name):
            raise ValueError(f"field `{field.name}`: {ILLEGAL_NAME}")
        if len(field.name) > LONGEST_NAME:
            raise ValueError(f"field `{field.name}`: its name is longer than {LONGEST_NAME} characters; add a rename.")
    seen = set(RESERVED)
    for field in feed.fields:
        if field.name.lower() in seen:
            raise ValueError(f"field `{field.name}`: {NAME_CONFLICT}")
        seen.add(field.name.lower())


def _check_field(field: Field) -> None:
    if not field.source:
        raise ValueError(f"field `{field.name}` has an empty `source`; set it to the incoming name, or remove it.")
    if field.tag is not None and not tags.legal(field.tag):
        raise ValueError(
            f"field `{field.name}`: the tag `{field.tag}` must consist of lowercase letters, digits and hyphens."
        )
    if field.pattern is None:
        return
    if field.type.kind not in (Kind.DATE, Kind.DATETIME):
        raise ValueError(f"field `{field.name}` has a pattern, which only a Date or Datetime can have; remove it.")
    try:
        date_patterns.reader(field.pattern)
    except ValueError as error:
        raise ValueError(f"field `{field.name}`: the pattern `{field.pattern}` {error}.") from None


def _check_key(feed: Feed) -> None:
    types = {field.name: field.type for field in feed.fields}
    if not feed.primary_key:
        raise ValueError("`primary-key` is empty; list the fields that identify a row.")
    for name in feed.primary_key:
        if name not in types:
            raise ValueError(f"`primary-key` lists `{name}`, which is not a field{_nearest(name, types)}.")
    if len(set(feed.primary_key)) < len(feed.primary_key):
        raise ValueError("`primary-key` lists a field twice; remove one.")
    if feed.last_updated is None:
        return
    if feed.last_updated not in types:
        raise ValueError(
            f"`last-updated` is `{feed.last_updated}`, which is not a field"
            f"{_nearest(feed.last_updated, types)}; if there is no such field, write `{GENERATED}`."
        )
    if types[feed.last_updated].kind not in (Kind.DATETIME, Kind.INTEGER):
        raise ValueError(
            f"`last-updated` is `{feed.last_updated}`, a {types[feed.last_updated]}; it must be a Datetime or an "
            f"Integer (a day is too coarse), or `{GENERATED}`."
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known) or f" (known: {', '.join(known)})"
