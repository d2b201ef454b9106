"""The console in a browser: what a person sees and can do, from an empty folder to a scheduled group.

`CONSOLE_PICTURES=new python -m pytest courier/integration_tests/test_console.py -k mouse` draws the guide's pictures.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from courier.integration_tests import heap_bucket
from courier.integration_tests.command import KEYS
from courier.unit_tests.stitch.project_of_people import People
from heap_courier.console.jobs import Jobs
from heap_courier.console.server import Place, serving
from heap_courier.console.visit import Console
from heap_courier.groups import slots
from heap_courier.groups.presence import daemon_of
from heap_courier.project.reader import read_project
from heap_courier.project.scaffold import make_project
from heap_courier.warehouse.open import open_warehouse

pytestmark = pytest.mark.xdist_group("page")  # one browser shows all
NOW = datetime(2026, 3, 4, 8, 30, tzinfo=timezone.utc)
BUCKET = "heap-rs3-acme"
PATTERN = "'path/to/users'-YYYY-MM-dd'.avro'"
ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "integration_tests" / "form" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = {"sources": 420, "feed-editor": 800, "group": 640, "table": 640, "customer": 640}
"""Screens that the guide shows, and how high their pictures are."""

expect.set_options(timeout=60_000)


@pytest.fixture
def bucket(s3: str) -> str:
    """The address of a bucket with the users of three days."""
    client = boto3.Session("k", "s", region_name="us-east-1").client("s3", endpoint_url=s3)
    client.create_bucket(Bucket=BUCKET)
    users = heap_bucket.story(Random(2026))[1].tables[0]
    for day in (1, 2, 3):
        body = heap_bucket.avro(users.types, users.rows)
        client.put_object(Bucket=BUCKET, Key=f"path/to/users-2026-03-0{day}.avro", Body=body)
    return s3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "heap"


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    ticks = count()  # no two runs begin at the same time
    console = Console(folder, os.environ | KEYS, lambda: NOW + timedelta(milliseconds=next(ticks)), Jobs())
    with serving(console, Place(port=0)) as (address, _thread):
        yield address


def opened(page: Page, address: str) -> list[str]:
    """Opens the console; what its script or the browser complains of."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(address)
    return complaints


@pytest.fixture
def screen(page: Page, address: str) -> Iterator[Page]:
    """The console, open; a fault of its script, or a sign of a policy violation, fails the test."""
    complaints = opened(page, address)
    yield page
    assert complaints == []


class Mouse:
    """Someone who clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, element: Locator) -> None:
        element.click()

    def fill(self, element: Locator, text: str) -> None:
        element.fill(text)

    def choose(self, element: Locator, option: str) -> None:
        element.select_option(option)

    def pick(self, element: Locator, day: str) -> None:
        element.fill(day)


class Keyboard(Mouse):
    """Someone without a mouse: goes to an element with the Tab key, and works it with the others."""

    def press(self, element: Locator) -> None:
        if element.evaluate("each => each.type") == "radio":
            self._reach(self.page.locator(f"[name='{element.get_attribute('name')}']:checked"))
            while not element.is_checked():
                self.page.keyboard.press("ArrowDown")
            return
        self._reach(element)
        self.page.keyboard.press("Space" if element.evaluate("each => each.type") == "checkbox" else "Enter")

    def fill(self, element: Locator, text: str) -> None:
        self._reach(element)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def choose(self, element: Locator, option: str) -> None:
        self._reach(element)
        self.page.keyboard.type(option)

    def pick(self, element: Locator, day: str) -> None:
        self._reach(element)
        year, month, number = day.split("-")
        self.page.keyboard.type(f"{month}{number}{year}")  # the parts in the order of the browser's language

    def _reach(self, element: Locator) -> None:
        """Tab by Tab from where the focus is, forwards, once around the page."""
        element.wait_for()
        for _ in range(200):
            if element.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not reach {element}")


def walk(user: Mouse, bucket: str, look: Callable[[str], None]) -> None:  # noqa: PLR0915  (one walk, step by step)
    """The steps of the guide: courier, sample, feed, load operations, run, group. `look` is called on each screen."""
    page = user.page

    def button(name: str, **how: Any) -> Locator:
        return page.get_by_role("button", name=name, **how)

    def link(name: str) -> Locator:
        return page.get_by_role("link", name=name, exact=True)

    def labelled(name: str) -> Locator:
        return page.get_by_label(name, exact=True)

    look("start")
    user.press(button("Create a project here"))
    user.press(link("Add Courier"))
    user.fill(labelled("Name"), "Heap")
    user.fill(labelled("Bucket"), BUCKET)
    user.press(page.get_by_text("Region and endpoint"))
    user.fill(labelled("Endpoint URL"), bucket)
    user.fill(labelled("File pattern"), PATTERN)
    user.fill(labelled("Tag"), "users")
    expect(page.locator("#live")).to_contain_text("matches 3 files. The newest is path/to/users-2026-03-03.avro")
    look("courier")
    user.press(button("Save"))
    expect(page.get_by_role("status")).to_have_text("The courier Heap was saved.")

    user.press(link("Run Heap"))
    user.pick(labelled("Day"), "2026-03-03")
    look("run-courier")
    user.press(button("Run", exact=True))
    expect(page.get_by_role("status")).to_contain_text("Completed in")
    look("samples")

    user.press(link("Add Feed"))
    user.fill(labelled("Data source"), "Heap")
    user.fill(labelled("Feed name"), "Users")
    look("new-feed")
    user.press(button("Continue"))
    expect(page.get_by_role("heading", name="Feed Editor: Heap:Users")).to_be_visible()
    user.fill(labelled("Semantic tag of handle"), "emial")
    expect(page.locator("#live")).to_contain_text("did you mean email?")
    user.fill(labelled("Semantic tag of handle"), "handle")
    expect(page.locator("#live")).to_contain_text("accepts all of the first 9 rows of the sample")
    look("feed-editor")
    user.press(button("Activate"))
    expect(page.get_by_role("status")).to_contain_text("The feed is active.")
    look("activated")
    user.press(link("Data Explorer").last)
    expect(page.get_by_role("columnheader", name="Distinct values")).to_be_visible()
    look("table")

    user.press(link("Sources"))
    user.press(link("Load operations of Heap"))
    user.press(labelled("Load users into Heap:Users"))
    look("operations")
    user.press(button("Save"))
    expect(page.get_by_role("status")).to_have_text("The load operations of Heap were saved.")
    user.press(link("Run Heap"))
    user.pick(labelled("Day"), "2020-01-01")
    user.press(button("Run", exact=True))
    expect(page.get_by_text("the newest similar file is")).to_be_visible()
    look("failed")
    user.press(link("Sources"))
    user.press(link("Run Heap"))
    user.press(labelled("Everything available"))
    user.press(button("Run", exact=True))
    expect(page.get_by_role("status")).to_contain_text(re.compile("Completed in .* second"))
    look("run")
    user.press(link("Details and rejected rows"))
    look("details")

    user.press(link("Courier Groups"))
    user.press(link("Add Courier Group"))
    user.fill(labelled("Name"), "Heap")
    user.fill(labelled("Schedule"), "30 8 * * 0")
    user.fill(labelled("Time zone"), "America/Los_Angeles")
    user.choose(labelled("Courier"), "Heap")
    user.fill(labelled("Wait time"), "2 hours")
    user.fill(labelled("Offset"), "24 hours")
    user.press(page.get_by_text("More settings"))
    expect(page.locator("#live")).to_contain_text("at 08:30 on Sunday, in the time zone America/Los_Angeles")
    expect(page.locator("#live li")).to_have_count(5)
    look("group")
    user.press(button("Save"))
    expect(page.get_by_role("status")).to_contain_text("The group Heap was saved.")
    look("groups")
    user.press(link("Edit Heap"))
    user.press(link("Remove group"))
    expect(page.get_by_text("Its couriers and their domain tables.")).to_be_visible()
    look("removal")
    user.press(link("Cancel"))
    user.press(link("Sources"))
    expect(page.get_by_role("row", name="Heap heap-rs3-acme")).to_contain_text("2026-03-08 15:30:00 Good")
    look("sources")
    user.press(link("Remove credential heap-bucket"))
    look("removal of a credential")
    user.press(link("Cancel"))
    user.press(link("Notifications"))
    look("notifications")
    user.press(link("Runs"))
    look("runs")
    user.press(link("Data Explorer"))
    look("tables")
    user.press(link("SQL"))
    user.fill(labelled("Query"), 'SELECT count(*) AS users FROM "Heap:Users"')
    user.press(button("Run", exact=True))
    expect(page.get_by_role("region", name="Result").get_by_text("1 row.")).to_be_visible()
    look("sql")


def expect_scheduled(folder: Path) -> None:
    """What the walk leaves on disk is what the commands work with."""
    project = read_project(folder)
    group = project.groups["Heap"]
    assert (group.schedule, group.time_zone.key, group.enabled) == ("30 8 * * 0", "America/Los_Angeles", True)
    assert [courier.courier for courier in group.couriers] == ["Heap"]


def looker(page: Page, found: dict[str, Any]) -> Callable[[str], None]:
    """What looks at a screen with axe-core, dark and narrow, light and wide, and notes in `found` what is wrong."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: bash scripts/packages")
    script = AXE.read_text(encoding="utf-8")

    def look(name: str) -> None:
        for scheme, width in (("light", 1200), ("dark", 390)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            page.evaluate(script)
            result = page.evaluate("axe.run({resultTypes: ['violations']})")
            for each in result["violations"]:
                places = [node["html"][:150] for node in each["nodes"][:3]]
                found[f"{name}, {scheme}: {each['id']}"] = places
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                found[f"{name}, {width} px"] = f"{wide} px too wide"
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1200, "height": 800})
        if os.environ.get("CONSOLE_PICTURES") == "new" and name in PICTURES:
            page.set_viewport_size({"width": 1100, "height": PICTURES[name]})
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=ROOT / "docs" / f"console-{name}.png")
            page.set_viewport_size({"width": 1200, "height": 800})

    return look


class TestWalk:
    def test_by_mouse_and_accessible(self, screen: Page, bucket: str, folder: Path) -> None:
        """From nothing to a scheduled group; axe-core finds nothing on any screen, dark or light, wide or narrow."""
        found: dict[str, Any] = {}
        look = looker(screen, found)
        walk(Mouse(screen), bucket, look)
        expect_scheduled(folder)
        assert found == {}

    def test_by_keyboard(self, screen: Page, bucket: str, folder: Path) -> None:
        walk(Keyboard(screen), bucket, lambda _name: None)
        expect_scheduled(folder)


class TestSources:
    def test_a_pattern_shows_what_it_matches_while_it_is_typed(self, screen: Page, bucket: str) -> None:
        screen.get_by_role("button", name="Create a project here").click()
        screen.get_by_role("link", name="Add Courier").click()
        screen.get_by_label("Name", exact=True).fill("Heap")
        screen.get_by_label("Bucket").fill(BUCKET)
        screen.get_by_text("Region and endpoint").click()
        screen.get_by_label("Endpoint URL").fill(bucket)
        screen.get_by_label("Tag").fill("users")
        screen.get_by_label("File pattern").fill("'path/to/user'-YYYY-MM-dd'.avro'")
        expect(screen.locator("#live")).to_contain_text(
            "matches no file. The bucket contains, for example, path/to/users-2026-03-01.avro"
        )
        screen.get_by_label("File pattern").fill(PATTERN)
        expect(screen.locator("#live")).to_contain_text("matches 3 files.")
        expect(screen.get_by_label("Environment variable with the access key")).to_be_visible()
        screen.get_by_label("Credential type").select_option("profile")
        expect(screen.get_by_label("Environment variable with the access key")).to_be_hidden()
        screen.get_by_label("Credential type").select_option("iam-credential")
        screen.get_by_role("button", name="Save").click()
        screen.get_by_role("button", name="Check Heap").click()
        expect(screen.get_by_role("status")).to_contain_text("are readable: path/to/users-2026-03-03.avro")


class TestCustomers:
    def test_a_customer_is_found_explained_and_taken_apart_by_keyboard(
        self, page: Page, address: str, folder: Path
    ) -> None:
        """And axe-core finds nothing on these screens."""
        found: dict[str, Any] = {}
        look, user = looker(page, found), Keyboard(page)
        make_project(folder, bare=True)
        complaints = opened(page, f"{address}/customers")
        expect(page.get_by_text("Tick Make available to Stitch")).to_be_visible()
        look("customers, none")
        with open_warehouse(read_project(folder).warehouse, {}) as warehouse:
            people = People(warehouse, folder)
            named = {"given-name": "Ann", "surname": "Lee", "city": "Boston", "fk-customer": "1001"}
            people.feed("CRM", [{"pk": "1001", "email": "ann@acme.com", **named}, {"pk": "1002", "surname": "Ray"}])
            people.feed("Shop", [{"pk": f"a{number}", "fk-customer": "1001"} for number in range(5)])

        page.reload()
        user.press(page.get_by_role("button", name="Run Stitch"))
        expect(page.get_by_role("status")).to_contain_text("Completed in")
        look("stitched")
        user.press(page.get_by_role("link", name="Customers").last)
        user.fill(page.get_by_label("Find a customer"), "ANN@")
        page.keyboard.press("Enter")
        user.press(page.get_by_role("link", name="Ann Lee"))
        expect(page.locator("svg circle")).to_have_count(6)
        look("customer")
        user.fill(page.get_by_label("Compare CRM:People/1001 with"), "CRM:People/1002")
        user.press(page.get_by_role("button", name="Explain"))
        expect(page.get_by_role("heading", name="Two customers")).to_be_visible()
        look("explain")
        page.go_back()
        user.press(page.get_by_label("Select Shop:People/a4"))
        user.press(page.get_by_role("button", name="The selected records are another customer"))
        expect(page.get_by_role("status")).to_contain_text("The decision was stored.")
        look("customers")
        user.press(page.get_by_role("button", name="Run Stitch"))
        expect(page.get_by_role("region", name="Customers")).to_contain_text("Split")
        assert (found, complaints) == ({}, [])


TWICE = """() => {
    const prevented = [];
    addEventListener("submit", (event) => prevented.push(event.defaultPrevented));
    const button = [...document.querySelectorAll("button[value=save]")].at(-1);
    button.form.requestSubmit(button);
    button.form.requestSubmit(button);
    return prevented;
}"""
"""Presses the last button that saves twice, before the page can answer; whether each was prevented."""


def test_two_browsers_double_clicks_and_reloads(page: Page, chromium: Browser, address: str, folder: Path) -> None:
    """One feed in two browsers: the second one learns of the change, keeps its entries and overwrites nothing."""
    make_project(folder, bare=True)
    with open_warehouse(read_project(folder).warehouse, {}) as warehouse:
        People(warehouse, folder).feed("CRM", [{"pk": "1", "email": "ann@acme.com"}])
    feed = folder / "feeds" / "CRM.yaml"
    other = chromium.new_context().new_page()
    for each in (page, other):
        each.goto(f"{address}/feeds/df-people01")
    page.get_by_label("Error threshold").fill("7")
    assert page.evaluate(TWICE) == [False, True]  # a click that was prevented sends nothing
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    other.get_by_label("Error threshold").fill("9")
    other.get_by_role("button", name="Save", exact=True).last.click()
    expect(other.get_by_role("alert")).to_contain_text("was changed by someone else")
    expect(other.get_by_label("Error threshold")).to_have_value("9")
    assert "error-threshold: 7" in feed.read_text()
    other.wait_for_load_state()  # only then has its script run
    other.reload()  # asks for the page; the form is not sent again
    expect(other.get_by_label("Error threshold")).to_have_value("7")
    other.context.close()


def test_every_step_works_without_javascript(chromium: Browser, address: str, bucket: str) -> None:
    """What is shown while one types is missing; nothing else is."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name="Create a project here").click()
    page.get_by_role("link", name="Add Courier").click()
    page.get_by_label("Name", exact=True).fill("Heap")
    page.get_by_label("Bucket").fill(BUCKET)
    page.get_by_text("Region and endpoint").click()
    page.get_by_label("Endpoint URL").fill(bucket)
    page.get_by_label("File pattern").fill(PATTERN)
    page.get_by_label("Tag").fill("users")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Run Heap").click()
    page.get_by_label("Day", exact=True).fill("2026-03-03")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Completed in")  # the page reloads itself
    context.close()


class TestDaemon:
    """`heap-courier group serve` as a process beside the console; both read the time from a file."""

    def test_a_schedule_that_is_set_in_the_console_is_kept(self, page: Page, bucket: str, folder: Path) -> None:
        """Runs that it starts are in the history of the group and on Sources."""
        clock = folder / "clock"
        make_project(folder, bare=True)
        clock.write_text("2026-03-03T08:00:00+00:00")
        _with_courier(folder, bucket)
        console = Console(folder, os.environ | KEYS, lambda: datetime.fromisoformat(clock.read_text()), Jobs())
        with serving(console, Place(port=0)) as (address, _thread), _daemon(folder) as daemon:
            complaints = opened(page, f"{address}/groups")
            expect(page.get_by_text("has been running since 2026-03-03 08:00:00 UTC")).to_be_visible()
            page.get_by_role("link", name="Add Courier Group").click()
            page.get_by_label("Name", exact=True).fill("Heap")
            page.get_by_label("Schedule", exact=True).fill("30 8 * * *")
            page.get_by_label("Courier", exact=True).select_option("Heap")
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_role("status")).to_contain_text("picks up the change within a minute")
            expect(page.get_by_role("row", name="Heap")).to_contain_text("never")
            daemon.send_signal(signal.SIGHUP)
            _until(lambda: _keeps(folder, "Heap"))
            clock.write_text("2026-03-03T08:31:00+00:00")
            daemon.send_signal(signal.SIGHUP)

            def has_succeeded() -> bool:
                page.reload()
                return page.get_by_role("row", name="Heap").get_by_text("Succeeded").is_visible()

            _until(has_succeeded)
            page.get_by_role("link", name="Edit Heap").click()
            history = page.get_by_role("region", name="Runs").get_by_role("row").nth(1)
            expect(history).to_contain_text("2026-03-03 08:30")
            expect(history).to_contain_text("schedule")
            page.get_by_role("link", name="Sources").click()
            expect(page.get_by_role("row", name="Heap heap-rs3-acme")).to_contain_text("2026-03-03 08:31:00")
            daemon.terminate()
            daemon.wait()
            page.get_by_role("link", name="Courier Groups").click()
            expect(page.get_by_text("Not running", exact=True)).to_be_visible()
        assert complaints == []


def _with_courier(folder: Path, bucket: str) -> None:
    """Adds a courier whose runs keep files as samples."""
    entity = {"object/type": "file", "object/file-pattern": PATTERN}
    landing = {"file/tag": "users", "file/content-type": "application/avro"}
    (folder / "entities.json").write_text(json.dumps([entity | {"object/land-as": landing}]))
    (folder / "operations.json").write_text("{}")
    with (folder / "heap-courier.yaml").open("a") as project:
        project.write(
            "couriers:\n  Heap:\n"
            f"    bucket: {BUCKET}\n    endpoint-url: {bucket}\n    region: us-east-1\n"
            "    entities: entities.json\n    load-operations: operations.json\n"
        )


@contextmanager
def _daemon(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("served_by_file.py")), str(folder)],
        env=os.environ | KEYS | {"PYTHONPATH": str(ROOT / "courier")},
    ) as process:
        try:
            _until(lambda: daemon_of(folder))
            yield process
        finally:
            process.kill()


def _keeps(folder: Path, group: str) -> bool:
    """Whether the daemon keeps the schedule of a group."""
    with open_warehouse(read_project(folder).warehouse, {}) as warehouse:
        slots.prepare(warehouse)
        return slots.schedule_since(warehouse, group) is not None


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.05)
