"""The semantics that Stitch reads: https://docs.amperity.com/reference/semantics.html."""

from __future__ import annotations

import re
from typing import Final

from heap_courier.feeds import tags

COLUMNS: Final = tuple(tag.replace("-", "_") for tag in tags.PROFILE)
"""A column of the tables of customers for each semantic of a profile, in alphabetical order."""

GROUPS: Final = {
    "name": ("full_name", "given_name", "surname", "generational_suffix", "title"),
    "address": ("address", "address2", "city", "state", "postal", "country"),
    "email": ("email",),
    "phone": ("phone",),
    "birthdate": ("birthdate",),
    "gender": ("gender",),
    "company": ("company",),
}
"""Fields that are taken from one record together, so that a customer's street and city are of one home."""

HEAP_USER: Final = "fk-heap-user"
"""The key that Heap's users share with any record that has their `user_id`."""

HEAP_IDENTITY: Final = "fk-heap-identity"
"""The key that Heap's users share with any record that has their `identity`."""

_KEY: Final = re.compile(r"ck|[fs]k-[a-z0-9]+(-[a-z0-9]+)*")


def is_key(tag: str) -> bool:
    """Whether a tag is a customer key, a foreign key or a separation key."""
    return bool(_KEY.fullmatch(tag))


def column(tag: str) -> str:
    """The column of a semantic: `given_name` for `given-name`."""
    return tag.replace("-", "_")
