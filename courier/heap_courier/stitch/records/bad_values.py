"""Values that distinguish no one: placeholders, shared mailboxes, switchboards. They never link anyone.

The lists and the thresholds are those of https://docs.amperity.com/operator/blocklist_bad_values.html, as far as they
are public, with placeholders that exports are known to hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

ANY: Final = frozenset({
    "BLANK", "BLOCKED", "COLLECT", "DECLINED", "DEFAULT", "DENIED", "DO NOT USE", "EMPTY", "FALSE", "INFO", "INVALID",
    "N A", "N/A", "NA", "NAME", "NIL", "NO VALUE", "NONE", "NONE GIVEN", "NOT APPLICABLE", "NOT AVAILABLE",
    "NOT GIVEN", "NOT PROVIDED", "NULL", "REFUSED", "TBD", "TEST", "TRUE", "UNDEFINED", "UNKNOWN", "X", "XX", "XXX",
    "-", "--", "?", ".", "0", "-1",
})  # fmt: skip
"""Bad in any field, once normalised."""

NAMES: Final = frozenset(
    {"CUSTOMER", "FIRST NAME", "FIRSTNAME", "GUEST", "LAST NAME", "LASTNAME", "MR", "MRS", "MS", "USER"}
)

MAILBOXES: Final = (
    "ABUSE", "ACCOUNTS", "ADMIN", "ANONYMOUS", "ASDF", "BILLING", "CONTACT", "CUSTOMERSERVICE", "DONOTREPLY",
    "EMAIL", "EXAMPLE", "FAKE", "GUEST", "HELP", "HELPDESK", "HOSTMASTER", "INFO", "MAIL",
    "MARKETING", "NA", "NOBODY", "NOEMAIL", "NOMAIL", "NONE", "NO-REPLY", "NOREPLY", "NULL",
    "OFFICE", "ORDERS", "POSTMASTER", "RECEPTION", "REFUSED", "ROOT", "SALES", "SERVICE", "SUPPORT",
    "TEST", "TESTING", "UNKNOWN", "USER", "WEBMASTER", "XXX",
)  # fmt: skip
"""Local parts of e-mail addresses that belong to no person."""

MAIL_DOMAINS: Final = (
    "FAKE.COM", "INVALID.COM", "NA.COM", "NOEMAIL.COM", "NOMAIL.COM",
    "NONE.COM", "NOTPROVIDED.COM", "NULL.COM", "TEST.COM", "UNKNOWN.COM",
)  # fmt: skip
"""Domains of e-mail addresses that do not exist."""

PHONES: Final = frozenset({"1234567", "1234567890", "0123456789", "5551212", "9876543210"})
BIRTHDATES: Final = frozenset({"18991231", "19000101", "19010101", "19200101", "19700101"})
ADDRESSES: Final = frozenset({"GENERAL DELIVERY", "PO BOX", "P O BOX", "NO ADDRESS", "ADDRESS"})

_FIXED: Final = {
    "address": ADDRESSES,
    "birthdate": BIRTHDATES,
    "given_name": NAMES,
    "phone": PHONES,
    "surname": NAMES,
}


def is_bad(semantic: str) -> str:
    """SQL for whether `value`, normalised, is on a fixed list of bad values of a semantic."""
    conditions = [f"value IN {_list(ANY)}"]
    if semantic in _FIXED:
        conditions.append(f"value IN {_list(_FIXED[semantic])}")
    if semantic == "email":
        conditions += [
            f"regexp_extract(value, '^[^@]*') IN {_list(MAILBOXES)}",
            f"regexp_extract(value, '[^@]*$') IN {_list(MAIL_DOMAINS)}",
        ]
    return f"({' OR '.join(conditions)})"


def _list(values: Iterable[str]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in sorted(values)) + ")"


class Threshold(NamedTuple):
    """The number of different names from which a value counts as shared: it is bad if there are more than `most`."""

    semantic: str
    names: str  # the column of normalised names whose different values are counted
    most: int


THRESHOLDS: Final = (
    Threshold("email", "given_name", 20),
    Threshold("email", "surname", 20),
    Threshold("phone", "given_name", 20),
    Threshold("address", "given_name", 40),
)
KEY_THRESHOLD: Final = 20
"""More given names than these under one foreign or customer key: it is a placeholder, not a person."""
