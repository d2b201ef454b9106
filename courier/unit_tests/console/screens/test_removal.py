"""Removing couriers, credentials, feeds and groups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from courier.unit_tests.console.screens.test_feeds import filled_in
from courier.unit_tests.console.visitor import Visitor, visitor
from heap_courier.feeds.reader import read_feeds
from heap_courier.project.reader import read_project
from heap_courier.project.scaffold import make_project

FEED = """\
id: df-users01
source: Heap
name: Users
primary-key: [id]
last-updated: generated
fields:
  - {name: id, type: string}
"""


@pytest.fixture
def shop(project: Path) -> Path:
    """The project of `init` with a feed that its courier loads."""
    (project / "feeds").mkdir(exist_ok=True)
    (project / "feeds" / "users.yaml").write_text(FEED)
    operations = {"Heap:Users": [{"type": "load", "file": "users"}]}
    (project / "load-operations" / "heap.json").write_text(json.dumps(operations))
    return project


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/couriers/Heap-Connect/remove", "The group `nightly` runs it"),
        ("/feeds/df-users01/remove", "The load operations of the courier `Heap` refer to it"),
        ("/credentials/heap-bucket/remove", "The courier `Heap` uses it: choose another credential for it first."),
    ],
)
def test_nothing_is_removed_that_is_still_used(shop: Path, visits: Visitor, address: str, words: str) -> None:
    before = tree(shop)
    page = visits.get(address)
    assert words in page.text
    assert "<button" not in page.html
    assert visits.post(address, filled_in(page)).status == 409
    assert tree(shop) == before


def test_everything_can_be_removed_step_by_step_and_comments_stay(shop: Path, visits: Visitor) -> None:
    """A group, the courier that it ran, and the feed that the courier loaded."""
    file = shop / "heap-courier.yaml"
    comments = [line for line in file.read_text().splitlines() if line.startswith("#")]
    page = visits.get("/groups/nightly/remove")
    assert "a new group with the same name continues" in page.text
    assert "The group nightly was removed." in visits.post("/groups/nightly/remove", filled_in(page)).text
    page = visits.get("/couriers/Heap/remove")
    assert "`load-operations/heap.json`" in page.text
    assert "Its domain tables with all rows" in page.text
    assert "The courier Heap was removed." in visits.post("/couriers/Heap/remove", filled_in(page)).text
    page = visits.get("/feeds/df-users01/remove")
    assert "The domain table `Heap:Users` with all rows" in page.text
    assert "The feed Heap:Users was removed." in visits.post("/feeds/df-users01/remove", filled_in(page)).text
    page = visits.get("/couriers/Heap-Connect/remove")
    assert "Its position in the dumps of Heap Connect" in page.text
    visits.post("/couriers/Heap-Connect/remove", filled_in(page))
    project = read_project(shop)
    assert (project.couriers, project.groups, read_feeds(project.feeds)) == ({}, {}, ())
    assert [line for line in file.read_text().splitlines() if line.startswith("#")] == comments
    assert not list(shop.rglob("*.json"))
    assert visits.post("/groups/nightly/remove").status == 409


def test_a_list_that_another_courier_uses_stays(shop: Path, visits: Visitor) -> None:
    file = shop / "heap-courier.yaml"
    file.write_text(
        file.read_text().replace(
            "couriers:\n", "couriers:\n  Two: {bucket: heap-two, entities: entities/heap.json}\n", 1
        )
    )
    page = visits.get("/couriers/Two/remove")
    assert "entities" not in page.text.partition("What is removed")[2].partition("What stays")[0]
    visits.post("/couriers/Two/remove", filled_in(page))
    assert list(read_project(shop).couriers) == ["Heap", "Heap-Connect"]
    assert (shop / "entities" / "heap.json").exists()


def test_a_change_since_the_page_was_opened_needs_another_confirmation(shop: Path, visits: Visitor) -> None:
    page = visits.get("/groups/nightly/remove")
    visits.post("/groups/nightly/status", {"status": "enabled"})
    answer = visits.post("/groups/nightly/remove", filled_in(page))
    assert (answer.status, "was changed by someone else" in answer.text) == (409, True)
    assert "nightly" in read_project(shop).groups
    visits.post("/groups/nightly/remove", filled_in(answer))
    assert read_project(shop).groups == {}


class TestCredentials:
    ROLE = (
        "credentials:\n"
        "  keys: {type: iam-credential, access-key-env: KEY, secret-key-env: SECRET}\n"
        "  role: {type: iam-role-to-role, role-arn: 'arn:aws:iam::123456789012:role/heap', credential: keys}\n"
        "  spare: {type: profile, profile: heap}\n"
    )

    @pytest.fixture
    def file(self, folder: Path) -> Path:
        make_project(folder, bare=True)
        file = folder / "heap-courier.yaml"
        file.write_text(file.read_text() + "\n" + self.ROLE)
        return file

    def test_sources_shows_where_keys_come_from_and_what_uses_them(self, file: Path) -> None:
        text = visitor(file.parent, environment={"KEY": "k"}).get("/").text
        assert "keys iam-credential The variables `KEY` and `SECRET` SECRET not set role Remove" in text
        assert "The role `arn:aws:iam::123456789012:role/heap`, assumed with `keys` SECRET not set nothing" in text
        assert "spare profile The profile `heap` of the AWS configuration nothing Remove" in text

    def test_an_unused_credential_is_removed(self, file: Path, visits: Visitor) -> None:
        """And the page lists what it refers to, because that stays."""
        for name, stays in (("spare", "the profile `heap`"), ("role", "assumed with `keys`"), ("keys", "`SECRET`")):
            page = visits.get(f"/credentials/{name}/remove")
            assert stays in page.text
            assert (
                f"The credential {name} was removed."
                in visits.post(f"/credentials/{name}/remove", filled_in(page)).text
            )
        assert "keys" not in file.read_text()
        assert "Credentials" not in visits.get("/").text

    def test_a_credential_that_a_role_needs_is_not_removed(self, file: Path, visits: Visitor) -> None:
        page = visits.get("/credentials/keys/remove")
        assert "The credential `role` assumes its role with it: remove that one first." in page.text
        before = file.read_text()
        assert visits.post("/credentials/keys/remove", filled_in(page)).status == 409
        assert file.read_text() == before

    def test_an_unknown_credential_is_not_found(self, file: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "there is no credential `key`. Did you mean `keys`?" in visits.get("/credentials/key/remove").text
