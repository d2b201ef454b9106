"""Generates people with known identities: households, namesakes, changed surnames, typing errors, transliterations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final, NamedTuple

TAGS: Final = (
    "given-name", "surname", "generational-suffix", "birthdate", "email", "phone", "address", "city", "postal",
)  # fmt: skip
"""The fields of records."""

# ruff: noqa: SIM905  (words one after another read best)
_GIVEN: Final = (
    "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph Jessica "  # noqa: E501
    "Thomas Sarah Charles Karen Christopher Lisa Daniel Nancy Matthew Betty Anthony Sandra Mark Margaret Donald Ashley "
    "Steven Kimberly Andrew Emily Paul Donna Joshua Michelle Kenneth Carol Kevin Amanda Brian Melissa George Deborah "
    "Timothy Stephanie Ronald Rebecca Jason Laura Edward Helen Jeffrey Sharon Ryan Cynthia Jacob Kathleen Gary Amy "
    "Nicholas Shirley Eric Angela Jonathan Anna Stephen Ruth Larry Brenda Justin Pamela Scott Nicole Brandon Virginia "
    "Ingrid Jürgen Zoë Łukasz Søren Иван Наталья Дмитрий Олена Σοφία"
).split()
_HEADS: Final = (
    "Ar Bel Cor Dan El Fair Gar Hol Ing Jas Kel Lang Mor Nor Ost Pem Quin Rad Sal Tor Ul Van Wes Yar Zim".split()
)
_MIDDLES: Final = ("", "be", "da", "ling", "mer", "no", "ri", "sto", "ta", "wor")
_TAILS: Final = "berg by croft dale field ford ham ker land ley man ner ov well wick worth son ska stein thal".split()
_STREETS: Final = (
    "Elm Oak Maple Cedar Pine Lake Hill Park Main Church Mill River Spring Sunset High Bridge Forest King".split()
)
_KINDS: Final = (("Street", "St."), ("Avenue", "Ave"), ("Road", "Rd."), ("Lane", "Ln"))
_SHARED_PHONE: Final = 0.6
_HALF: Final = 0.5
_MARRIED: Final = 0.03
_PROVIDERS: Final = ("mail.test", "post.test", "acme.test", "web.test")
_TRANSLITERATED: Final = {
    "Иван": "Ivan",
    "Наталья": "Natalya",
    "Дмитрий": "Dmitriy",
    "Олена": "Olena",
    "Σοφία": "Sofia",
}


@dataclass(frozen=True, slots=True)
class Person:
    """A person, with their true values."""

    number: int
    given: str
    surname: str
    suffix: str | None
    birthdate: str
    email: str
    phone: str
    street: tuple[int, str, int]
    city: str
    postal: str


class Record(NamedTuple):
    """A record: its person, its source, and its values by tag."""

    person: int
    source: str
    pk: str
    values: dict[str, str | None]


def population(chance: Random, records: int) -> Iterator[Record]:
    """About this many records: of households, one after another, each person with one to four of them."""
    number = made = 0
    while made < records:
        for person in _household(chance, number):
            number += 1
            for copy in range(chance.choice((1, 1, 2, 2, 3, 4))):
                yield _record(chance, person, copy)
                made += 1


def _household(chance: Random, first: int) -> list[Person]:
    surname = chance.choice(_HEADS) + chance.choice(_MIDDLES) + chance.choice(_TAILS)
    street = (chance.randrange(1, 400), chance.choice(_STREETS), chance.randrange(len(_KINDS)))
    zone = chance.randrange(900)
    kind = chance.choices(("single", "couple", "family", "twins", "namesakes"), (40, 27, 20, 10, 3))[0]
    size = {"single": 1, "couple": 2, "namesakes": 2, "twins": 2, "family": 4}[kind]
    phone = f"555{chance.randrange(10**7):07d}"
    found: list[Person] = []
    for place in range(size):
        given = chance.choice([name for name in _GIVEN if all(name != other.given for other in found)])
        person = Person(
            first + place, given, surname, None, _day(chance, 1940, 1975),
            f"{given}.{surname}{chance.randrange(100)}@{chance.choice(_PROVIDERS)}".lower(),
            phone if chance.random() < _SHARED_PHONE else f"555{chance.randrange(10**7):07d}",
            street, f"Town{zone}", f"{10000 + zone}",
        )  # fmt: skip
        if kind == "namesakes" and place:
            person = replace(person, given=found[0].given, birthdate=_day(chance, 1976, 2005))
            if chance.random() < _HALF:
                found[0], person = replace(found[0], suffix="Sr"), replace(person, suffix="Jr")
        if kind == "twins" and place:
            person = replace(person, birthdate=found[0].birthdate, email=found[0].email)
        found.append(person)
    return found


def _day(chance: Random, start: int, end: int) -> str:
    return f"{chance.randrange(start, end)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}"


def _record(chance: Random, person: Person, copy: int) -> Record:
    house, street, kind = person.street
    given = person.given
    if given in _TRANSLITERATED and chance.random() < _HALF:
        given = _TRANSLITERATED[given]
    surname = person.surname
    if copy and chance.random() < _MARRIED:
        surname = chance.choice(_HEADS) + "e" + chance.choice(_TAILS)  # married
    values: dict[str, str | None] = {
        "given-name": _typed(chance, given),
        "surname": _typed(chance, surname),
        "generational-suffix": person.suffix,
        "birthdate": person.birthdate,
        "email": person.email,
        "phone": person.phone,
        "address": _typed(chance, f"{house} {street} {_KINDS[kind][chance.randrange(2)]}"),
        "city": person.city,
        "postal": person.postal,
    }
    for tag, share in (("birthdate", 0.4), ("email", 0.3), ("phone", 0.4), ("address", 0.3)):
        if chance.random() < share:
            values[tag] = None
    source = ("CRM", "Shop", "Loyalty", "Club")[copy]
    return Record(person.number, source, f"{person.number}-{copy}", values)


def _typed(chance: Random, text: str) -> str:
    """A text with an occasional typing error, in any case."""
    if chance.random() < 0.04 and len(text) > 3:  # noqa: PLR2004  (letters)
        place = chance.randrange(1, len(text) - 1)
        text = chance.choice(
            (text[:place] + text[place + 1 :], text[:place] + text[place + 1] + text[place] + text[place + 2 :])
        )
    return chance.choice((text, text, text.upper(), text.lower()))
