"""The console in a browser: what a person sees and can do, from an empty folder on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from random import Random

import boto3
import pytest
from playwright.sync_api import Page, expect

from courier.integration_tests import heap_bucket
from courier.integration_tests.command import KEYS
from heap_courier.console.jobs import Jobs
from heap_courier.console.server import Place, serving
from heap_courier.console.visit import Console

pytestmark = pytest.mark.xdist_group("page")  # one browser shows all
NOW = datetime(2026, 3, 4, 8, 30, tzinfo=timezone.utc)
BUCKET = "heap-rs3-acme"
PATTERN = "'path/to/users'-YYYY-MM-dd'.avro'"

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
    console = Console(folder, os.environ | KEYS, lambda: NOW, Jobs())
    with serving(console, Place(port=0)) as (address, _thread):
        yield address


@pytest.fixture
def screen(page: Page, address: str) -> Iterator[Page]:
    """The console, open; a fault of its script, or a sign that its rules were broken, fails the test."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(address)
    yield page
    assert complaints == []


def add_courier(screen: Page, bucket: str) -> None:
    screen.get_by_role("button", name="Create a project here").click()
    screen.get_by_role("link", name="Add Courier").click()
    screen.get_by_label("Name", exact=True).fill("Heap")
    screen.get_by_label("Bucket").fill(BUCKET)
    screen.get_by_text("Region, and services").click()
    screen.get_by_label("Endpoint URL").fill(bucket)
    screen.get_by_label("File pattern").fill(PATTERN)
    screen.get_by_label("Tag").fill("users")


class TestSources:
    def test_a_courier_is_added_from_nothing(self, screen: Page, bucket: str) -> None:
        """Its patterns show what they match while they are typed, and its check says that all is well."""
        add_courier(screen, bucket)
        expect(screen.locator("#live")).to_contain_text("matches 3 files. The newest is path/to/users-2026-03-03.avro")
        screen.get_by_label("File pattern").fill("'path/to/user'-YYYY-MM-dd'.avro'")
        expect(screen.locator("#live")).to_contain_text("matches no file. There are path/to/users-2026-03-01.avro")
        screen.get_by_label("File pattern").fill(PATTERN)
        screen.get_by_role("button", name="Save").click()
        expect(screen.get_by_role("status")).to_have_text("The courier Heap was saved.")
        screen.get_by_role("button", name="Check Heap").click()
        expect(screen.get_by_role("status")).to_contain_text("are readable: path/to/users-2026-03-03.avro")

    def test_a_credential_shows_the_fields_of_its_type(self, screen: Page, bucket: str) -> None:
        add_courier(screen, bucket)
        expect(screen.get_by_label("Variable with the access key")).to_be_visible()
        screen.get_by_label("Credential type").select_option("profile")
        expect(screen.get_by_label("Variable with the access key")).to_be_hidden()
        expect(screen.get_by_label("Profile", exact=True)).to_be_visible()
        screen.get_by_label("Credential", exact=True).select_option("What AWS finds by itself")
        expect(screen.get_by_label("Profile", exact=True)).to_be_hidden()
