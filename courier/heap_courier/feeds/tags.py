"""Semantic tags: the meaning of a field in a customer profile, https://docs.amperity.com/reference/semantics.html."""

from __future__ import annotations

import re
from typing import Final

from heap_courier.documents.wording import nearest

PROFILE: Final = (
    "address",
    "address2",
    "birthdate",
    "city",
    "company",
    "country",
    "create-dt",
    "email",
    "full-name",
    "gender",
    "generational-suffix",
    "given-name",
    "phone",
    "postal",
    "state",
    "surname",
    "title",
    "update-dt",
)
KEYS: Final = ("pk", "ck", "fk-[x]", "bk-[x]", "sk-[x]")
_KEY: Final = re.compile(r"pk|ck|[fbs]k-[a-z0-9-]+")
_LEGAL: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def legal(tag: str) -> bool:
    """Whether a tag is well-formed: lowercase letters and digits, with hyphens between words."""
    return bool(_LEGAL.fullmatch(tag))


def meant(tag: str) -> str | None:
    """The standard tag that a custom tag probably misspells, or None. It cannot be refused: custom tags are valid."""
    if tag in PROFILE or _KEY.fullmatch(tag):
        return None
    return nearest(tag, PROFILE, sure=True)
