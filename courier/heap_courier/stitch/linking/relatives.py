"""Measures whether there are relatives in one household among the customers: then names and birthdates must agree.

Relatives share a surname and a home, but their given names and birthdates are completely different. Two records of the
same customer rarely differ in both: 0 to 0.9 % of the pairs at one home in the febrl sets, against 38 % in the
generated households.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import LARGEST_BLOCK, contradicting_fields, contradicts
from heap_courier.stitch.scratch import Scratch

MOST: Final = 0.02
"""The largest share of pairs at one home that errors alone can explain."""

LEAST_PAIRS: Final = 50
"""The number of pairs with birthdates from which these are used; with fewer, only names are compared."""


class Homes(NamedTuple):
    """Pairs of records with the same surname at the same address or phone.

    Attributes:
        pairs: the number of pairs that can be compared.
        different: how many of them are completely different in given name, and in birthdate if these are used.
        birthdates: whether enough records have a birthdate.
    """

    pairs: int
    different: int
    birthdates: bool

    @property
    def share(self) -> float:
        """The share of pairs that look like relatives; 0 to 1."""
        return self.different / self.pairs if self.pairs else 0.0


def look_at_homes(scratch: Scratch) -> Homes:
    """Compares the records (`clean`) of each home, except homes with very many records."""
    given, birthdate = contradicts("given_name"), contradicts("birthdate")
    both = "l.birthdate IS NOT NULL AND r.birthdate IS NOT NULL"
    homes = " UNION ALL ".join(
        f"SELECT rid, surname, '{kind}' || {kind} AS place FROM clean "
        f"WHERE surname IS NOT NULL AND given_name IS NOT NULL AND {kind} IS NOT NULL "
        f"QUALIFY count(*) OVER (PARTITION BY surname, {kind}) BETWEEN 2 AND {LARGEST_BLOCK}"
        for kind in ("address", "phone")
    )
    ((pairs, names, known, relatives),) = scratch.query(
        f"""
        WITH home AS ({homes}),
        pair AS (
            SELECT DISTINCT a.rid AS one, b.rid AS other
            FROM home AS a JOIN home AS b ON a.surname = b.surname AND a.place = b.place AND a.rid < b.rid
        )
        SELECT count(*), count(*) FILTER (WHERE {given}), count(*) FILTER (WHERE {both}),
            count(*) FILTER (WHERE {both} AND {given} AND {birthdate})
        FROM pair JOIN clean AS l ON l.rid = one JOIN clean AS r ON r.rid = other
        """
    )
    return Homes(known, relatives, birthdates=True) if known >= LEAST_PAIRS else Homes(pairs, names, birthdates=False)


def expects_relatives(model: Mapping[str, Any]) -> bool:
    """Whether a model keeps records apart both by given name and by birthdate."""
    return {"given_name", "birthdate"} <= set(contradicting_fields(model))


def refuse_relatives(scratch: Scratch, remedy: str) -> None:
    """Checks that there are no relatives among the records, because a model that does not expect them would merge them.

    Raises:
        SetupError: there are relatives. The message states their share, and the remedy.
    """
    homes = look_at_homes(scratch)
    if homes.pairs >= LEAST_PAIRS and homes.share > MOST:
        differ = "given name and birthdate" if homes.birthdates else "given name"
        raise SetupError(
            f"Some customers are relatives in one household: of {homes.pairs:,} pairs of records with the same surname "
            f"at the same address or phone, {homes.share:.0%} are completely different in {differ} (errors explain at "
            f"most {MOST:.0%}). A model that does not expect relatives would merge them. {remedy}"
        )
