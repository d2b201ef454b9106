"""Heap's User Deletion API: tokens, requests and their status (https://developers.heap.io/reference/user-deletion).

A token is good for five minutes (https://help.heap.io/data-privacy/data-deletion/user-deletion-with-postman). How long
Heap takes to delete is not documented: here the users are deleted immediately, and the status shows it a little later.
"""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from heap_sandbox.mock.rules import IDENTITY_MAXIMUM, Outline, elements_of, parse
from heap_sandbox.mock.values import NUMBER_MAXIMUM, Refused, required_text, user_id

TOKEN = "/api/public/v0/auth_token"  # noqa: S105  # an address
SUBMIT = "/api/public/v0/user_deletion"
STATUS = "/api/public/v0/deletion_status"
METHODS = {TOKEN: "POST", SUBMIT: "POST", STATUS: "GET"}
USERS_MAXIMUM = 10_000
"""Users of one request."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The users of one request: their identities, and Heap's own IDs of others."""

    number: str
    app_id: str
    identities: tuple[str, ...]
    user_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """Heap's response: `reason` is why it refuses; `erasure` is what to delete if it does not."""

    status: int
    content: Mapping[str, Any]
    outline: Outline
    reason: str | None = None
    erasure: Erasure | None = None


def address(path: str) -> str | None:
    """The endpoint of this API that a path belongs to, without the request ID that follows the status endpoint."""
    if path.startswith(f"{STATUS}/"):
        return STATUS
    return path if path in (TOKEN, SUBMIT) else None


class Deletions:
    """Issues tokens and answers requests.

    Attributes:
        api_keys: The only keys that are valid; if empty, any key is.
    """

    def __init__(self, timer: Callable[[], float], api_keys: AbstractSet[str] = frozenset()) -> None:
        self.api_keys = api_keys
        self._timer = timer
        self._tokens: dict[str, tuple[str, float]] = {}

    def clear(self) -> None:
        """Invalidate all tokens."""
        self._tokens.clear()

    def token(self, authorization: str, app_ids: AbstractSet[str], seconds: float) -> Reply:
        """A token for an app ID and its API key, valid for `seconds` seconds."""
        app_id, key = _credentials(authorization)
        known = app_id.isascii() and app_id.isdigit() and (not app_ids or app_id in app_ids)
        if not known or not key or (self.api_keys and key not in self.api_keys):
            return refusal(401, "Unauthorized", Outline(app_id or None))
        now = self._timer()
        self._tokens = {token: owner for token, owner in self._tokens.items() if owner[1] > now}
        token = secrets.token_urlsafe(24)
        self._tokens[token] = app_id, now + seconds
        return Reply(200, {"access_token": token}, Outline(app_id, "single"))

    def submit(self, authorization: str, body: bytes) -> Reply:
        """A request to delete the users in a body."""
        app_id = self._owner(authorization)
        if app_id is None:
            return refusal(401, "Unauthorized", Outline())
        outline = Outline(app_id, "bulk")
        try:
            document = parse(body)
            users = document.get("users") if isinstance(document, dict) else None
            outline = Outline(app_id, "bulk", len(users) if isinstance(users, list) else None)
            erasure = _erasure(app_id, users)
        except Refused as refused:
            return refusal(400, str(refused), outline)
        content = {
            "deletion_request_location": f"{STATUS}/{erasure.number}",
            "deletion_request_id": erasure.number,
            "status": "pending",
        }
        return Reply(201, content, outline, erasure=erasure)

    def status(self, authorization: str, number: str, since: datetime | None, now: datetime, seconds: float) -> Reply:
        """The status of a request that arrived at `since`, if it did; `seconds` is how long a deletion takes."""
        app_id = self._owner(authorization)
        if app_id is None:
            return refusal(401, "Unauthorized", Outline())
        if since is None:
            return refusal(404, "Not found", Outline(app_id))
        status = "complete" if (now - since).total_seconds() >= seconds else "pending"
        return Reply(200, {"deletion_request_id": number, "status": status}, Outline(app_id))

    def _owner(self, authorization: str) -> str | None:
        """The app ID that a token was issued for; None if the token is unknown or has expired."""
        scheme, _, token = authorization.partition(" ")
        app_id, end = self._tokens.get(token.strip(), ("", float("-inf")))
        return app_id if scheme.lower() == "bearer" and self._timer() < end else None


def refusal(status: int, message: str, outline: Outline) -> Reply:
    """A response with an error message."""
    return Reply(status, {"err": {"message": message}}, outline, message)


def _credentials(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        app_id, _, key = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (app_id, key) if scheme.lower() == "basic" else ("", "")


def _erasure(app_id: str, users: Any) -> Erasure:
    identities, user_ids = [], []
    for where, user in elements_of("users", users, USERS_MAXIMUM).items():
        if ("identity" in user) == ("user_id" in user):
            raise Refused(where + "identity", "exactly one of identity and user_id is required")
        if "identity" in user:
            identities.append(required_text(user, where, "identity", IDENTITY_MAXIMUM))
        else:
            user_ids.append(_number(user, where))
    return Erasure(secrets.token_hex(12), app_id, tuple(identities), tuple(user_ids))


def _number(user: dict[str, Any], where: str) -> str:
    """Accepts a number, as in Heap's sample of a deletion, and a string, as everywhere else."""
    value = user["user_id"]
    if type(value) is int:
        if not 0 <= value <= NUMBER_MAXIMUM:
            raise Refused(where + "user_id", f"must be from 0 to {NUMBER_MAXIMUM}")
        return str(value)
    return user_id(user, where) or ""
