"""Heap's server-side API as documented: endpoints, names and limits.

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
"""UTF-16 units of an identity. Heap documents no limit for account IDs; the same one is applied."""

MAX_EVENT: Final = 1024
"""UTF-16 units of the name of an event."""

MAX_PROPERTY: Final = 1023
"""UTF-16 units of the name or text of a property: "fewer than 1024"."""

MAX_LIST: Final = 1024
"""UTF-16 units of a list that Heap has joined with `LIST_SEPARATOR`; Heap truncates the rest."""

MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that is safe as a JSON number; Heap's own IDs range from 0 to 2^53 - 1."""

MAX_BULK: Final = 1000
"""The most elements in a bulk request."""

MAX_DELETED: Final = 10_000
"""The most users in a deletion request."""

TOKEN_PATH: Final = "/api/public/v0/auth_token"  # noqa: S105  # an address
"""The path at which an app ID and an API key are exchanged for the token that deletions need."""

DELETION_STATUS_PATH: Final = "/api/public/v0/deletion_status/"
"""The path of the status of a deletion request; its ID is appended."""

EVENTS_PER_MINUTE: Final = 15_000
"""Heap's limit for bulk Track requests, per app."""

USER_IDS_PER_IDENTITY: Final = 10
"""The most user IDs that Identify assigns to one identity per month; Heap ignores further calls without an error."""

LIST_SEPARATOR: Final = "||"
"""The separator with which Heap joins a list to store it as an event property."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` within any period of `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of Heap's APIs.

    Attributes:
        path: the path below the base URL, for single and bulk requests.
        bulk_field: the field of a bulk request that contains the elements; None if there are no bulk requests.
        most: the most elements in a bulk request.
        has_single: whether there are requests for a single element.
        has_app_id: whether the body contains the app ID.
        key_field: the field that identifies the user or account; rows with the same key keep their order.
        accepts_lists: whether a property may be a list of scalars (documented only for Track).
        reserved: property names that Heap does not allow in any letter case; listed in lower case.
        bulk_rate: the limit per identity for elements of bulk requests; None if none is documented.
        single_rate: the same for single requests.
    """

    title: str
    path: str
    bulk_field: str | None
    key_field: str
    accepts_lists: bool
    reserved: frozenset[str]
    most: int = MAX_BULK
    has_single: bool = True
    has_app_id: bool = True
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
        """The endpoint of this API."""
        return _ENDPOINTS[self]


_ENDPOINTS: Final = {
    Api.TRACK: Endpoint(
        "Track Events",
        "/api/track",
        "events",
        "identity",
        accepts_lists=True,
        reserved=frozenset(),
        bulk_rate=Rate(1000, 60),
        single_rate=Rate(30, 30),
    ),
    Api.USER_PROPERTIES: Endpoint(
        "Add User Properties",
        "/api/add_user_properties",
        "users",
        "identity",
        accepts_lists=False,
        reserved=frozenset({"id"}),
        single_rate=Rate(30, 30),
    ),
    Api.ACCOUNT_PROPERTIES: Endpoint(
        "Add Account Properties",
        "/api/add_account_properties",
        "accounts",
        "account_id",
        accepts_lists=False,
        reserved=frozenset(),
    ),
    Api.DELETE_USERS: Endpoint(
        "Delete Users",
        "/api/public/v0/user_deletion",
        "users",
        "identity",
        accepts_lists=False,
        reserved=frozenset(),
        most=MAX_DELETED,
        has_single=False,
        has_app_id=False,
    ),
    Api.IDENTIFY: Endpoint("Identify", "/api/v1/identify", None, "identity", accepts_lists=False, reserved=frozenset()),
}


def text_units(text: str) -> int:
    """The length of a text in UTF-16 units, the stricter of the two ways in which Heap's clients count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut_text(text: str, units: int) -> str:
    """The longest prefix of `text` within `units` UTF-16 units that does not split a character."""
    if text.isascii():
        return text[:units]
    return text.encode("utf-16-le", "surrogatepass")[: units * 2].decode("utf-16-le", "ignore")
