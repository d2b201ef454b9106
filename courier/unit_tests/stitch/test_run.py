"""Runs of Stitch on small projects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from courier.unit_tests.stitch.project_of_people import NOW, People, groups
from heap_courier.data_types.field_types import FLOAT, STRING, FieldType, Kind
from heap_courier.errors import SetupError
from heap_courier.feeds.activation import activate
from heap_courier.feeds.reader import read_feeds
from heap_courier.feeds.writer import write_feed
from heap_courier.warehouse.base import domain_tables
from heap_courier.warehouse.upsert import Table, TableColumn, load

BOB = {"given-name": "Robert", "surname": "Smith", "birthdate": "1950-02-03", "address": "12 Elm St", "postal": "02139"}


def test_records_of_one_customer_are_found_across_feeds(people_on_either: People) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": "1", **BOB}, {"pk": "2", **BOB, "given-name": "Mary", "birthdate": "1952-07-08"}])
    people.feed("Shop", [{"pk": "a", "full-name": "SMITH, ROBERT", "address": "12 elm street", "postal": "02139-1111"}])

    report = people.stitch()

    assert people.customers() == groups("CRM 1, Shop a", "CRM 2")
    assert (report.summary.records, report.summary.customers, report.summary.new) == (3, 2, 2)
    merged = people.rows("Stitch:Merged_Customers", "given_name", "birthdate", "address", "records")
    assert merged == [("Mary", "1952-07-08", "12 Elm St", 1), ("Robert", "1950-02-03", "12 Elm St", 2)]


def test_a_second_run_on_the_same_data_changes_nothing(people_on_either: People) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": str(number), **BOB, "fk-customer": "7"} for number in range(3)])
    people.feed("Orders", [{"pk": "9", "fk-customer": "7"}], stitch=False)
    people.stitch()
    before = people.everything()

    summary = people.stitch().summary

    assert people.everything() == before
    assert (summary.customers, summary.unchanged, summary.new, summary.updated) == (1, 1, 0, 0)
    assert people.rows("Orders:People:stitched", "customer_id") == [(people.ids()["CRM 0"],)]


def test_heap_users_take_part_without_a_feed_and_their_sessions_get_the_customer(people_on_either: People) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": "1", **BOB, "email": "bob@acme.com", "fk-heap-identity": "bob"}])
    people.table("Heap:users:resolved", ["user_id", "identity", "email"], [(1, "bob", None), (2, "x", "bob@acme.com")])
    people.table("Heap:user_migrations:resolved", ["from_user_id", "to_user_id"], [(8, 1)])
    people.table("Heap:sessions:resolved", ["user_id", "event_id"], [(1, 10), (2, 11), (3, 12)])
    people.feed("Loyalty", [{"pk": "L", "fk-heap-user": "8"}])

    people.stitch()

    assert people.customers() == groups("CRM 1, Heap 1, Heap 2, Loyalty L")
    customer = people.ids()["CRM 1"]
    assert people.rows("Heap:sessions:stitched", "event_id", "customer_id") == [
        ("10", customer),
        ("11", customer),
        ("12", None),
    ]
    evidence = {row[0] for row in people.rows("Stitch:Unified_Scores", "match_type")}
    assert evidence == {"foreign key fk-heap-identity", "migration fk-heap-user", "rule e-mail"}


SON = {**BOB, "birthdate": "1980-11-21"}
TWIN = {**BOB, "given-name": "Anna"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BOB, SON),
        (BOB, TWIN),
        ({**BOB, "generational-suffix": "Sr"}, {**BOB, "surname": "Smith Jr."}),
        ({**BOB, "sk-tax": "1"}, {**BOB, "sk-tax": "2"}),
        ({**BOB, "sk-tax": "1", "fk-home": "7"}, {**BOB, "sk-tax": "2", "fk-home": "7"}),
        ({"full-name": "Robert Smith", "city": "Cambridge"}, {"full-name": "Robert Smith", "city": "Cambridge"}),
        ({"phone": "555 123 4567"}, {"phone": "555 123 4567"}),
        ({"fk-home": "UNKNOWN"}, {"fk-home": "UNKNOWN"}),
        ({"email": "noreply@acme.com"}, {"email": "noreply@acme.com"}),
    ],
    ids=["parent", "twin", "suffix", "separation", "separated key", "name and city", "phone", "bad key", "bad e-mail"],
)
def test_people_who_may_be_different_stay_apart(people: People, first: dict[str, Any], second: dict[str, Any]) -> None:
    people.feed("CRM", [{"pk": "1", **first}, {"pk": "2", **second}])

    people.stitch()

    assert people.customers() == groups("CRM 1", "CRM 2")


HOUSE = {"phone": "617 555 0142", "address": "12 Elm St", "postal": "02139"}
PLACEHOLDERS: dict[str, dict[str, str | None]] = {
    "no name": HOUSE,
    "placeholder names": {**HOUSE, "given-name": "N.A.", "surname": "unknown"},
    "placeholder full name": {**HOUSE, "full-name": "Not provided"},
    "surname alone": {**HOUSE, "surname": "Smith"},
    "title and surname": {**HOUSE, "full-name": "Mrs. Unknown"},
    "default birthdate": {"given-name": "Ann", "surname": "Lee", "birthdate": "9999-12-31"},
    "default phone": {"given-name": "Bea", "surname": "Kim", "phone": "+1 000-000-0000", "city": "Cambridge"},
    "default e-mail": {"given-name": "Cy", "surname": "Roe", "email": "none1@acme.com", "city": "Cambridge"},
    "empty key": {"fk-a": "\t"},
}


def test_values_shared_by_a_household_or_a_form_link_no_records(people: People) -> None:
    """Two equal records of each kind stay apart."""
    rows = [
        {
            "pk": f"{kind} {number}",
            **values,
            **({"address": f"{place} Elm St", "phone": f"617 555 01{place}"} if "address" in values else {}),
        }
        for place, (kind, values) in enumerate(PLACEHOLDERS.items(), 10)
        for number in (1, 2)
    ]
    people.feed("CRM", rows)

    people.stitch()

    assert {record for customer in people.customers() if len(customer) > 1 for record in customer} == set()


SPELLINGS: dict[str, tuple[dict[str, str | None], dict[str, str | None]]] = {
    "composed": ({**BOB, "given-name": "Zo\u00eb"}, {**BOB, "given-name": "Zoe\u0308"}),
    "composed e-mail": ({"email": "zo\u00eb@acme.com"}, {"email": "Zoe\u0308@acme.com"}),
    "Turkish": (
        {**BOB, "given-name": "\u0130smail", "surname": "Y\u0131ld\u0131z"},
        {**BOB, "given-name": "ismail", "surname": "YILDIZ"},
    ),
    "German": ({**BOB, "surname": "Gro\u00df"}, {**BOB, "surname": "GROSS"}),
    "Cyrillic": ({**BOB, "given-name": "Иван"}, {**BOB, "given-name": "Ivan"}),
    "digits": (
        {"given-name": "Ann", "surname": "Lee", "phone": "\uff16\uff11\uff17-555-\uff10142"},
        {"given-name": "Ann", "surname": "Lee", "phone": "(617) 555-0142"},
    ),
    "one word": (
        {"full-name": "Cher", "email": "cher@acme.com", "phone": "617 555 0199"},
        {"given-name": "Cher", "email": "cher@acme.com", "phone": "617 555 0199"},
    ),
}


def test_spellings_of_one_value_are_one_customer(people: People) -> None:
    rows = [
        {"pk": f"{kind} {number}", **values, **({"address": f"{place} Oak St"} if "address" in values else {})}
        for place, (kind, pair) in enumerate(SPELLINGS.items(), 10)
        for number, values in enumerate(pair, 1)
    ]
    people.feed("CRM", rows)

    people.stitch()

    assert people.customers() == groups(*(f"CRM {kind} 1, CRM {kind} 2" for kind in SPELLINGS))


def test_a_key_is_the_same_number_in_a_column_of_any_type(people_on_either: People) -> None:
    """In primary and foreign keys, of records and of `:stitched` views."""
    people = people_on_either
    people.feed("CRM", [{"pk": "7", "fk-a": "8"}, {"pk": "5.5", "fk-a": "9.25"}, {"pk": "100", "fk-a": "200"}])
    people.feed("Shop", [{"pk": "a", "fk-a": "8"}, {"pk": "b", "fk-a": "9.25"}, {"pk": "c", "fk-a": "200"}])
    people.feed("Orders", [{"pk": "x", "fk-a": "8"}, {"pk": "y", "fk-a": "9.25"}], stitch=False)
    decimal = FieldType(Kind.DECIMAL, 10, 2)
    for table, column, kind in (("CRM", "pk", FLOAT), ("CRM", "fk_a", decimal), ("Orders", "fk_a", FLOAT)):
        name = people.warehouse.sql_type(kind)
        people.warehouse.execute(
            f'ALTER TABLE "{table}:People" ALTER COLUMN {column} TYPE {name} USING CAST({column} AS {name})'
        )

    people.stitch()

    assert people.customers() == groups("CRM 7, Shop a", "CRM 5.5, Shop b", "CRM 100, Shop c")
    ids = people.ids()
    crm = [(ids["CRM 5.5"], 5.5), (ids["CRM 7"], 7), (ids["CRM 100"], 100)]
    found = people.rows("CRM:People:stitched", "customer_id", "pk")
    assert sorted((customer, float(pk)) for customer, pk in found) == sorted(crm)
    orders = [(ids["CRM 7"], "x"), (ids["CRM 5.5"], "y")]
    assert sorted(people.rows("Orders:People:stitched", "customer_id", "pk")) == sorted(orders)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("Robert", "Bob", True),
        ("bobby", "ROBERT", True),
        ("Robert", "Robert J.", True),
        ("Robert", "Bob J.", True),
        ("Mary Ann", "Mary", True),
        ("Mary Ann", "Mary Beth", False),
        ("Bob", "Bill", False),
        ("Mary Ann", "Mary Anne", True),
    ],
)
def test_a_nickname_is_the_same_person_but_a_sibling_is_not(
    people: People, first: str, second: str, together: bool
) -> None:
    people.feed("CRM", [{"pk": "1", **BOB, "given-name": first}, {"pk": "2", **BOB, "given-name": second}])

    people.stitch()

    assert len(people.customers()) == (1 if together else 2)


def test_a_record_that_matches_parent_and_child_equally_well_joins_neither(people: People) -> None:
    nobody = {**BOB, "birthdate": None, "phone": None}
    people.feed("CRM", [{"pk": "1", **BOB}, {"pk": "2", **SON}, {"pk": "3", **nobody}])

    people.stitch()

    assert people.customers() == groups("CRM 1", "CRM 2", "CRM 3")
    kept_apart = people.rows("Stitch:Unified_Scores", "pk1", "pk2", "kept_apart")
    assert kept_apart == [(first, "3", "it fits several customers equally well") for first in "12"]


def test_a_shared_value_is_reported_and_not_used_for_linking(people: People) -> None:
    names = [
        "Ann",
        "Bea",
        "Cleo",
        "Dora",
        "Edda",
        "Fay",
        "Gus",
        "Hal",
        "Ian",
        "Jim",
        "Kay",
        "Lou",
        "Max",
        "Ned",
        "Olga",
    ]
    names += ["Pia", "Quin", "Rob", "Sue", "Tom", "Uma"]
    people.feed(
        "CRM", [{"pk": f"{n}{twin}", "given-name": n, "email": "us@acme.com"} for n in names for twin in ("", "2")]
    )

    people.stitch()

    assert len(people.customers()) == 42
    assert people.rows("Stitch:Bad_Values") == [("email", "US@ACME.COM", "more than 20 given names", 42, 21, 0)]


def test_labels_win_over_all_other_evidence(people_on_either: People) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": "1", **BOB, "fk-a": "7"}, {"pk": "2", **BOB, "fk-a": "7"}, {"pk": "3", **SON}])
    people.label(
        ("apart", "p", "CRM:People", "pk", "1"),
        ("apart", "q", "CRM:People", "pk", "2"),
        ("together", "p", "CRM:People", "pk", "1"),
        ("together", "p", "CRM:People", "birthdate", "1980-11-21"),
    )

    people.stitch()

    assert people.customers() == groups("CRM 1, CRM 3", "CRM 2")


def test_ids_follow_the_larger_part_through_merges_and_splits(people_on_either: People) -> None:
    people = people_on_either
    rows = [{"pk": str(number), "fk-a": "k1" if number < 3 else "k2"} for number in range(5)]
    people.feed("CRM", rows)
    people.stitch()
    larger, smaller = people.ids()["CRM 0"], people.ids()["CRM 4"]

    people.feed("CRM", [{**row, "fk-a": "k1"} for row in rows])
    merged = people.stitch().summary
    assert set(people.ids().values()) == {larger}
    assert (merged.merged, merged.new, merged.split) == (1, 0, 0)

    people.feed("CRM", [{**row, "fk-a": "k1" if row["pk"] < "4" else "k3"} for row in rows])
    split = people.stitch().summary
    assert people.ids()["CRM 0"] == larger
    assert people.ids()["CRM 4"] not in {larger, smaller}
    assert (split.merged, split.new, split.split) == (0, 0, 1)
    assert [row[1] for row in people.rows("Stitch:Changes", "run", "change")] == [
        "new",
        "new",
        "merged",
        "updated",
        "split",
        "updated",
    ]


def test_records_that_disappeared_come_back_to_their_customer(people: People) -> None:
    people.feed("CRM", [{"pk": "1", **BOB}])
    people.feed("Shop", [{"pk": "a", "fk-a": "1"}])
    people.stitch()
    before = people.ids()
    people.feed("CRM", [])
    assert people.stitch().summary.deleted == 1

    people.feed("CRM", [{"pk": "1", **BOB}])
    people.stitch()

    assert people.ids() == before


def test_a_table_of_orders_may_have_its_own_customer_id_column(people: People) -> None:
    people.feed("CRM", [{"pk": "1", "fk-customer": "7"}])
    people.feed("Orders", [{"pk": "9", "fk-customer": "7"}], stitch=False)
    orders = people.folder / "feeds" / "Orders.yaml"
    orders.write_text(orders.read_text().replace("name: fk_customer", "name: customer_id"))
    people.warehouse.execute('ALTER TABLE "Orders:People" RENAME COLUMN fk_customer TO customer_id')

    people.stitch()

    assert list(people.warehouse.columns("Orders:People:stitched")) == ["customer_id", "pk", "raw_customer_id"]
    assert people.rows("Orders:People:stitched") == [(people.ids()["CRM 1"], "9", "7")]


def test_the_scratch_is_removed_completely(people: People) -> None:
    people.feed("CRM", [{"pk": "1", **BOB}])
    people.stitch()

    assert [path.name for path in (people.folder / ".heap-courier" / "stitch").iterdir()] in ([], ["lock"])


def test_an_error_for_too_little_memory_names_the_setting(people: People) -> None:
    people.feed("CRM", [{"pk": "1", **BOB}])
    people.memory = "1MB"

    with pytest.raises(SetupError, match=r"Stitch's temporary database .* limit of 1MB .* `memory` under `stitch`"):
        people.stitch()


def test_a_project_without_inputs_is_explained(people: People) -> None:
    with pytest.raises(SetupError, match=r"No table takes part in Stitch: set `stitch: true` in a feed"):
        people.stitch()


def test_the_source_of_the_tables_of_customers_is_reserved(people: People) -> None:
    people.feed("Stitch", [{"pk": "1", **BOB}])

    with pytest.raises(SetupError, match=r"The feed `Stitch:People` has the source `Stitch`"):
        people.stitch()


def test_an_invalid_model_is_explained(people: People, tmp_path: Path) -> None:
    people.feed("CRM", [{"pk": "1", **BOB}])
    (tmp_path / "stitch").mkdir()
    (tmp_path / "stitch" / "model.json").write_text("{}")

    with pytest.raises(SetupError, match=r"is not a valid model: remove it to use the shipped model"):
        people.stitch()


def test_records_are_counted_across_batches(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten records in batches of three: each stays with its own customer."""
    monkeypatch.setattr("heap_courier.stitch.linking.link._ROWS", 3)
    people.feed("CRM", [{"pk": str(number), "fk-a": f"k{number // 2}"} for number in range(10)])

    people.stitch()

    assert people.customers() == groups(*(f"CRM {number}, CRM {number + 1}" for number in range(0, 10, 2)))


def test_a_table_may_lose_a_column_of_its_stitched_view(people_on_either: People) -> None:
    """It can still be loaded, and the next run recreates the view with the remaining columns."""
    warehouse = people_on_either.warehouse
    people_on_either.feed("CRM", [{"pk": "1", **BOB}])
    people_on_either.stitch()
    fewer = Table("CRM:People", (TableColumn("pk", STRING), TableColumn("surname", STRING)), ("pk",))
    batch = pa.record_batch([["1"], ["Jones"]], schema=fewer.schema)

    load(warehouse, fewer, [batch])

    assert people_on_either.rows("CRM:People") == [("1", "Jones")]
    for name in domain_tables(warehouse):
        people_on_either.rows(name)
    (feed,) = read_feeds(people_on_either.folder / "feeds")
    write_feed(replace(feed, fields=feed.fields[:1] + feed.fields[2:3]), people_on_either.folder / "feeds" / "CRM.yaml")
    people_on_either.stitch()
    assert list(warehouse.columns("CRM:People:stitched")) == ["customer_id", "pk", "surname"]


def test_a_feed_can_be_activated_in_another_form_after_a_run(people_on_either: People) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": "1", **BOB}])
    people.stitch()
    (feed,) = read_feeds(people.folder / "feeds")

    activate(people.warehouse, replace(feed, primary_key=("surname",)), None, now=NOW, truncate=True, workers=1)

    assert people.rows("CRM:People") == []


def test_fields_that_belong_together_come_from_one_record_of_the_preferred_table(people: People) -> None:
    """Otherwise from the most complete record, and of equally complete ones from the newest."""
    home = {"address": "1 Elm St", "city": "Cambridge", "postal": "02139"}
    people.feed("CRM", [{"pk": "1", "fk-a": "k1", **home, "update-dt": "2020-01-01"}])
    people.feed("Shop", [{"pk": "a", "fk-a": "k1", "address": "9 Oak St", "update-dt": "2021-01-01"}])
    people.feed("Web", [{"pk": "x", "fk-a": "k1", **home, "address": "7 Lake Rd", "update-dt": "2022-01-01"}])

    def chosen() -> list[tuple[Any, ...]]:
        people.stitch()
        return people.rows("Stitch:Merged_Customers", "address", "city")

    assert chosen() == [("7 Lake Rd", "Cambridge")]
    people.priority = ("Shop:People",)
    assert chosen() == [("9 Oak St", None)]
    people.priority = ("Shop:Peple",)
    with pytest.raises(
        SetupError, match=r"`stitch.priority`: there is no input `Shop:Peple`. Did you mean `Shop:People`"
    ):
        people.stitch()
