"""What Heap documents of its server-side API: endpoints, names and limits, in one place.

Sources, as of June 2026:
    https://developers.heap.io/reference/track-1 and /bulk-track
    https://developers.heap.io/reference/add-user-properties and /bulk-add-user-properties
    https://developers.heap.io/reference/add-account-properties and /bulk-add-account-properties
    https://developers.heap.io/reference/identify-1
    https://developers.heap.io/reference/user-deletion
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

US_HOST: Final = "https://heapanalytics.com"
EU_HOST: Final = "https://c.eu.heap-api.com"

MAX_IDENTITY: Final = 255
"""UTF-16 units of an identity; Heap documents no limit for an account ID; the same is applied."""

MAX_EVENT: Final = 1024
"""UTF-16 units of an event's name."""

MAX_PROPERTY: Final = 1023
"""UTF-16 units of a property's name or text: "fewer than 1024"."""

MAX_LIST: Final = 1024
"""UTF-16 units of a list after Heap has joined it with `LIST_SEPARATOR`; Heap cuts the rest."""

MAX_INTEGER: Final = 2**53 - 1
"""Largest integer that a JSON number carries safely, as Heap's own ids show (0 to 2^53 - 1)."""

MAX_BULK: Final = 1000
"""Elements of one bulk request."""

MAX_DELETED: Final = 10_000
"""Users of one deletion request."""

TOKEN_PATH: Final = "/api/public/v0/auth_token"  # noqa: S105  # an address
"""Where an app ID and its API key are exchanged for the token that deletions need."""

DELETION_STATUS_PATH: Final = "/api/public/v0/deletion_status/"
"""Where the status of a deletion request is; its ID follows."""

EVENTS_PER_MINUTE: Final = 15_000
"""Heap's limit for one app by bulk Track."""

USER_IDS_PER_IDENTITY: Final = 10
"""User IDs that Identify gives to one identity in a month; Heap drops further calls without an error."""

LIST_SEPARATOR: Final = "||"
"""What Heap joins a list with when it stores a track property."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` within any `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of Heap's APIs.

    Attributes:
        path: below the base URL; single and bulk requests share it.
        bulk_field: the field of a bulk request that holds its elements; None if there is no bulk form.
        most: elements of a bulk request.
        has_single: whether there is a form for a single element.
        names_app: whether the app ID is part of the body.
        key_field: the field that says whose row it is; rows of one key keep their order.
        takes_lists: whether a property may be a list of scalars (documented for Track alone).
        reserved: property names that Heap forbids, in lower case; any casing of them is forbidden.
        bulk_rate: what bulk requests may carry for one identity; None if it is not documented.
        single_rate: the same for single requests.
    """

    title: str
    path: str
    bulk_field: str | None
    key_field: str
    takes_lists: bool
    reserved: frozenset[str]
    most: int = MAX_BULK
    has_single: bool = True
    names_app: bool = True
    bulk_rate: Rate | None = None
    single_rate: Rate | None = None


class Api(Enum):
    """The APIs, by the setting `api.api_type`."""

    TRACK = "track"
    USER_PROPERTIES = "add_user_properties"
    ACCOUNT_PROPERTIES = "add_account_properties"
    IDENTIFY = "identify"
    DELETE_USERS = "delete_users"

    @property
    def endpoint(self) -> Endpoint:
        """What Heap documents of this API."""
        return _ENDPOINTS[self]


_ENDPOINTS: Final = {
    Api.TRACK: Endpoint(
        "Track Events",
        "/api/track",
        "events",
        "identity",
        takes_lists=True,
        reserved=frozenset(),
        bulk_rate=Rate(1000, 60),
        single_rate=Rate(30, 30),
    ),
    Api.USER_PROPERTIES: Endpoint(
        "Add User Properties",
        "/api/add_user_properties",
        "users",
        "identity",
        takes_lists=False,
        reserved=frozenset({"id"}),
        single_rate=Rate(30, 30),
    ),
    Api.ACCOUNT_PROPERTIES: Endpoint(
        "Add Account Properties",
        "/api/add_account_properties",
        "accounts",
        "account_id",
        takes_lists=False,
        reserved=frozenset(),
    ),
    Api.DELETE_USERS: Endpoint(
        "Delete Users",
        "/api/public/v0/user_deletion",
        "users",
        "identity",
        takes_lists=False,
        reserved=frozenset(),
        most=MAX_DELETED,
        has_single=False,
        names_app=False,
    ),
    Api.IDENTIFY: Endpoint("Identify", "/api/v1/identify", None, "identity", takes_lists=False, reserved=frozenset()),
}


def text_units(text: str) -> int:
    """Length of a text as Heap counts it: in UTF-16 units, the stricter of its clients' two ways."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut_text(text: str, units: int) -> str:
    """The longest beginning of `text` within `units` UTF-16 units that ends on a whole character."""
    if text.isascii():
        return text[:units]
    return text.encode("utf-16-le", "surrogatepass")[: units * 2].decode("utf-16-le", "ignore")
