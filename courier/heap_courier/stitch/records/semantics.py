"""The semantics that Stitch reads: https://docs.amperity.com/reference/semantics.html."""

from __future__ import annotations

import re
from typing import Final

from heap_courier.feeds import tags

COLUMNS: Final = tuple(tag.replace("-", "_") for tag in tags.PROFILE)
"""The column of each profile semantic in the tables of customers, in alphabetical order."""

GROUPS: Final = {
    "name": ("full_name", "given_name", "surname", "generational_suffix", "title"),
    "address": ("address", "address2", "city", "state", "postal", "country"),
    "email": ("email",),
    "phone": ("phone",),
    "birthdate": ("birthdate",),
    "gender": ("gender",),
    "company": ("company",),
}
"""Groups of fields that are taken from the same record, so that a customer's street and city belong together."""

HEAP_USER: Final = "fk-heap-user"
"""The foreign key for the `user_id` of Heap's users."""

HEAP_IDENTITY: Final = "fk-heap-identity"
"""The foreign key for the `identity` of Heap's users."""

_KEY: Final = re.compile(r"ck|[fs]k-[a-z0-9]+(-[a-z0-9]+)*")


def is_key(tag: str) -> bool:
    """Whether a tag is a customer key, a foreign key or a separation key."""
    return bool(_KEY.fullmatch(tag))


def column(tag: str) -> str:
    """The column of a semantic: `given_name` for `given-name`."""
    return tag.replace("-", "_")
