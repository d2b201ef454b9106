"""Customers of the last run."""

from __future__ import annotations

import pytest

from courier.unit_tests.stitch.project_of_people import NOW, People
from heap_courier.stitch.customer import (
    changes_of,
    customer_of,
    has_customers,
    links_of,
    records_of,
    search_customers,
)

ANN = {"given-name": "Ann", "surname": "O'Lee", "email": "Ann_Lee@acme.com", "phone": "(555) 123-4567", "fk-a": "k1"}


def test_a_customer_has_its_values_records_links_and_history(people_on_either: People) -> None:
    warehouse = people_on_either.warehouse
    assert not has_customers(warehouse)
    people_on_either.feed("CRM", [{"pk": "1", **ANN}, {"pk": "2", "full-name": "Bob 100%", "phone": "0000000"}])
    people_on_either.feed("Shop", [{"pk": "a", "fk-a": "k1"}])
    people_on_either.stitch()
    ann = people_on_either.ids()["CRM 1"]

    assert has_customers(warehouse)
    found = customer_of(warehouse, ann)
    assert found is not None
    assert (found.customer_id, found.name, found.values["email"], found.values["city"], found.records) == (
        ann, "Ann O'Lee", "Ann_Lee@acme.com", None, 2,
    )  # fmt: skip
    records = records_of(warehouse, ann)
    assert [(each.datasource, each.pk, each.keys) for each in records] == [
        ("CRM:People", "1", {"fk-a": "k1"}),
        ("Shop:People", "a", {"fk-a": "k1"}),
    ]
    assert records[0].values["phone"] == "(555) 123-4567"
    assert not records[0].has_bad_value
    (link,) = links_of(warehouse, ann)
    assert (link.first, link.second, link.evidence, link.apart) == (
        ("CRM:People", "1"), ("Shop:People", "a"), "foreign key fk-a", None,
    )  # fmt: skip
    (change,) = changes_of(warehouse, ann)
    assert (change.run, change.change, change.records, change.finished) == (1, "new", 2, NOW.replace(tzinfo=None))
    assert customer_of(warehouse, "nobody") is None
    assert records_of(warehouse, "nobody") == links_of(warehouse, "nobody") == changes_of(warehouse, "nobody") == ()
    assert records_of(warehouse, ann, limit=1) == records[:1]


@pytest.fixture
def searched(people_on_either: People) -> People:
    """Three customers: one with the records CRM 1 and Shop a, one with CRM 2, and one with CRM x_y."""
    people_on_either.feed(
        "CRM", [{"pk": "1", **ANN}, {"pk": "2", "full-name": "Bob 100%"}, {"pk": "x_y", "surname": "Quin!"}]
    )
    people_on_either.feed("Shop", [{"pk": "a", "email": "annie@home.org", "fk-a": "k1"}])
    people_on_either.stitch()
    return people_on_either


def test_customers_are_found_by_values_of_any_of_their_records(searched: People) -> None:
    ids = searched.ids()
    expected = {
        "ann o'lee": "CRM 1", "  ANN   O'LEE ": "CRM 1", "home.org": "CRM 1", "5551234": "CRM 1",
        "555-123-4567": "CRM 1", "a": None, "2": "CRM 2", "bob": "CRM 2", "100%": "CRM 2", "quin!": "CRM x_y",
        "x_y": "CRM x_y", "xay": "", "%": "CRM 2", "_": "CRM 1", "x%": "", "k1": "CRM 1", "K1": "", "fk-a": "",
        "' OR 1=1": "", "9999": "",
    }  # fmt: skip
    for text, record in expected.items():
        found = [each.customer_id for each in search_customers(searched.warehouse, text)]
        if record is not None:
            assert found == ([ids[record]] if record else []), text
    for record, customer in ids.items():
        assert [each.customer_id for each in search_customers(searched.warehouse, customer)] == [customer], record


def test_an_empty_search_finds_all_customers_up_to_the_limit(searched: People) -> None:
    everyone = sorted(set(searched.ids().values()))

    assert [each.customer_id for each in search_customers(searched.warehouse, " ")] == everyone
    assert [each.customer_id for each in search_customers(searched.warehouse, "", limit=2)] == everyone[:2]
