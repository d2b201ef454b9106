"""Whether customers are relatives in one household, measured on the records: then names and birthdates must agree.

Relatives share a surname and a home, and differ in given name and birthdate altogether. Two records of one customer
rarely differ in both: of the pairs at one home 0 to 0.9 % in the febrl sets, 38 % among generated households.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import LARGEST_BLOCK, contradicting_fields, contradicts
from heap_courier.stitch.scratch import Scratch

MOST: Final = 0.02
"""The share of pairs at one home that errors alone explain."""

LEAST_PAIRS: Final = 50
"""Pairs at one home with two birthdates, from which these are taken into account; if there are fewer, names alone."""


class Homes(NamedTuple):
    """Pairs of records with one surname at one address or phone.

    Attributes:
        pairs: that can be judged.
        different: of these, the ones that differ altogether in given name, and in birthdate if birthdates count.
        birthdates: whether enough records have one.
    """

    pairs: int
    different: int
    birthdates: bool

    @property
    def share(self) -> float:
        """Of the pairs that look like relatives; 0 to 1."""
        return self.different / self.pairs if self.pairs else 0.0


def look_at_homes(scratch: Scratch) -> Homes:
    """Compares the records (`clean`) of each home; homes with very many records are left out."""
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
    """Whether different given names and different birthdates both keep two records apart."""
    return {"given_name", "birthdate"} <= set(contradicting_fields(model))


def refuse_relatives(scratch: Scratch, remedy: str) -> None:
    """Fails if relatives are among the records, because a model that does not expect them would make them one customer.

    Raises:
        SetupError: how many pairs look like relatives, and the remedy.
    """
    homes = look_at_homes(scratch)
    if homes.pairs >= LEAST_PAIRS and homes.share > MOST:
        differ = "given name and birthdate" if homes.birthdates else "given name"
        raise SetupError(
            f"Customers are relatives in one household: of {homes.pairs:,} pairs of records with one surname at one "
            f"address or phone, {homes.share:.0%} differ altogether in {differ} (errors explain {MOST:.0%} at most). "
            f"Without relatives in mind, the model would make them one customer. {remedy}"
        )
