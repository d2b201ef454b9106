"""The Feed Editor and load operations, on a separate project."""

from __future__ import annotations

import difflib
import json
import re
from html import unescape
from pathlib import Path

import pytest

from courier.unit_tests.console.visitor import Answer, Visitor
from heap_courier.console.editing.sample_profile import ColumnProfile
from heap_courier.feeds import tags
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds

CSV = "id,email,joined,amount\n1,a@example.com,2026-03-01,1.5\n2,,2026-03-02,2\n3,c@example.com,2026-03-03,oops\n"


@pytest.fixture
def sample(project: Path) -> Path:
    path = project / "samples" / "Heap" / "users.csv"
    path.parent.mkdir(parents=True)
    path.write_text(CSV)
    return path


@pytest.fixture
def added(sample: Path, visits: Visitor) -> Answer:  # noqa: ARG001
    """The Feed Editor of a feed that was just added."""
    fields = {"source": "Shop", "name": "Users", "sample": "samples/Heap/users.csv", "load": "on"}
    return visits.post("/feeds/new", fields)


def feed_of(project: Path) -> Feed:
    (feed,) = read_feeds(project / "feeds")
    return feed


def file_of(project: Path) -> Path:
    return project / "feeds" / "shop-users.yaml"


def filled_in(page: Answer, **change: str | None) -> dict[str, str]:
    """The fields that a browser would send for the form on a page, with changes; None omits a field."""
    fields = {}
    for tag in re.findall(r"<input[^>]*>", page.html):
        parts = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if "name" in parts and (parts.get("type") != "checkbox" or " checked" in tag):
            fields[parts["name"]] = unescape(parts.get("value", "on"))
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', page.html, re.DOTALL):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        if chosen:
            fields[name] = unescape(chosen[1] if chosen[1] is not None else chosen[2])
    changes = {name.replace("__", ".").replace("_", "-"): value for name, value in change.items()}
    return {name: value for name, value in (fields | changes).items() if value is not None}


class TestAdding:
    def test_a_feed_is_proposed_from_the_sample(self, project: Path, added: Answer) -> None:
        feed = feed_of(project)
        assert (feed.domain_table, feed.primary_key, feed.sample and feed.sample.path) == (
            "Shop:Users",
            ("id",),
            "samples/Heap/users.csv",
        )
        assert "Feed Editor: Shop:Users" in added.text
        assert "1 · 2 · 3 100 %" in added.text
        assert "a@example.com · c@example.com 67 %" in added.text

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"source": ""}, "needs a data source and a name"),
            ({"name": "a:b" * 40}, "longer than"),
            ({"sample": "../heap-courier.yaml"}, "Choose a sample file"),
            ({"sample": "heap-courier.yaml"}, "Choose a sample file"),
            ({"separator": "ab"}, "must be one ASCII character"),
            ({"encoding": "klingon"}, "There is no encoding"),
            ({"content-type": "text/xls"}, "There is no content type"),
            ({"content-type": "application/avro"}, "It was read as application/avro."),
            ({"content-type": "application/json"}, "It was read as application/json."),
        ],
    )
    def test_an_error_is_reported(
        self, sample: Path, project: Path, visits: Visitor, change: dict[str, str], words: str
    ) -> None:
        assert sample.exists()
        fields = {"source": "Shop", "name": "Users", "sample": "samples/Heap/users.csv"} | change
        answer = visits.post("/feeds/new", fields)
        assert (answer.status, words in answer.text) == (409, True)
        assert not (project / "feeds").exists()

    def test_without_a_sample_the_page_explains_how_to_get_one(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "there are none yet" in visits.get("/feeds/new").text

    def test_every_profile_tag_has_a_meaning(self) -> None:
        from heap_courier.console.editing.feed_form import MEANINGS  # noqa: PLC0415

        assert set(tags.PROFILE) <= set(MEANINGS)


class TestEditing:
    def test_saving_without_a_change_changes_nothing(self, project: Path, visits: Visitor, added: Answer) -> None:
        before = file_of(project).read_bytes()
        assert "Saved." in visits.post(f"/feeds/{feed_of(project).id}", filled_in(added, do="save")).text
        assert file_of(project).read_bytes() == before

    def test_only_what_changed_is_written(self, project: Path, visits: Visitor, added: Answer) -> None:
        """Comments, quotes and order stay."""
        before = file_of(project).read_text()
        fields = filled_in(added, error_threshold="50", stitch=None, field__1__tag="phone", last_updated="generated")
        visits.post(f"/feeds/{feed_of(project).id}", fields | {"field.0.required": "on"})
        differing = list(difflib.ndiff(before.splitlines(), file_of(project).read_text().splitlines()))
        assert [line[2:].split("#")[0].strip() for line in differing if line[0] == "+"] == [
            "error-threshold: 50",
            "stitch: false",
            "- {name: id, type: Integer, tag: pk, required: true}",
            "- {name: email, type: String, tag: phone}",
        ]
        feed = feed_of(project)
        assert (feed.error_threshold, feed.stitch, feed.fields[1].tag) == (50, False, "phone")

    def test_a_key_of_several_fields_keeps_its_order(self, project: Path, visits: Visitor, added: Answer) -> None:
        """`_pk` joins the values in this order."""
        file = file_of(project)
        file.write_text(file.read_text().replace("primary-key: [id]", "primary-key: [joined, id]"))
        page = visits.get(f"/feeds/{feed_of(project).id}")
        assert added.status == page.status == 200
        visits.post(f"/feeds/{feed_of(project).id}", filled_in(page) | {"field.1.key": "on"})
        assert feed_of(project).primary_key == ("joined", "id", "email")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"field.0.name": "a b"}, "Field names may only contain letters"),
            ({"field.1.name": "id"}, "name conflict"),
            ({"field.1.tag": "E Mail"}, "`E Mail`"),
            ({"field.1.type": "Text"}, "there is no type"),
            ({"field.1.pattern": "dd.MM.yyyy"}, "pattern"),
            ({"error-threshold": "a"}, "The error threshold is `a`"),
            ({"error-threshold": "101"}, "from 0 to 100"),
            ({"last-updated": "email"}, "`last-updated` is `email`"),
        ],
    )
    def test_an_invalid_feed_is_explained_while_typing_and_not_saved(
        self, project: Path, visits: Visitor, added: Answer, change: dict[str, str], words: str
    ) -> None:
        before = file_of(project).read_bytes()
        fields = filled_in(added) | change
        feed_id = feed_of(project).id
        assert words in visits.post(f"/feeds/{feed_id}/validation", fields).text
        answer = visits.post(f"/feeds/{feed_id}", fields)
        assert (answer.status, words in answer.text) == (409, True)
        assert file_of(project).read_bytes() == before

    def test_rows_that_would_be_rejected_are_counted(self, project: Path, visits: Visitor, added: Answer) -> None:
        url = f"/feeds/{feed_of(project).id}/validation"
        assert "accepts all of the first 3 rows" in visits.post(url, filled_in(added)).text
        text = visits.post(url, filled_in(added) | {"field.3.type": "Float"}).text
        assert "1 of the first 3 rows of the sample would be rejected, more than the error threshold allows" in text
        assert "1 `amount`" in text

    def test_a_misspelled_tag_gives_a_warning(self, project: Path, visits: Visitor, added: Answer) -> None:
        url = f"/feeds/{feed_of(project).id}/validation"
        assert "did you mean `email`?" in visits.post(url, filled_in(added) | {"field.1.tag": "emial"}).text

    def test_a_field_is_removed_and_added_again(self, project: Path, visits: Visitor, added: Answer) -> None:
        url = f"/feeds/{feed_of(project).id}"
        less = visits.post(url, filled_in(added, do="remove:3"))
        assert "Columns without a field: + amount" in less.text
        more = visits.post(url, filled_in(less, do="add:amount"))
        assert more.value("field.3.name") == "amount"
        visits.post(url, filled_in(less, do="save"))
        assert [field.name for field in feed_of(project).fields] == ["id", "email", "joined"]

    def test_a_change_by_someone_else_is_not_overwritten(self, project: Path, visits: Visitor, added: Answer) -> None:
        file = file_of(project)
        theirs = file.read_text().replace("error-threshold: 1", "error-threshold: 9")
        file.write_text(theirs)
        answer = visits.post(f"/feeds/{feed_of(project).id}", filled_in(added, error_threshold="50"))
        assert (answer.status, "changed by someone else" in answer.text) == (409, True)
        assert file.read_text() == theirs
        assert answer.value("error-threshold") == "50"

    def test_an_unknown_feed_is_reported(self, project: Path, visits: Visitor, added: Answer) -> None:
        assert added.status == 200
        assert f"`{feed_of(project).id}`" in visits.get("/feeds/zzzzzz").text


class TestActivating:
    def test_the_sample_is_loaded_and_shown(self, project: Path, visits: Visitor, added: Answer) -> None:
        text = visits.post(f"/feeds/{feed_of(project).id}", filled_in(added, do="activate")).text
        assert f"The feed is active. Its ID in load operations is `{feed_of(project).id}`" in text
        assert "3 rows of the sample were read, 3 added or changed, 0 rejected" in text
        assert "2 null 2026-03-02" in text
        assert "active id" in visits.get("/").text

    def test_the_table_stays_empty_without_the_sample(self, project: Path, visits: Visitor, added: Answer) -> None:
        text = visits.post(f"/feeds/{feed_of(project).id}", filled_in(added, do="activate", load=None)).text
        assert "The table is empty." in text

    def test_another_key_needs_an_empty_table(self, project: Path, visits: Visitor, added: Answer) -> None:
        url = f"/feeds/{feed_of(project).id}"
        visits.post(url, filled_in(added, do="activate"))
        other = filled_in(visits.get(url), do="activate", field__0__key=None) | {"field.2.key": "on"}
        refused = visits.post(url, other)
        assert (refused.status, "contains 3 rows" in refused.text) == (409, True)
        assert "The feed is active" in visits.post(url, filled_in(refused, do="activate", truncate="on")).text


@pytest.mark.parametrize(
    ("filled", "rows", "percent"),
    [(0, 0, ""), (0, 9, "0 %"), (9, 9, "100 %"), (1, 3, "33 %"), (999, 1000, "99.9 %"), (99_999, 100_000, "< 100 %")],
)
def test_only_complete_columns_are_100_percent(filled: int, rows: int, percent: str) -> None:
    assert ColumnProfile([], rows, filled).percent == percent


class TestOperations:
    def test_the_form_writes_them(self, project: Path, visits: Visitor, added: Answer) -> None:
        feed_id = feed_of(project).id
        page = visits.get("/couriers/Heap/operations")
        assert added.status == 200
        fields = filled_in(page) | {"mode": "form", "feed.0.tag": "users", "feed.0.truncate": "on"}
        assert "were saved" in visits.post("/couriers/Heap/operations", fields).text
        assert json.loads((project / "load-operations" / "heap.json").read_text()) == {
            feed_id: [{"type": "truncate"}, {"type": "load", "file": "users"}]
        }

    def test_an_unknown_feed_stays_until_it_is_unticked(self, project: Path, visits: Visitor, added: Answer) -> None:
        """As in the documentation: a placeholder id until the feed exists."""
        assert added.status == 200
        file = project / "load-operations" / "heap.json"
        file.write_text('{"df-xxxxxx": [{"type": "load", "file": "users"}]}')
        page = visits.get("/couriers/Heap/operations")
        assert "There is no such feed `df-xxxxxx`" in page.text
        visits.post("/couriers/Heap/operations", filled_in(page) | {"mode": "form"})
        assert "df-xxxxxx" in json.loads(file.read_text())

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "line 1"),
            ('{"df-1": [{"type": "load", "file": "user"}]}', "did you mean `users`"),
            ("[]", "an object of feeds"),
        ],
    )
    def test_json_is_validated_and_saved(self, project: Path, visits: Visitor, text: str, words: str) -> None:
        page = visits.get("/couriers/Heap/operations")
        fields = {"mode": "json", "text": text, "version": page.value("version")}
        answer = visits.post("/couriers/Heap/operations", fields)
        assert (answer.status, words in answer.text) == (409, True)
        assert text in unescape(answer.html)
        assert (project / "load-operations" / "heap.json").read_text() == "{}\n"

    def test_a_change_by_someone_else_is_not_overwritten(self, project: Path, visits: Visitor) -> None:
        version = visits.get("/couriers/Heap/operations").value("version")
        theirs = '{"df-2": [{"type": "load", "file": "users"}]}'
        (project / "load-operations" / "heap.json").write_text(theirs)
        answer = visits.post("/couriers/Heap/operations", {"mode": "json", "text": "{}", "version": version})
        assert (answer.status, "changed by someone else" in answer.text) == (409, True)
        assert (project / "load-operations" / "heap.json").read_text() == theirs

    def test_a_courier_that_follows_heap_connect_has_none(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "has no load operations" in visits.get("/couriers/Heap-Connect/operations").text
