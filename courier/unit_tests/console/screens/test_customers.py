"""Customers, on a project whose records are linked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from courier.unit_tests.console.visitor import Visitor, visitor
from courier.unit_tests.stitch.project_of_people import People
from heap_courier.console.visit import path
from heap_courier.project.scaffold import make_project
from heap_courier.stitch import extra
from heap_courier.stitch.labels import stored_labels

ANN = {"given-name": "Ann", "surname": "O'Lee", "email": "ann@acme.com", "phone": "(555) 123-4567"}
CRM = [{"pk": "1", **ANN, "fk-a": "k1"}, {"pk": "2", "given-name": "Bob", "surname": "<b>Ray</b>"}]


@contextmanager
def people(visits: Visitor) -> Iterator[People]:
    """The records of the project, within a `with` block, after which the DuckDB file is closed."""
    with visits.console.context().warehouse() as warehouse:
        yield People(warehouse, visits.console.folder)


@pytest.fixture(scope="module")
def stitched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A project with two customers: one with the records CRM 1, Shop a and Shop b, and one with CRM 2."""
    folder = tmp_path_factory.mktemp("stitched") / "project"
    make_project(folder)
    with people(visitor(folder)) as them:
        them.feed("CRM", CRM)
        them.feed("Shop", [{"pk": "a", "fk-a": "k1"}, {"pk": "b", "email": "ann@home.org", "fk-a": "k1"}])
        them.stitch()
        return folder, them.ids()


@pytest.fixture
def ids(stitched: tuple[Path, dict[str, str]], folder: Path) -> dict[str, str]:
    """The customers of a copy of that project."""
    shutil.copytree(stitched[0], folder)
    return stitched[1]


def of(customer: str) -> str:
    return path("customers", "show", customer)


class TestSearch:
    @pytest.mark.parametrize("text", ["ann", "ANN@HOME", "555 123", "k1", "b", "1"])
    def test_customers_are_found_by_what_identifies_a_record(
        self, ids: dict[str, str], visits: Visitor, text: str
    ) -> None:
        html = visits.get(path("customers", q=text)).html
        assert (of(ids["CRM 1"]) in html, of(ids["CRM 2"]) in html) == (True, text == "b")

    def test_a_search_without_results(self, ids: dict[str, str], visits: Visitor) -> None:
        assert ids
        assert "No customer has `<i>`" in visits.get("/customers?q=%3Ci%3E").text

    def test_the_first_steps_are_explained(self, project: Path, visits: Visitor) -> None:
        """Before any feed takes part, and before the first run."""
        assert "Tick Make available to Stitch in the Feed Editor" in visits.get("/customers").text
        assert project.exists()
        with people(visits) as them:
            them.feed("CRM", CRM)
        text = visits.get("/customers").text
        assert "run Stitch to see the customers that it finds" in text
        assert "These tables take part: CRM:People." in text
        assert "run Stitch on the screen Customers first" in visits.get("/customers/show/x").text

    def test_a_missing_extra_is_reported(
        self, ids: dict[str, str], visits: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Customers of earlier runs are still shown."""
        monkeypatch.setattr(extra, "_PACKAGES", ("splinx",))
        page = visits.get("/customers")
        assert "Stitch needs the Python package `splinx`" in page.text
        assert of(ids["CRM 1"]) in page.html
        assert "Run Stitch" not in page.text
        assert "<svg" in visits.get(of(ids["CRM 1"])).html
        assert "splinx" in visits.get("/customers/explain?first=CRM:People/1&second=Shop:People/a").text


class TestCustomer:
    def test_records_and_links_are_shown_and_drawn(self, ids: dict[str, str], visits: Visitor) -> None:
        page = visits.get(of(ids["CRM 1"]))
        assert "Ann O'Lee" in page.text
        assert page.html.count("<circle") == 3
        assert page.html.count('<line class="joined"') == 2
        assert "foreign key fk-a" in page.text
        assert "(555) 123-4567" in page.text

    def test_values_of_records_are_escaped(self, ids: dict[str, str], visits: Visitor) -> None:
        html = visits.get(of(ids["CRM 2"])).html
        assert ("<b>Ray" in html, "&lt;b&gt;Ray" in html) == (False, True)

    def test_two_records_are_explained(self, ids: dict[str, str], visits: Visitor) -> None:
        text = visits.get("/customers/explain?first=CRM:People/1&second=Shop:People/a").text
        assert "One customer" in text
        assert "foreign key fk-a" in text
        text = visits.get("/customers/explain?first=CRM:People/1&second=CRM:People/2").text
        assert "Two customers" in text
        assert "Compared directly: given name" in text
        answer = visits.get("/customers/explain?first=CRM:People/1&second=CRM:People/9")
        assert (answer.status, "has no record with this primary key" in answer.text) == (409, True)
        assert ids["CRM 1"] not in answer.text


class TestDecisions:
    def test_a_customer_is_split_and_merged_again(self, ids: dict[str, str], visits: Visitor) -> None:
        customer = of(ids["CRM 1"])
        text = visits.post(customer, {"do": "part", "record": "Shop:People/b"}).text
        assert "The decision was stored. It takes effect with the next run of Stitch." in text
        assert "One customer: `CRM:People/1`, `Shop:People/a` Another customer: `Shop:People/b`" in text
        with people(visits) as them:
            them.stitch()
            assert them.customers() == {frozenset({"CRM 1", "Shop a"}), frozenset({"Shop b"}), frozenset({"CRM 2"})}
        answer = visits.post(customer, {"do": "join", "other": "Shop:People/b"})
        assert (answer.status, "This contradicts the decision `console-" in answer.text) == (409, True)

        with people(visits) as them:
            (label,) = stored_labels(them.warehouse)
        assert "was removed" in visits.post("/customers/decisions/remove", {"label": label}).text
        assert (
            "One customer: `CRM:People/1`, `CRM:People/2`, `Shop:People/a` Remove"
            in visits.post(customer, {"do": "join", "other": ids["CRM 2"]}).text
        )

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"do": "part"}, "Select the records that are another customer."),
            ({"do": "part", "record": "Shop:People/zz"}, "review its records"),
            ({"do": "join"}, "Enter the ID of the other customer"),
            ({"do": "join", "other": "nobody"}, "neither a customer's id nor a record"),
            ({"do": "join", "other": "shop:people/a"}, "already belongs to this customer"),
        ],
    )
    def test_an_error_is_reported_and_nothing_is_stored(
        self, ids: dict[str, str], visits: Visitor, fields: dict[str, str], words: str
    ) -> None:
        answer = visits.post(of(ids["CRM 1"]), fields)
        assert (answer.status, words in answer.text) == (409, True)
        with people(visits) as them:
            assert stored_labels(them.warehouse) == {}

    def test_selecting_all_records_is_refused(self, ids: dict[str, str], visits: Visitor) -> None:
        answer = visits.post(of(ids["CRM 2"]), {"do": "part", "record": "CRM:People/2"})
        assert "All records are selected" in answer.text


def test_stitch_runs(ids: dict[str, str], visits: Visitor) -> None:
    assert ids
    started = visits.ask("POST", "/customers/run")
    visits.console.jobs.join()
    text = visits.get(started.headers["location"]).text
    assert "Run of Stitch" in text
    assert "Records 4 Customers 2" in text
