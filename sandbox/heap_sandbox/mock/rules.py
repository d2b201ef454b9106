"""Heap's documented rules for its server-side API, as pure functions from a body to its elements or a refusal.

The pages, as of June 2026:
https://developers.heap.io/reference/track-1, https://developers.heap.io/reference/bulk-track,
https://developers.heap.io/reference/add-user-properties, https://developers.heap.io/reference/bulk-add-user-properties,
https://developers.heap.io/reference/add-account-properties,
https://developers.heap.io/reference/bulk-add-account-properties and https://developers.heap.io/reference/identify-1.

What they leave open, the sandbox refuses, so a client that passes here sends nothing doubtful to Heap. Only
undocumented fields are accepted, and shown in an event's payload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import orjson

from heap_sandbox.mock.values import Refused, optional_text, properties, required_text, time, user_id

BULK_MAXIMUM = 1000
"""Elements of one bulk request (the three bulk pages)."""
IDENTITY_MAXIMUM = 255
"""Characters of an identity (track-1), and of an account_id, whose limit is not documented."""
EVENT_MAXIMUM = 1024
"""Characters of an event's name (track-1)."""

_APP_ID = re.compile(r"[0-9]+")
_LONG_NUMBER = re.compile(rb"[\s:\[,-][0-9]{19}")


@dataclass(frozen=True, slots=True)
class Api:
    """One endpoint of Heap: its path, the name of its bulk list if it has one, and the fields of its single form."""

    path: str
    plural: str | None
    fields: tuple[str, ...]


TRACK = Api(
    "/api/track",
    "events",
    ("identity", "user_id", "event", "properties", "timestamp", "idempotency_key", "session_id"),
)
USERS = Api("/api/add_user_properties", "users", ("identity", "properties"))
ACCOUNTS = Api("/api/add_account_properties", "accounts", ("account_id", "properties"))
IDENTIFY = Api("/api/v1/identify", None, ("user_id", "identity", "timestamp"))
APIS = {api.path: api for api in (TRACK, USERS, ACCOUNTS, IDENTIFY)}


@dataclass(frozen=True, slots=True)
class Event:
    """An event as Heap would store it.

    Attributes:
        identity: The user's identity; None if there is a user_id.
        user_id: Heap's own number of the user.
        event: The name of the event.
        timestamp: Its time as it was sent.
        time: Its time in UTC; None for "now".
        idempotency_key: Makes a repeat harmless.
        session_id: The session that it belongs to.
        properties: A JSON object; arrays are joined to text.
        payload: The element as it arrived.
    """

    identity: str | None
    user_id: str | None
    event: str
    timestamp: str | None
    time: str | None
    idempotency_key: str | None
    session_id: str | None
    properties: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Write:
    """Properties, a JSON object, for one user or account; `subject` is its identity or account_id."""

    subject: str
    properties: bytes


@dataclass(frozen=True, slots=True)
class Identification:
    """The identity that Heap's own `user_id` gets; `timestamp` as it was sent."""

    user_id: str
    identity: str
    timestamp: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """The elements of one valid request: events, writes, or an identification."""

    api: Api
    app_id: str
    bulk: bool
    events: tuple[Event, ...] = ()
    writes: tuple[Write, ...] = ()
    identification: Identification | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known about a body, valid or not."""

    app_id: str | None = None
    form: str | None = None
    elements: int | None = None


def parse(body: bytes) -> Any:
    """The JSON document of a body.

    orjson refuses what is not JSON: NaN, infinities, lone surrogates, invalid UTF-8. But it reads integers beyond 64
    bits as floats, so a body that may contain one is checked again.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused("body", f"not JSON ({error})") from error
    if _LONG_NUMBER.search(body):
        try:
            json.loads(body, parse_int=_within_64_bits)
        except RecursionError as error:  # json allows less nesting than orjson
            raise Refused("body", "nested too deeply") from error
    return document


def outline(api: Api, document: Any) -> Outline:
    """The app_id, the form and the number of elements, as far as the document shows them."""
    if not isinstance(document, dict):
        return Outline()
    app_id = document.get("app_id")
    known = str(app_id) if type(app_id) in (str, int) else None
    if api.plural is None or api.plural not in document:
        return Outline(known, "single", 1)
    elements = document[api.plural]
    return Outline(known, "bulk", len(elements) if isinstance(elements, list) else None)


def read(api: Api, document: Any, app_ids: AbstractSet[str] = frozenset()) -> Batch:
    """Every element of the document, or Refused: one invalid element fails the whole request.

    Args:
        api: The endpoint that received the document.
        document: The parsed body.
        app_ids: The only apps that exist; if empty, any digits are accepted.
    """
    if not isinstance(document, dict):
        raise Refused("body", "must be an object")
    app_id = _app_id(api, document, app_ids)
    if api is IDENTIFY:
        return Batch(api, app_id, bulk=False, identification=_identification(document))
    bulk = api.plural is not None and api.plural in document
    single = {"": {key: document[key] for key in document if key != "app_id"}}
    elements = _bulk(api, api.plural, document) if api.plural is not None and bulk else single
    if api is TRACK:
        return Batch(api, app_id, bulk, events=tuple(_event(element, where) for where, element in elements.items()))
    write = _user if api is USERS else _account
    return Batch(api, app_id, bulk, writes=tuple(write(element, where) for where, element in elements.items()))


def _app_id(api: Api, document: dict[str, Any], app_ids: AbstractSet[str]) -> str:
    app_id = document.get("app_id")
    if api is ACCOUNTS and type(app_id) is int and app_id >= 0:  # "integer" in the OpenAPI of add-account-properties
        app_id = str(app_id)
    if not isinstance(app_id, str) or not _APP_ID.fullmatch(app_id):
        raise Refused("app_id", "must be a string of digits")
    if app_ids and app_id not in app_ids:
        raise Refused("app_id", "no such app")
    return app_id


def _bulk(api: Api, plural: str, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The elements of the list, each by its place for error messages."""
    if beside := [field for field in api.fields if field in document]:
        raise Refused(plural, f"cannot be combined with {beside[0]}: a body is either single or bulk")
    return elements_of(plural, document[plural], BULK_MAXIMUM)


def elements_of(plural: str, elements: Any, maximum: int) -> dict[str, dict[str, Any]]:
    """The objects of a list, each by its place for error messages."""
    if not isinstance(elements, list):
        raise Refused(plural, "must be a list")
    if not 0 < len(elements) <= maximum:
        raise Refused(plural, f"has {len(elements)} elements; 1 to {maximum} are allowed")
    for position, element in enumerate(elements):
        if not isinstance(element, dict):
            raise Refused(f"{plural}[{position}]", "must be an object")
    return {f"{plural}[{position}].": element for position, element in enumerate(elements)}


def _event(element: dict[str, Any], where: str) -> Event:
    if ("identity" in element) == ("user_id" in element):
        raise Refused(where + "identity", "exactly one of identity and user_id is required")
    key = optional_text(element, where, "idempotency_key")
    if key == "":
        raise Refused(where + "idempotency_key", "is empty")
    return Event(
        identity=required_text(element, where, "identity", IDENTITY_MAXIMUM) if "identity" in element else None,
        user_id=user_id(element, where),
        event=required_text(element, where, "event", EVENT_MAXIMUM),
        timestamp=element.get("timestamp"),
        time=time(element, where),
        idempotency_key=key,
        session_id=optional_text(element, where, "session_id"),
        properties=orjson.dumps(properties(element, where, arrays=True)),
        payload=_payload(element, where),
    )


def _user(element: dict[str, Any], where: str) -> Write:
    if "user_id" in element:
        raise Refused(where + "user_id", "is not accepted; use identity")
    identity = required_text(element, where, "identity", IDENTITY_MAXIMUM)
    wanted = properties(element, where, arrays=False)
    for key in wanted:
        if key.lower() == "id":
            raise Refused(f"{where}properties.{key}", "is not allowed as the name of a user property")
    return Write(identity, orjson.dumps(wanted))


def _account(element: dict[str, Any], where: str) -> Write:
    if "properties" not in element:
        raise Refused(where + "properties", "is required")
    account_id = required_text(element, where, "account_id", IDENTITY_MAXIMUM)
    return Write(account_id, orjson.dumps(properties(element, where, arrays=False)))


def _identification(document: dict[str, Any]) -> Identification:
    number = user_id(document, "")
    if number is None:
        raise Refused("user_id", "is required")
    time(document, "")
    identity = required_text(document, "", "identity", IDENTITY_MAXIMUM)
    return Identification(number, identity, document.get("timestamp"))


def _payload(element: dict[str, Any], where: str) -> bytes:
    try:
        return orjson.dumps(element)
    except orjson.JSONEncodeError as error:  # only an undocumented field can be nested this deeply
        raise Refused(where.removesuffix(".") or "body", "nested too deeply") from error


def _within_64_bits(digits: str) -> None:
    if len(digits) > len(str(-(2**64))) or not -(2**63) <= int(digits) < 2**64:
        raise Refused("body", "contains an integer beyond 64 bits")
