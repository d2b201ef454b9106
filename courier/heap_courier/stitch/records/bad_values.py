"""Bad values, which identify no person: placeholders, shared mailboxes, switchboards. They are not used for linking.

The lists and thresholds are those of https://docs.amperity.com/operator/blocklist_bad_values.html, as far as they are
public, with more placeholders that are common in exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

ANY: Final = frozenset({
    "BLANK", "BLOCKED", "COLLECT", "DECLINED", "DEFAULT", "DENIED", "DO NOT USE", "EMPTY", "FALSE", "INFO", "INVALID",
    "N A", "N/A", "NA", "NAME", "NIL", "NO VALUE", "NONE", "NONE GIVEN", "NOT APPLICABLE", "NOT AVAILABLE",
    "NOT GIVEN", "NOT PROVIDED", "NULL", "REFUSED", "TBD", "TEST", "TRUE", "UNDEFINED", "UNKNOWN", "X", "XX", "XXX",
    "-", "--", "?", ".", "0", "-1",
})  # fmt: skip
"""Normalised values that are bad in any field."""

NAMES: Final = frozenset({
    "CUSTOMER", "FIRST NAME", "FIRSTNAME", "FULL NAME", "GUEST", "LAST NAME", "LASTNAME", "MR", "MRS", "MS", "NO NAME",
    "NONAME", "USER",
})  # fmt: skip

MAILBOXES: Final = (
    "ABUSE", "ACCOUNTS", "ADMIN", "ANONYMOUS", "ASDF", "BILLING", "CONTACT", "CUSTOMERSERVICE", "DONOTREPLY",
    "EMAIL", "EXAMPLE", "FAKE", "GUEST", "HELP", "HELPDESK", "HOSTMASTER", "INFO", "MAIL",
    "MARKETING", "NO", "NOBODY", "NOEMAIL", "NOMAIL", "NONAME", "NOREPLY",
    "OFFICE", "ORDERS", "POSTMASTER", "RECEPTION", "ROOT", "SALES", "SERVICE", "SUPPORT",
    "TESTING", "USER", "WEBMASTER",
)  # fmt: skip
"""Local parts of e-mail addresses that belong to no person, without punctuation, in addition to `ANY`."""

NUMBERED: Final = ("DUMMY", "FAKE", "NOEMAIL", "NOMAIL", "NONE", "NOREPLY", "NULL", "TEST", "UNKNOWN")
"""Local parts that also belong to no person when followed by a number."""

MAIL_DOMAINS: Final = (
    "EXAMPLE.COM", "EXAMPLE.NET", "EXAMPLE.ORG", "FAKE.COM", "INVALID.COM", "NA.COM", "NOEMAIL.COM", "NOMAIL.COM",
    "NONE.COM", "NOTPROVIDED.COM", "NULL.COM", "TEST.COM", "UNKNOWN.COM",
)  # fmt: skip
"""Placeholder domains of e-mail addresses."""

KEYS: Final = frozenset({"NAN", "\\N"})
"""Values that are bad as a key, in addition to `ANY`."""

PHONES: Final = frozenset({"1234567", "1234567890", "0123456789", "5551212", "9876543210"})
BIRTHDATES: Final = frozenset({"18991231", "19000101", "19010101", "19200101", "19700101"})
FIRST_YEAR: Final = 1890
LAST_YEAR: Final = 2040
"""A birthdate outside these years is a placeholder such as 0001-01-01 or 9999-12-31."""

ADDRESSES: Final = frozenset({"GENERAL DELIVERY", "PO BOX", "P O BOX", "NO ADDRESS", "ADDRESS"})
POSTAL_CODES: Final = frozenset({"00000", "12345", "99999"})

_FIXED: Final = {
    "address": ADDRESSES,
    "birthdate": BIRTHDATES,
    "given_name": NAMES,
    "phone": PHONES,
    "postal": POSTAL_CODES,
    "surname": NAMES,
}
_WORDS: Final = ("given_name", "surname")
"""Bad as well if each of their words is: `UNKNOWN UNKNOWN`, `NO NAME`."""


def is_bad(semantic: str) -> str:
    """SQL for whether the normalised `value` is listed as a bad value of a semantic."""
    listed = ANY | _FIXED.get(semantic, frozenset())
    conditions = [f"value IN {_list(listed)}"]
    if semantic in _WORDS:
        known = f"word IN {_list(listed | {'NO'})}"
        conditions.append(f"len(list_filter(string_split(value, ' '), lambda word: NOT {known})) = 0 AND value <> 'NO'")
    if semantic == "birthdate":
        conditions.append(f"CAST(left(value, 4) AS INTEGER) NOT BETWEEN {FIRST_YEAR} AND {LAST_YEAR}")
    if semantic == "phone":
        conditions += [_repeats("value"), _repeats("right(value, 7)"), "starts_with(value, '000000')"]
        conditions.append("right(value, 7) = '5551212'")
    if semantic == "email":
        local, domain = "regexp_extract(value, '^[^@]*')", "regexp_extract(value, '[^@]*$')"
        bare = f"regexp_replace({local}, '[^A-Z0-9]', '', 'g')"
        bad = {*MAILBOXES, *(re.sub("[^A-Z0-9]", "", each) for each in ANY)} - {""}
        conditions += [
            f"{bare} IN {_list(bad)}",
            f"{domain} IN {_list(MAIL_DOMAINS)}",
            f"regexp_full_match({local}, '({'|'.join(NUMBERED)})[0-9]+')",
            f"{local} = regexp_extract({domain}, '^[^.]*')",
            f"length({local}) > 2 AND {_repeats(local)}",
        ]
    return f"({' OR '.join(conditions)})"


def is_placeholder(name: str) -> str:
    """SQL for whether a whole normalised full name is a placeholder."""
    return f"({name} IN {_list(ANY | NAMES)})"


def is_bad_key(value: str) -> str:
    """SQL for whether a key is a placeholder: listed, or consisting only of zeros and punctuation."""
    upper = f"UPPER(TRIM({value}))"
    bare = rf"regexp_replace({upper}, '[^\p{{L}}\p{{N}}]+', ' ', 'g')"
    return (
        f"({upper} IN {_list(ANY | KEYS)} OR TRIM({bare}) IN {_list(ANY | KEYS)} OR regexp_full_match({bare}, '[0 ]*'))"
    )


def _repeats(value: str) -> str:
    return f"replace({value}, left({value}, 1), '') = ''"


def _list(values: Iterable[str]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in sorted(values)) + ")"


class Threshold(NamedTuple):
    """A value is shared, and so bad, if it occurs with more than `most` different names."""

    semantic: str
    names: str  # the column of normalised names that are counted
    most: int


THRESHOLDS: Final = (
    Threshold("email", "given_name", 20),
    Threshold("email", "surname", 20),
    Threshold("phone", "given_name", 20),
    Threshold("address", "given_name", 40),
)
BIRTHDATE_NAMES: Final = 40
BIRTHDATE_SHARE: Final = 0.01
"""A birthdate with more given names, and a larger share of all birthdates, is the default of a form."""

KEY_THRESHOLD: Final = 20
"""A foreign or customer key with more given names is a placeholder."""
