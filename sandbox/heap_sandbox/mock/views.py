"""What the page lists: for each view its table, its columns, its order and the text that is searched."""

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
        cursor: A number, unique in the table, that is higher the newer a row is.
        request: The number of the request that contained the row.
        columns: What is shown of a row.
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
        # Not the payload, which holds the names of all its fields: everyone would be found who looks for "event".
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
"""The lists by name; `failed` are the requests that were refused, or hit by a fault other than a delay."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Some rows of a view, newest first.

    Attributes:
        rows: The rows.
        next: The cursor to continue before; None when all rows were seen.
        newest: The highest cursor that there was, whether its row is among these or not.
    """

    rows: list[dict[str, Any]]
    next: int | None
    newest: int


def search(words: str) -> Callable[[str], bool]:
    """Whether a text holds every one of the words, in any casing, also if JSON escapes their characters."""
    wanted = [(word, orjson.dumps(word)[1:-1].decode()) for word in words.casefold().split()]

    def holds(text: str) -> bool:
        folded = text.casefold()
        return all(plain in folded or escaped in folded for plain, escaped in wanted)

    return holds
