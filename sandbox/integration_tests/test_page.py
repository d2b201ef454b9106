"""The sandbox's page in a browser: what a user sees and can do during a sync."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, Route, expect

from heap_sandbox.mock.store import Store
from heap_sandbox.server import Sandbox

pytestmark = pytest.mark.xdist_group("page")  # one browser shows all
ROOT = Path(__file__).resolve().parents[2]
PATHS = {"events": "track", "users": "add_user_properties", "accounts": "add_account_properties"}
EVIL = "<img src=x onerror=alert(1)>"

expect.set_options(timeout=60_000)


def post(heap: Sandbox, kind: str, *elements: dict[str, Any]) -> int:
    body = {"app_id": "11", kind: elements}
    return requests.post(f"{heap.url}/api/{PATHS[kind]}", json=body, timeout=60).status_code


def event(identity: str, **properties: Any) -> dict[str, Any]:
    return {"identity": identity, "event": "Order Placed", "properties": properties}


def rows(page: Page) -> Locator:
    return page.locator("tbody tr")


def names(page: Page) -> Locator:
    """The cells of the identities."""
    return page.locator("tbody .who")


def tab(page: Page, name: str, count: str = "") -> Locator:
    return page.get_by_role("tab", name=f"{name} {count}")


@pytest.fixture
def watched(page: Page, heap: Sandbox) -> Iterator[Page]:
    """The page, open and live; a script error or a policy violation fails the test."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(heap.url)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    yield page
    assert complaints == []


class TestRows:
    def test_rows_show_up_as_they_arrive(self, watched: Page, heap: Sandbox) -> None:
        """Without a reload, newest first and counted; with the animation that other tests turn off."""
        watched.emulate_media(reduced_motion="no-preference")
        for start in (0, 10, 20):
            post(heap, "events", *(event(f"u{number}") for number in range(start, start + 12)))
        expect(tab(watched, "Events", "36")).to_be_visible()
        expect(names(watched)).to_have_text([row["identity"] for row in reversed(heap.events())])
        expect(watched.get_by_label("Rows per second")).to_have_attribute("aria-label", re.compile("peak [1-9]"))

    def test_a_new_user_sees_how_to_begin(self, watched: Page) -> None:
        """With a command that works unchanged."""
        curl, url, h, header, d, body = shlex.split(watched.locator("#empty pre").inner_text().replace("\\\n", ""))
        assert (curl, h, d) == ("curl", "-H", "-d")
        assert requests.post(url, body, headers=dict([header.split(": ")]), timeout=60).status_code == 200
        expect(names(watched)).to_have_text(["ada@example.com"])

    @pytest.mark.parametrize("kind", ["users", "accounts", "identities", "deletions"])
    def test_the_command_of_an_empty_list_can_be_copied_and_works(
        self, watched: Page, heap: Sandbox, kind: str
    ) -> None:
        """Unchanged, in a shell."""
        watched.context.grant_permissions(["clipboard-read", "clipboard-write"])
        tab(watched, kind.title()).click()
        expect(watched.locator("#empty")).to_contain_text(f"No {kind} yet.")
        watched.locator("#empty").get_by_role("button", name="Copy").click()
        expect(watched.locator("#empty").get_by_role("button")).to_have_text("Copied")
        command = watched.evaluate("navigator.clipboard.readText()")
        subprocess.run(["/bin/sh", "-ec", command], check=True, timeout=60, capture_output=True)
        expect(rows(watched)).to_have_count(1)
        assert [request["status"] for request in heap.requests()] == [200] * (len(heap.requests()) - 1) + [
            201 if kind == "deletions" else 200
        ]

    def test_the_command_of_one_list_is_not_shown_while_another_loads(self, watched: Page) -> None:
        """It would add rows to the list that the user has left."""
        watched.route("**/newest/identities*", lambda _: None)  # no answer
        expect(watched.locator("#empty")).to_contain_text("No events yet.")
        tab(watched, "Identities").click()
        expect(watched.locator("#empty")).to_be_hidden()
        tab(watched, "Events").click()
        expect(watched.locator("#empty")).to_contain_text("No events yet.")
        watched.unroute_all(behavior="ignoreErrors")
        tab(watched, "Identities").click()
        expect(watched.locator("#empty")).to_contain_text("No identities yet.")

    def test_identities_are_listed_with_their_result(self, watched: Page, heap: Sandbox) -> None:
        """Including those that Heap would silently ignore."""
        for identity in ("a", "b"):
            body = {"app_id": "11", "identity": identity, "user_id": "7"}
            assert requests.post(f"{heap.url}/api/v1/identify", json=body, timeout=60).status_code == 200
        tab(watched, "Identities", "2").click()
        expect(names(watched)).to_have_text(["b", "a"])
        expect(watched.locator("tbody .user")).to_have_text(["7", "7"])
        expect(watched.locator("tbody .outcome")).to_have_text(
            ["ignored: the user_id has another identity", "assigned"]
        )
        rows(watched).first.click()
        expect(watched.get_by_role("dialog")).to_contain_text('"ignored": "the user_id has another identity"')
        expect(watched.get_by_role("link", name="Its user")).to_be_visible()

    def test_deleted_users_leave_the_lists(self, watched: Page, heap: Sandbox) -> None:
        """While the lists are open; the deletion request shows how many there were."""
        post(heap, "events", event("a"), event("b"), event("a"))
        expect(names(watched)).to_have_text(["a", "b", "a"])
        login = requests.post(f"{heap.url}/api/public/v0/auth_token", auth=("11", "key"), timeout=60)
        headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
        users = {"users": [{"identity": "a"}, {"identity": "c"}]}
        requests.post(f"{heap.url}/api/public/v0/user_deletion", json=users, headers=headers, timeout=60)
        expect(names(watched)).to_have_text(["b"])
        expect(tab(watched, "Events", "1")).to_be_visible()
        tab(watched, "Deletions", "1").click()
        expect(rows(watched).locator("td:is(.asked, .gone, .lost)")).to_have_text(["2", "1", "2"])
        post(heap, "events", event("d"))
        tab(watched, "Events", "2").click()
        expect(names(watched)).to_have_text(["d", "b"])

    def test_a_wide_screen_shows_more(self, watched: Page, heap: Sandbox) -> None:
        """The event's own time beside its arrival, and two lines of properties; a narrow one shows the arrival only."""
        post(heap, "events", {**event("a", note="x " * 290), "timestamp": "2020-02-03T10:11:12Z"})
        at, lines = watched.locator("tbody .at"), watched.locator("tbody .preview div")
        heights = {}
        for width in (1000, 1300, 1900):
            watched.set_viewport_size({"width": width, "height": 800})
            expect(at).to_be_visible(visible=width > 1250)
            heights[width] = lines.bounding_box()["height"]
        expect(at.locator("time")).to_have_attribute("datetime", re.compile("^2020-02-03T10:11:12"))
        assert heights[1000] == heights[1300]
        assert heights[1900] == pytest.approx(2 * heights[1300], rel=0.2)

    def test_each_counter_is_explained(self, watched: Page) -> None:
        """Below it."""
        for counter in ("Rows per second", "Requests", "Rejected or failed", "Duplicates"):
            shown = watched.locator("dl div").filter(has=watched.get_by_text(counter, exact=True))
            assert len(shown.locator("dd.hint").inner_text().split()) > 3, counter

    @pytest.mark.parametrize("kind", ["users", "accounts"])
    def test_a_subject_is_shown_in_its_current_state(self, watched: Page, heap: Sandbox, kind: str) -> None:
        """Once, with merged properties, the last changed on top."""
        key = {"users": "identity", "accounts": "account_id"}[kind]
        post(heap, kind, {key: "a", "properties": {"plan": "free", "seats": 1}}, {key: "b", "properties": {}})
        tab(watched, kind.title()).click()
        expect(names(watched)).to_have_text(["b", "a"])
        post(heap, kind, {key: "a", "properties": {"plan": "pro"}})
        expect(names(watched)).to_have_text(["a", "b"])
        expect(rows(watched).first.locator("td")).to_contain_text(["", "a", "2", '{"plan":"pro","seats":1}'])

    def test_a_row_is_shown_completely(self, watched: Page, heap: Sandbox) -> None:
        """With each number as it was sent, even if JavaScript would format it differently."""
        post(heap, "events", event("a", total=12.0, note="x" * 500))
        rows(watched).first.click()
        shown = watched.get_by_label("The whole row as JSON")
        expect(shown).to_contain_text('"total": 12.0')
        assert json.loads(shown.inner_text())["payload"] == event("a", total=12.0, note="x" * 500)
        watched.get_by_role("button", name="Close").click()
        expect(shown).to_be_hidden()
        expect(rows(watched).get_by_role("link")).to_be_focused()

    def test_rows_continue_to_arrive_while_one_is_open(self, watched: Page, heap: Sandbox) -> None:
        """Opened by a click, and announced to a screen reader."""
        post(heap, "events", event("a"))
        rows(watched).first.click()
        expect(watched.locator("tr[aria-current=true]")).to_have_count(1)
        post(heap, "events", event("b"))
        expect(names(watched)).to_have_text(["b", "a"])
        expect(watched.get_by_role("dialog")).to_contain_text('"identity": "a"')
        assert [row.get_attribute("aria-current") for row in rows(watched).all()] == [None, "true"]

    def test_selecting_text_opens_nothing(self, watched: Page, heap: Sandbox) -> None:
        """So that it can be copied."""
        post(heap, "events", event("a", plan="professional"))
        box = rows(watched).first.locator(".preview").bounding_box()
        assert box is not None
        watched.mouse.move(box["x"] + 10, box["y"] + 10)
        watched.mouse.down()
        watched.mouse.move(box["x"] + 90, box["y"] + 10)
        watched.mouse.up()
        assert watched.evaluate("getSelection().toString()")
        watched.mouse.click(5, 5)
        expect(watched.get_by_role("dialog")).to_be_hidden()
        assert "show" not in watched.url

    @pytest.mark.parametrize("reader", ["who uses the keyboard", "who has scrolled", "of a row that covers the rows"])
    def test_rows_stay_put_for_a_reader(self, watched: Page, heap: Sandbox, reader: str) -> None:
        """Newer ones wait for a click."""
        watched.set_viewport_size({"width": 900 if reader.startswith("of") else 1200, "height": 500})
        everyone = [f"u{number:02}" for number in range(40, 0, -1)]
        post(heap, "events", *map(event, reversed(everyone)))
        expect(names(watched)).to_have_text(everyone)
        if reader == "who uses the keyboard":
            watched.get_by_label("Search").focus()
            watched.keyboard.press("Tab")
        elif reader == "who has scrolled":
            watched.locator(".scroll").evaluate("(scroller) => scroller.scrollTo(0, 100)")
        else:
            rows(watched).first.click()
            expect(watched.get_by_role("dialog")).to_be_visible()
        post(heap, "events", event("b"))
        waiting = watched.get_by_role("button", name="Show newer rows")
        expect(waiting).to_be_visible()
        expect(names(watched)).to_have_text(everyone)
        if reader.startswith("of"):
            watched.get_by_role("button", name="Close").click()
        else:
            waiting.click()
        expect(names(watched)).to_have_text(["b", *everyone])
        expect(waiting).to_be_hidden()

    def test_older_rows_are_found_after_the_first_batch(self, watched: Page, heap: Sandbox) -> None:
        """A batch larger than a page arrives while the list is empty."""
        post(heap, "events", *(event(f"u{number}") for number in range(250)))
        expect(names(watched).first).to_have_text("u249")
        watched.get_by_role("link", name="Older").click()
        expect(names(watched).first).to_have_text("u149")

    @pytest.mark.parametrize("kind", ["users", "accounts"])
    def test_a_subject_that_no_longer_matches_disappears(self, watched: Page, heap: Sandbox, kind: str) -> None:
        """A search shows the current state."""
        key = {"users": "identity", "accounts": "account_id"}[kind]
        post(heap, kind, *({key: who, "properties": {"plan": "free"}} for who in "ab"))
        post(heap, kind, {key: "c", "properties": {"plan": "pro"}})
        tab(watched, kind.title()).click()
        watched.get_by_label("Search").fill("free")
        expect(names(watched)).to_have_text(["b", "a"])
        post(heap, kind, {key: "b", "properties": {"plan": "pro"}})
        expect(names(watched)).to_have_text(["a"])

    def test_the_search_looks_into_properties(self, watched: Page, heap: Sandbox) -> None:
        """For all words, in any letter case; later rows are searched too."""
        post(heap, "events", event("ada", plan="Größe XL"), event("bob", plan="größe m"))
        watched.get_by_label("Search").fill("GRÖSSE xl")
        expect(names(watched)).to_have_text(["ada"])
        post(heap, "events", event("carl", plan="größe S"), event("dora", plan="Größe xl"))
        expect(names(watched)).to_have_text(["dora", "ada"])
        watched.get_by_label("Search").fill("nobody")
        expect(watched.get_by_text("No events match “nobody”.")).to_be_visible()

    def test_a_row_that_is_opened_while_a_search_is_typed_keeps_the_search(self, watched: Page, heap: Sandbox) -> None:
        """The row opens beside the search results."""
        post(heap, "events", event("ada"), event("bob"))
        expect(names(watched)).to_have_text(["bob", "ada"])
        watched.evaluate("window.setTimeout = () => 1")  # the click comes before the pause that begins a search
        watched.get_by_label("Search").press_sequentially("ada")
        rows(watched).first.click()
        expect(names(watched)).to_have_text(["ada"])
        expect(watched.get_by_role("dialog")).to_contain_text('"identity": "bob"')
        expect(watched.get_by_label("Search")).to_have_value("ada")

    def test_text_is_never_parsed_as_html(self, watched: Page, heap: Sandbox) -> None:
        """In any field."""
        post(heap, "events", {"identity": EVIL, "event": EVIL, "properties": {EVIL: EVIL}})
        post(heap, "events", {"identity": EVIL, "event": EVIL, "properties": {EVIL: None}})
        watched.get_by_label("Search").fill("<img")
        expect(watched.get_by_text("1 match", exact=True)).to_be_visible()  # only then are the rows those of the search
        expect(rows(watched).first.locator("td")).to_contain_text(["", EVIL, EVIL, EVIL])
        expect(watched.locator("#failures")).to_contain_text(EVIL)
        rows(watched).first.click()
        expect(watched.locator("#json")).to_contain_text(EVIL)
        assert watched.locator("main img").count() == 0

    def test_a_hundred_thousand_rows_are_handled(self, watched: Page, heap: Sandbox) -> None:
        """The document never contains more than a page, and a search finds all rows.

        The page sees most of them when it is opened, and the last tenth as they arrive.
        """
        watched.goto("about:blank")
        post(heap, "events", event("needle"))
        for batch in range(100):
            if batch == 90:
                watched.goto(heap.url)
                expect(tab(watched, "Events", "90,001")).to_be_visible()
            post(heap, "events", *(event(f"user {batch} {position}") for position in range(1000)))
        expect(tab(watched, "Events", "100,001")).to_be_visible()
        expect(names(watched).first).to_have_text("user 99 999")
        assert rows(watched).count() == 100
        assert watched.locator("*").count() < 1500
        watched.get_by_role("link", name="Older").click()
        expect(names(watched).first).to_have_text("user 99 899")
        watched.get_by_role("link", name="Newest").click()
        expect(names(watched).first).to_have_text("user 99 999")
        watched.get_by_label("Search").fill("needle")
        expect(names(watched)).to_have_text(["needle"])


class TestConnection:
    def test_a_reload_or_restart_neither_loses_nor_duplicates_rows(self, page: Page, tmp_path: Path) -> None:
        """The page reconnects by itself."""
        everyone = [f"u{number}" for number in range(9, -1, -1)]
        database = tmp_path / "heap.db"
        with process("--port", "0", "--database", str(database)) as heap:
            page.goto(heap.url)
            post(heap, "events", *map(event, reversed(everyone[6:])))
            expect(names(page)).to_have_text(everyone[6:])
            page.reload()
            post(heap, "events", *map(event, reversed(everyone[3:6])))
            expect(names(page)).to_have_text(everyone[3:])
        expect(page.get_by_text("Reconnecting")).to_be_visible()
        port = heap.url.rpartition(":")[2]
        with process("--port", port, "--database", str(database)) as heap:
            post(heap, "events", *map(event, reversed(everyone[:3])))
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            expect(names(page)).to_have_text(everyone)

    def test_a_restarted_sandbox_is_shown_in_its_new_state(self, watched: Page, heap: Sandbox) -> None:
        """Even if it has as many rows as before."""
        post(heap, "events", event("before"))
        expect(names(watched)).to_have_text(["before"])
        heap.reset()
        post(heap, "events", event("after"))
        expect(names(watched)).to_have_text(["after"])

    def test_an_open_row_closes_when_the_data_is_cleared(self, watched: Page, heap: Sandbox) -> None:
        """Its id may belong to another row now, and so may the page of older rows."""
        post(heap, "events", *(event(f"u{number}") for number in range(101)))
        expect(names(watched).first).to_have_text("u100")
        watched.get_by_role("link", name="Older").click()
        expect(names(watched)).to_have_text(["u0"])
        rows(watched).first.click()
        expect(watched.get_by_role("dialog")).to_be_visible()
        heap.reset()
        expect(watched.get_by_role("dialog")).to_be_hidden()
        post(heap, "events", event("after"))
        expect(names(watched)).to_have_text(["after"])

    def test_a_refused_request_is_not_repeated(self, page: Page, heap: Sandbox) -> None:
        """It would be refused again; the reason is shown instead."""
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.install()
        page.goto(f"{heap.url}/#events?before={'9' * 30}")
        expect(page.get_by_text("before must be an integer from 0 to")).to_be_visible()
        page.clock.run_for(10_000)
        page.goto(f"{heap.url}/#users")
        expect(page.get_by_text("No users yet")).to_be_visible()
        assert len([url for url in asked if "newest/events" in url]) == 1

    def test_a_hidden_page_uses_no_connection(self, watched: Page, heap: Sandbox) -> None:
        """A browser has six per host, so a seventh page would wait. Once visible, it is live again."""
        hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        hide += " document.dispatchEvent(new Event('visibilitychange')); }"
        watched.evaluate(hide, arg=True)
        expect(watched.get_by_text("Paused")).to_be_attached()
        post(heap, "events", event("a"))
        assert tab(watched, "Events", "0").count() == 1
        watched.evaluate(hide, arg=False)
        expect(watched.get_by_text("Live", exact=True)).to_be_visible()
        expect(names(watched)).to_have_text(["a"])

    def test_it_contacts_no_other_host(self, watched: Page, heap: Sandbox) -> None:
        """Its policy forbids it."""
        asked: list[str] = []
        watched.on("request", lambda request: asked.append(request.url))
        watched.reload()
        expect(watched.get_by_text("Live", exact=True)).to_be_visible()
        assert len(asked) > 5
        assert [url for url in asked if not url.startswith(heap.url)] == []


class TestFaults:
    def test_a_fault_is_switched_on_and_off(self, watched: Page, heap: Sandbox) -> None:
        """The page shows the requests that it affects, with their status."""
        busy = watched.get_by_role("switch", name="Unavailable")
        busy.check()
        expect(busy).to_be_checked()
        wait(watched, lambda: [fault["status"] for fault in heap.faults()] == [503])
        assert post(heap, "events", event("a")) == 503
        expect(watched.locator("#failures li")).to_contain_text(["503 /api/track"])
        expect(watched.get_by_text("applied to 1 of 1 requests")).to_be_visible()
        busy.uncheck()
        wait(watched, lambda: heap.faults() == [])
        assert post(heap, "events", event("a")) == 200

    def test_a_switch_keeps_its_position_until_the_response(self, watched: Page, heap: Sandbox) -> None:
        """An update that arrives meanwhile does not reset it."""
        held: list[Route] = []
        watched.route("**/sandbox/faults", lambda route: held.append(route))  # noqa: PLW0108  (it is marked by Playwright)
        busy = watched.get_by_role("switch", name="Unavailable")
        busy.check()
        wait(watched, lambda: held)
        post(heap, "events", event("a"))
        expect(tab(watched, "Events", "1")).to_be_visible()
        assert busy.is_checked()
        held[0].continue_()
        wait(watched, heap.faults)
        expect(busy).to_be_checked()

    def test_a_fault_applies_as_often_as_selected(self, watched: Page, heap: Sandbox) -> None:
        """Here once; then its switch turns off."""
        watched.get_by_label("Apply to").select_option("the next request only")
        refused = watched.get_by_role("switch", name="Bad request")
        with watched.expect_response("**/sandbox/faults"):
            refused.check()
        assert [post(heap, "events", event("a")) for _ in range(2)] == [400, 200]
        expect(refused).not_to_be_checked()

    def test_how_often_it_applied_is_shown_after_a_reload(self, watched: Page, heap: Sandbox) -> None:
        """For the active fault, regardless of the selection for the next one."""
        heap.fault(kind="status", status=503, every=3)
        heap.fault(kind="status", status=400, probability=0.1)
        heap.fault(kind="reset_before", times=2, skip=5)
        watched.reload()
        for told in ("every 3: applied to 0", "probability 0.1: applied to 0", "skip 5, times 2: applied to 0"):
            expect(watched.get_by_text(f"{told} of 0 requests")).to_be_visible()

    def test_faults_added_by_other_clients_are_shown(self, watched: Page, heap: Sandbox) -> None:
        """With their definition, and one can be removed without the other."""
        heap.fault(kind="status", status=418, match="tea")
        heap.fault(kind="hang", path="/api/track", skip=2)
        expect(watched.get_by_role("switch", name="hang, path /api/track, skip 2")).to_be_checked()
        watched.get_by_role("switch", name="status, match tea, status 418").click()  # and is gone, maybe at once
        wait(watched, lambda: [fault["kind"] for fault in heap.faults()] == ["hang"])
        expect(watched.get_by_role("switch", name="status")).to_have_count(0)

    def test_the_documented_rates_can_be_enforced(self, watched: Page, heap: Sandbox) -> None:
        """As with --rate-limits."""
        watched.get_by_role("switch", name="rate limits").check()
        wait(watched, lambda: heap.limits()["enabled"])

    def test_a_refusal_gives_its_reason(self, watched: Page, heap: Sandbox) -> None:
        """Which Heap does not tell."""
        assert post(heap, "events", event("a", plan=None)) == 400
        expect(watched.locator("#failures")).to_contain_text("events[0].properties.plan: must not be null")
        watched.locator("#failures a").click()
        expect(watched.locator("#json")).to_contain_text('"status": 400')

    def test_everything_can_be_cleared(self, watched: Page, heap: Sandbox) -> None:
        """After a confirmation."""
        post(heap, "events", event("a"))
        expect(rows(watched)).to_have_count(1)
        watched.once("dialog", lambda dialog: dialog.accept())
        watched.get_by_role("button", name="Clear data").click()
        expect(watched.get_by_text("No events yet")).to_be_visible()
        assert heap.events() == []

    def test_a_failed_clearing_is_reported(self, page: Page, heap: Sandbox) -> None:
        """With the reason."""
        page.route("**/sandbox/reset", lambda route: route.fulfill(status=500, json={"error": "The disk is full."}))
        page.goto(heap.url)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Clear data").click()
        expect(page.get_by_role("alert")).to_have_text("The disk is full.")


class TestReaders:
    def test_the_keyboard_suffices(self, watched: Page, heap: Sandbox) -> None:
        """Arrows move between tabs and rows, Enter opens, Escape closes, a slash searches; the focus is never lost."""
        post(heap, "users", {"identity": "a"}, {"identity": "b"})
        press = watched.keyboard.press
        tab(watched, "Events").focus()
        press("ArrowRight")
        expect(tab(watched, "Users")).to_be_focused()
        expect(tab(watched, "Users")).to_have_attribute("aria-selected", "true")
        press("End")
        expect(tab(watched, "Deletions")).to_be_focused()
        press("ArrowRight")
        expect(tab(watched, "Events")).to_be_focused()
        press("ArrowRight")
        expect(names(watched)).to_have_text(["b", "a"])
        press("/")
        expect(watched.get_by_label("Search")).to_be_focused()
        press("Tab")
        expect(watched.get_by_role("link", name="b", exact=True)).to_be_focused()
        press("Enter")
        detail = watched.get_by_role("dialog")
        expect(detail).to_contain_text('"identity": "b"')
        press("ArrowDown")
        expect(detail).to_contain_text('"identity": "a"')
        press("Escape")
        expect(detail).to_be_hidden()
        expect(watched.get_by_role("link", name="a", exact=True)).to_be_focused()
        press("ArrowUp")
        expect(watched.get_by_role("link", name="b", exact=True)).to_be_focused()
        press("Enter")
        press("ArrowDown")
        watched.get_by_role("button", name="Close").click()
        expect(watched.get_by_role("link", name="a", exact=True)).to_be_focused()

    def test_the_address_reflects_what_is_shown(self, watched: Page, heap: Sandbox) -> None:
        """Tab, search and row; and Back works."""
        post(heap, "users", {"identity": "ada"}, {"identity": "bob"})
        watched.goto("about:blank")
        watched.goto(f"{heap.url}/#users?q=ad&show=users/2")
        expect(names(watched)).to_have_text(["ada"])
        expect(watched.get_by_label("Search")).to_have_value("ad")
        expect(watched.get_by_role("dialog")).to_contain_text('"identity": "bob"')
        tab(watched, "Accounts").click()
        expect(watched.get_by_role("dialog")).to_be_hidden()
        watched.go_back()
        expect(tab(watched, "Users")).to_have_attribute("aria-selected", "true")

    def test_it_fits_a_phone(self, watched: Page, heap: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing overflows, even with large counts; a row covers the screen and can be closed."""
        watched.set_viewport_size({"width": 375, "height": 700})
        counts = Store.counts
        monkeypatch.setattr(Store, "counts", lambda store: {name: 888_000 + n for name, n in counts(store).items()})
        post(heap, "events", event("a" * 200, **{"k" * 200: "v" * 500}))
        post(heap, "events", event("a", **{"k" * 200: None}))
        expect(watched.locator("#failures a")).to_be_visible()
        expect(rows(watched)).to_have_count(1)
        expect(tab(watched, "Accounts", "888,000")).to_be_visible()
        assert width(watched) <= 375
        rows(watched).first.click()
        expect(watched.get_by_role("dialog")).to_be_visible()
        assert width(watched) <= 375
        watched.keyboard.press("Escape")
        expect(watched.get_by_role("dialog")).to_be_hidden()
        assert all(box["height"] >= 24 for box in map(Locator.bounding_box, watched.get_by_role("tab").all()) if box)

    def test_a_screen_reader_announces_only_the_status(self, watched: Page) -> None:
        """Not the parts that change with every row."""
        expect(watched.get_by_role("status")).to_have_text(["Live"])

    def test_a_switch_that_is_off_is_visible(self, watched: Page) -> None:
        """Its border has the contrast that WCAG requires (3:1), in light and dark mode."""
        for scheme in ("light", "dark"):
            watched.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            card = luminance(watched, ".side .card:last-child", "backgroundColor")
            border = luminance(watched, "[role=switch]", "borderTopColor")
            assert (max(card, border) + 0.05) / (min(card, border) + 0.05) >= 3

    def test_it_is_dark_if_the_reader_prefers_dark(self, watched: Page) -> None:
        """As set in the browser."""
        colours = []
        for scheme in ("light", "dark"):
            watched.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            colours.append(watched.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
        light, dark = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
        assert dark < 150
        assert light > 600


@contextmanager
def process(*options: str) -> Iterator[Sandbox]:
    """The command heap-sandbox."""
    command = [sys.executable, "-m", "heap_sandbox.cli", *options]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ)
    try:
        assert running.stdout is not None
        yield Sandbox(running.stdout.readline().split()[-1])
    finally:
        running.terminate()
        running.communicate(timeout=60)


def wait(page: Page, condition: Any) -> None:
    """Wait until a condition is true, while the page runs."""
    for _ in range(600):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError


def luminance(page: Page, selector: str, kind: str) -> float:
    """The relative luminance of a colour (WCAG 2)."""
    colour = page.locator(selector).first.evaluate(f"(found) => getComputedStyle(found).{kind}")
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def width(page: Page) -> int:
    wide: int = page.evaluate("document.documentElement.scrollWidth")
    return wide
