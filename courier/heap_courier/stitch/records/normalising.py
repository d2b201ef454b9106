"""Normalises values before they are compared: DuckDB SQL for each semantic, by the documented rules.

All text becomes upper case. In addresses, `.`, `,` and `#` are removed and abbreviations are expanded: `1 W. Elm St.`
becomes `1 WEST ELM STREET`. Phone numbers are reduced to their last ten digits, and e-mail addresses lose a `+tag`.
Non-ASCII letters must be transliterated before (`anyascii`).

Alternatives: phonenumbers takes 60 microseconds per number and needs its country, which feeds rarely have;
email-validator takes 70 microseconds per address. The SQL takes 4 and 1.4.
"""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = ("JR", "SR", "II", "III", "IV")

WORDS: Final = {
    "ALY": "ALLEY", "APT": "APARTMENT", "AV": "AVENUE", "AVE": "AVENUE", "BLDG": "BUILDING", "BLVD": "BOULEVARD",
    "CIR": "CIRCLE", "CL": "CLOSE", "CR": "CRESCENT", "CRES": "CRESCENT", "CT": "COURT", "CTR": "CENTER", "DR": "DRIVE",
    "E": "EAST", "EXPY": "EXPRESSWAY", "FL": "FLOOR", "FT": "FORT", "GDNS": "GARDENS", "HTS": "HEIGHTS",
    "HWY": "HIGHWAY", "LN": "LANE", "MT": "MOUNT", "N": "NORTH", "NE": "NORTHEAST", "NW": "NORTHWEST", "PK": "PARK",
    "PKWY": "PARKWAY", "PL": "PLACE", "PLZ": "PLAZA", "PT": "POINT", "RD": "ROAD", "RM": "ROOM", "RTE": "ROUTE",
    "S": "SOUTH", "SE": "SOUTHEAST", "SQ": "SQUARE", "ST": "STREET", "STE": "SUITE", "STR": "STREET",
    "SW": "SOUTHWEST", "TER": "TERRACE", "TPKE": "TURNPIKE", "TRL": "TRAIL", "W": "WEST",
    "1ST": "FIRST", "2ND": "SECOND", "3RD": "THIRD", "4TH": "FOURTH", "5TH": "FIFTH", "6TH": "SIXTH",
    "7TH": "SEVENTH", "8TH": "EIGHTH", "9TH": "NINTH", "10TH": "TENTH",
}  # fmt: skip
"""Abbreviations in addresses (https://pe.usps.com/text/pub28/28apc_002.htm), and ordinals."""

_DATES: Final = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")


_TITLES: Final = ("MR", "MRS", "MS", "MISS", "DR", "PROF")


def text(value: str) -> str:
    """Upper case with single spaces, trimmed; NULL if nothing is left."""
    return rf"NULLIF(TRIM(regexp_replace(UPPER({value}), '\s+', ' ', 'g')), '')"


def name(value: str) -> str:
    """Letters, digits and single spaces: `O'Neil` becomes `ONEIL`, `Anne-Marie` `ANNE MARIE`. NULL without letters."""
    letters = f"regexp_replace(replace(UPPER({value}), '-', ' '), '[^A-Z0-9 ]', '', 'g')"
    return f"CASE WHEN regexp_matches(UPPER({value}), '[A-Z]') THEN {text(letters)} END"


def without_title(value: str) -> str:
    """A normalised name without a title such as `MRS` before it."""
    return f"regexp_replace({value}, '^({'|'.join(_TITLES)}) ', '')"


def without_suffix(value: str) -> str:
    """A normalised name without a generational suffix at its end."""
    return f"NULLIF(regexp_replace({value}, ' ({'|'.join(SUFFIXES)})$', ''), '')"


def suffix(value: str) -> str:
    """The generational suffix at the end of a normalised name, or NULL."""
    return f"NULLIF(regexp_extract({value}, ' ({'|'.join(SUFFIXES)})$', 1), '')"


def email(value: str) -> str:
    """An e-mail address without surrounding spaces and `+tag`, in composed Unicode; NULL if it is not valid."""
    bare = rf"regexp_replace(UPPER(nfc_normalize(TRIM({value}))), '\+[^@]*@', '@')"
    return rf"NULLIF(regexp_extract({bare}, '^[^@\s,;]+@[^@\s,;]+\.[^@\s,;.]{{2,}}$'), '')"


def phone(value: str) -> str:
    """The last ten digits, without an extension; NULL if there are fewer than seven."""
    digits = f"regexp_replace(regexp_replace(UPPER({value}), '(EXT|X).*$', ''), '[^0-9]', '', 'g')"
    return f"CASE WHEN length({digits}) >= 7 THEN right({digits}, 10) END"


def address(value: str) -> str:
    """An address without punctuation and abbreviations."""
    pairs = ", ".join(f"'{short}': '{whole}'" for short, whole in WORDS.items())
    bare = text(rf"regexp_replace({value}, '[.,#]', ' ', 'g')")
    split = f"string_split({bare}, ' ')"
    return f"array_to_string(list_transform({split}, lambda word: coalesce(MAP {{{pairs}}}[word], word)), ' ')"


def postal(value: str) -> str:
    """Letters and digits; the first five digits of a ZIP+4 code."""
    bare = f"regexp_replace(UPPER({value}), '[^A-Z0-9]', '', 'g')"
    return f"NULLIF(CASE WHEN regexp_full_match({bare}, '[0-9]{{9}}') THEN left({bare}, 5) ELSE {bare} END, '')"


def birthdate(value: str) -> str:
    """A date as `YYYYMMDD`; NULL if it is not a date. Ambiguous dates with slashes are read as month/day/year."""
    parsed = ", ".join(f"try_strptime(left(TRIM({value}), 10), '{pattern}')" for pattern in _DATES)
    return f"strftime(COALESCE({parsed}), '%Y%m%d')"


def gender(value: str) -> str:
    """`F` or `M`; NULL for any other value, which is not reliable evidence."""
    first = f"left(UPPER(TRIM({value})), 1)"
    return f"CASE WHEN {first} IN ('F', 'W') THEN 'F' WHEN {first} = 'M' THEN 'M' END"
