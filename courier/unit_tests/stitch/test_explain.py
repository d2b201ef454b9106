"""Explanations why records are one customer, or are not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.unit_tests.stitch.project_of_people import People
from heap_courier.errors import SetupError
from heap_courier.stitch.customer import Link
from heap_courier.stitch.explain import shortest
from heap_courier.stitch.picture import picture
from heap_courier.stitch.report import report
from heap_courier.stitch.run import explained

BOB = {"given-name": "Robert", "surname": "Smith", "birthdate": "1950-02-03", "address": "12 Elm St", "postal": "02139"}
RECORDS = [("T", str(number)) for number in range(6)]


def test_a_path_shows_each_link_with_its_evidence(people_on_either: People) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": "1", **BOB}, {"pk": "2", **BOB, "birthdate": None, "fk-a": "k1"}])
    people.feed("Shop", [{"pk": "a/b", "fk-a": "k1"}])
    people.stitch()

    found = explained(people.context(), "CRM:People/1", "shop:people/a/b")

    assert found.customers == (people.ids()["CRM 1"],)
    assert [(link.evidence, link.score) for link in found.path] == [("scoring", 3.0), ("foreign key fk-a", 5.0)]
    (weights,) = (weights for pair, weights in found.weights.items() if pair[1] == ("CRM:People", "2"))
    assert [(weight.field, weight.level) for weight in weights] == [
        ("given_name", "equal"),
        ("surname", "equal"),
        ("home", "same address"),
    ]
    assert 3 <= found.prior + sum(weight.bits for weight in weights) < 15


def test_two_customers_are_compared_and_their_refused_links_are_shown(people_on_either: People) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": "1", **BOB, "sk-t": "1", "fk-a": "k1"}, {"pk": "2", **BOB, "sk-t": "2", "fk-a": "k1"}])
    people.stitch()

    found = explained(people.context(), "CRM:People/1", "CRM:People/2")

    assert len(found.customers) == 2
    assert found.path == ()
    assert {(link.evidence, link.apart) for link in found.refused} == {
        ("foreign key fk-a", "different separation keys"),
        ("scoring", "different separation keys"),
    }
    assert (("CRM:People", "1"), ("CRM:People", "2")) in found.weights


def test_a_shared_mailbox_has_no_weight(people: People) -> None:
    names = [f"{first}{second}" for first in "BCDFGHK" for second in ("anna", "orin", "elu")]
    people.feed("CRM", [{"pk": name, "given-name": name, "email": "us@acme.com"} for name in [*names, "Zoe"]])
    people.stitch()

    found = explained(people.context(), "CRM:People/Banna", "CRM:People/Zoe")

    assert [weight.field for weights in found.weights.values() for weight in weights] == ["given_name"]


def test_the_picture_needs_no_network_and_escapes_names_of_records(people: People) -> None:
    people.feed("CRM", [{"pk": "<script>1</script>", "fk-a": "k1"}, {"pk": "2", "fk-a": "k1"}])
    people.stitch()

    page = picture(explained(people.context(), people.ids()["CRM 2"], None))

    assert "<script" not in page
    assert re.findall(r"https?:|src=|href=", page) == []
    assert page.count("<circle") == 2
    assert page.count("<line") == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("CRM:People/9", "`CRM:People` has no record with this primary key"),
        ("nobody", "`nobody` is neither a customer's id nor a record: write a record as TABLE/KEY"),
    ],
)
def test_unknown_customers_and_records_are_reported(people: People, asked: str, message: str) -> None:
    people.feed("CRM", [{"pk": "1", **BOB}])
    people.stitch()

    with pytest.raises(SetupError, match=message):
        explained(people.context(), asked, None)


def test_before_the_first_run_an_explanation_is_refused(people: People) -> None:
    with pytest.raises(SetupError, match="There are no customers yet: run `heap-courier stitch run` first"):
        explained(people.context(), "x", None)
    with pytest.raises(SetupError, match="There are no customers yet: run `heap-courier stitch run` first"):
        report(people.warehouse)


@given(st.lists(st.tuples(st.sampled_from(RECORDS), st.sampled_from(RECORDS)), max_size=12))
def test_a_path_leads_from_the_first_record_to_the_second(pairs: list[tuple[tuple[str, str], tuple[str, str]]]) -> None:
    links = [Link(first, second, "scoring", 3.0, None) for first, second in pairs]
    reached = {RECORDS[0]}
    for _ in RECORDS:
        reached |= {end for pair in pairs if reached & set(pair) for end in pair}

    path = shortest(links, RECORDS[0], RECORDS[5])

    assert bool(path) is (RECORDS[5] in reached)
    here = RECORDS[0]
    for link in path:
        assert here in (link.first, link.second)
        here = link.second if here == link.first else link.first
    assert not path or here == RECORDS[5]


def test_the_report_lists_customers_with_many_names_and_the_share_of_them(people_on_either: People) -> None:
    people = people_on_either
    shared = {"surname": "S", "email": "a@a.co", "fk-a": "k1", "sk-t": "1"}
    rows = [{"pk": name, **shared, "given-name": name, "email": f"{name}@a.co"} for name in "ABCD"]
    people.feed("CRM", [*rows, {"pk": "5", **shared, "given-name": "A", "fk-a": "k2", "sk-t": "2"}])
    people.stitch()

    found = report(people.warehouse)

    shares = {each.name: each.share for each in found.benchmarks}
    assert shares["customers with more than 3 given names"] == 0.5
    assert shares["name and e-mail of several customers"] == 0.25
    assert [(each.customer_id, each.records, each.given_names) for each in found.suspects] == [
        (people.ids()["CRM A"], 4, 4)
    ]


def test_equal_addresses_in_different_cities_are_different(people: People) -> None:
    row = {"full-name": "Ada Abbate", "address": "1 Main Street"}
    people.feed("CRM", [{"pk": city, **row, "city": city, "sk-t": city} for city in ("Bern", "Basel", "bern ")])
    people.stitch()

    shares = {each.name: each.share for each in report(people.warehouse).benchmarks}

    assert shares["name and address of several customers"] == 0.5
