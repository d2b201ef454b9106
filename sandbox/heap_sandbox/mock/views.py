"""What the page lists: the table, columns, order and searched text of each view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_PREVIEW = "substr(properties, 1, 600) AS preview"  # two lines on a wide screen; the whole row is one click away


@dataclass(frozen=True, slots=True)
class View:
    """One list, as SQL of this package.

    Attributes:
        table: The table of its rows.
        cursor: A number, unique in the table, that is greater for newer rows.
        request: The number of the request that contained the row.
        columns: What a row shows.
        text: The text that is searched; never null.
        condition: Which of the table's rows belong to it.
    """

    table: str
    cursor: str
    request: str
    columns: str
    text: str
    condition: str = "TRUE"


VIEWS: Mapping[str, View] = {
    "events": View(
        "events",
        "id",
        "request",
        f"event, COALESCE(identity, user_id) AS who, time AS at, {_PREVIEW}",
        # Not the payload, which contains the names of its fields: a search for "event" would match every row.
        "COALESCE(identity, user_id) || ' ' || event || ' ' || properties || ' ' || COALESCE(idempotency_key, '')",
    ),
    "users": View(
        "users", "revision", "request", f"identity AS who, writes, {_PREVIEW}", "identity || ' ' || properties"
    ),
    "accounts": View(
        "accounts", "revision", "request", f"account_id AS who, writes, {_PREVIEW}", "account_id || ' ' || properties"
    ),
    "identities": View(
        "identities",
        "id",
        "request",
        "identity AS who, user_id AS user, COALESCE('ignored: ' || ignored, 'assigned') AS outcome",
        "identity || ' ' || user_id || ' ' || COALESCE(ignored, '')",
    ),
    "deletions": View(
        "deletions",
        "id",
        "request",
        "deletion_request_id AS who, asked, users AS gone, events AS lost",
        "deletion_request_id",
    ),
    "failed": View(
        "requests",
        "id",
        "id",
        "path, elements, status, fault, reason",
        "path || ' ' || COALESCE(status, '') || ' ' || COALESCE(fault, '') || ' ' || COALESCE(reason, '')",
        "(reason IS NOT NULL OR fault <> 'latency')",
    ),
}
"""The lists by name; `failed` are requests that were refused, or hit by a fault other than a delay."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Some rows of a view, newest first.

    Attributes:
        rows: The rows.
        next: The cursor to continue before; None after the last row.
        newest: The highest cursor in the table, even if its row is not among these.
    """

    rows: list[dict[str, Any]]
    next: int | None
    newest: int


def search(words: str) -> Callable[[str], bool]:
    """Whether a text contains all of the words, in any letter case, even if JSON escapes their characters."""
    wanted = [(word, orjson.dumps(word)[1:-1].decode()) for word in words.casefold().split()]

    def holds(text: str) -> bool:
        folded = text.casefold()
        return all(plain in folded or escaped in folded for plain, escaped in wanted)

    return holds
