"""The form that users fill in: the specification, rendered in a browser by form/form.jsx."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from playwright.sync_api import Locator, Page

from destination_heap_analytics.config.parse import ParsedConfig, parse_config

pytestmark = pytest.mark.xdist_group("form")  # all tests share one browser
ROOT = Path(__file__).resolve().parents[1]
FORM = Path(__file__).with_name("form")
PICTURE = ROOT / "docs" / "form.png"
SPECIFICATION = (ROOT / "destination_heap_analytics" / "spec.json").read_text(encoding="utf-8")

STAMP = b"Comment\0" + hashlib.sha256(SPECIFICATION.encode()).hexdigest().encode()

TRACK = {"Identity Column": "email", "Event Column": "event_name", "Property Columns": "name,plan.tier"}
USERS = {"Identity Column": "email", "Property Columns": "*"}
ACCOUNTS = {"Account ID Column": "company.id", "Property Columns": "name"}
DELETE = {"User ID Column": "heap_id", "API Key": "0123", "Confirm Deletion": "delete"}
IDENTIFY = {"Identity Column": "email", "User ID Column": "heap_id"}
BULK = {"mode": "bulk", "max_events_per_minute": 15_000}


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the form, and the files it uses."""
    esbuild = FORM / "node_modules" / ".bin" / "esbuild"
    if not (esbuild.exists() and shutil.which("node")):
        pytest.skip("what the form is drawn with is not installed; with npm on this machine: bash scripts/packages")
    folder = tmp_path_factory.mktemp("form")
    options = ["--bundle", "--jsx=automatic", '--define:process.env.NODE_ENV="production"', "--log-level=warning"]
    subprocess.run([esbuild, FORM / "form.jsx", *options, f"--outfile={folder / 'form.js'}"], check=True, timeout=120)
    page = folder / "form.html"
    page.write_text((FORM / "form.html").read_text(encoding="utf-8").replace("SPECIFICATION", SPECIFICATION))
    return page


@pytest.fixture
def form(page: Page, drawing: Path) -> Iterator[Page]:
    """The form as it opens; any error in the page fails the test."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type in {"error", "warning"} else None)
    page.goto(drawing.as_uri())
    yield page
    assert errors == []


def field(form: Page, title: str) -> Locator:
    """The input field with a title."""
    return form.get_by_label(title, exact=True)


def shown(form: Page) -> list[str]:
    """The visible titles, from top to bottom."""
    return [label.inner_text() for label in form.locator("label").all() if label.is_visible()]


def options(form: Page, title: str) -> list[str]:
    return field(form, title).locator("option").all_inner_texts()


def unfold(form: Page) -> None:
    for summary in form.locator("details:not([open]) > summary").all()[::-1]:  # the first ones keep their positions
        summary.click()


def fill(form: Page, fields: dict[str, str]) -> None:
    for title, text in fields.items():
        field(form, title).fill(text)


def save(form: Page) -> Any:
    """The resulting configuration; None if the form reports an error."""
    form.get_by_role("button", name="Save").click()
    saved = form.locator("output").inner_text()
    return json.loads(saved) if saved else None


def stamped(png: bytes) -> bytes:
    """The picture with the digest of the specification as a comment after the header."""
    comment = b"tEXt" + STAMP
    return png[:33] + len(STAMP).to_bytes(4, "big") + comment + zlib.crc32(comment).to_bytes(4, "big") + png[33:]


def accepted(config: Any) -> ParsedConfig:
    """Validate a configuration as the platform does when saving it, then as the connector does."""
    jsonschema.validate(config, json.loads(SPECIFICATION)["connectionSpecification"])
    parsed = parse_config(config)
    assert parsed.warning is None
    return parsed


def test_required_settings_are_visible_and_in_order(form: Page) -> None:
    """The app, its address, the API, its columns, the delivery, and the storage of rejected rows."""
    assert shown(form) == [
        "App ID",
        "Base URL",
        "API Type",
        "Identity Column",
        "Event Column",
        "Timestamp Column",
        "Property Columns",
        "Delivery",
        "Storage of Rejected Records",
    ]


def test_settings_with_good_defaults_are_folded(form: Page) -> None:
    """The rate and the rule for rejected rows are shown on request."""
    unfold(form)
    assert {"Events per Minute", "Rejected Records"} <= set(shown(form))
    assert field(form, "Events per Minute").input_value() == "15000"
    assert options(form, "Rejected Records") == ["continue", "fail"]


@pytest.mark.parametrize(
    ("api", "titles"),
    [
        ("Track Events", ["Identity Column", "Event Column", "Timestamp Column", "Property Columns"]),
        ("Add User Properties", ["Identity Column", "Property Columns"]),
        ("Add Account Properties", ["Account ID Column", "Property Columns"]),
        ("Identify Users", ["Identity Column", "User ID Column", "Timestamp Column"]),
        ("Delete Users", ["Identity Column", "User ID Column", "API Key", "Confirm Deletion"]),
    ],
)
def test_each_api_asks_for_its_own_columns(form: Page, api: str, titles: list[str]) -> None:
    """The fields of the others are hidden."""
    apis = ["Track Events", "Add User Properties", "Add Account Properties", "Identify Users", "Delete Users"]
    assert options(form, "API Type") == apis
    field(form, "API Type").select_option(api)
    assert shown(form)[3:-2] == titles


def test_a_new_connection_loads_events_in_bulk_into_heap_in_the_us(form: Page) -> None:
    """The result if the user changes no choice."""
    fill(form, {"App ID": "11", **TRACK})
    config = save(form)
    assert config == {
        "app_id": "11",
        "base_url": "https://heapanalytics.com",
        "api": {
            "api_type": "track",
            "identity_column": "email",
            "event_column": "event_name",
            "property_columns": "name,plan.tier",
        },
        "delivery": BULK,
        "rejected_records": "continue",
        "deleted_records": "skip",
        "object_storage_config": {"storage_type": "None"},
    }
    accepted(config)


@pytest.mark.parametrize(
    ("title", "fields", "api"),
    [
        (
            "Add User Properties",
            USERS,
            {"api_type": "add_user_properties", "identity_column": "email", "property_columns": "*"},
        ),
        (
            "Add Account Properties",
            ACCOUNTS,
            {"api_type": "add_account_properties", "account_id_column": "company.id", "property_columns": "name"},
        ),
        (
            "Identify Users",
            IDENTIFY,
            {"api_type": "identify", "identity_column": "email", "user_id_column": "heap_id"},
        ),
        (
            "Delete Users",
            {"Identity Column": "", **DELETE},
            {"api_type": "delete_users", "user_id_column": "heap_id", "api_key": "0123", "confirm": "delete"},
        ),
    ],
)
def test_a_change_of_mind_leaves_nothing_behind(
    form: Page, title: str, fields: dict[str, str], api: dict[str, str]
) -> None:
    """Columns typed for events are not saved with another API."""
    fill(form, {"App ID": "11", **TRACK})
    field(form, "API Type").select_option(title)
    fill(form, fields)
    config = save(form)
    assert config["api"] == api
    accepted(config)


def test_the_other_settings_are_saved_as_chosen(form: Page) -> None:
    """The EU, a timestamp, one request per row at a lower rate, and stopping at the first bad row."""
    field(form, "Delivery").select_option("One Request per Row")
    unfold(form)
    eu = "https://c.eu.heap-api.com"
    fill(form, {"App ID": "11", "Base URL": eu, **TRACK, "Timestamp Column": "at", "Events per Minute": "500"})
    field(form, "Rejected Records").select_option("fail")
    config = save(form)
    assert config["base_url"] == eu
    assert config["api"]["timestamp_column"] == "at"
    assert config["delivery"] == {"mode": "row", "max_events_per_minute": 500}
    assert config["rejected_records"] == "fail"
    accepted(config)


def test_a_deletion_is_confirmed_by_typing_a_word(form: Page) -> None:
    """Nothing is prefilled, the key is hidden, and its description is below."""
    field(form, "API Type").select_option("Delete Users")
    assert "permanently deletes a user, in ALL environments" in form.locator("main").inner_text()
    assert field(form, "Confirm Deletion").input_value() == ""
    assert field(form, "API Key").get_attribute("type") == "password"
    fill(form, {"App ID": "11", **DELETE, "Confirm Deletion": "yes"})
    assert save(form) is None
    fill(form, {"Confirm Deletion": "delete"})
    accepted(save(form))


def test_rejected_records_can_go_to_a_directory(form: Page) -> None:
    """Its path is required."""
    fill(form, {"App ID": "11", **TRACK})
    assert options(form, "Storage of Rejected Records") == ["None", "Local Directory", "S3 Bucket"]
    field(form, "Storage of Rejected Records").select_option("Local Directory")
    assert save(form) is None
    fill(form, {"Directory": "/local/rejected"})
    config = save(form)
    assert config["object_storage_config"] == {"storage_type": "Local", "path": "/local/rejected"}
    accepted(config)


def test_rejected_records_can_go_to_a_bucket(form: Page) -> None:
    """Only its name is required; the format, which has one value, is hidden."""
    fill(form, {"App ID": "11", **TRACK})
    field(form, "Storage of Rejected Records").select_option("S3 Bucket")
    assert shown(form)[9:] == [
        "Access Key ID",
        "Secret Access Key",
        "S3 Bucket Name",
        "S3 Bucket Region",
        "S3 Bucket Path",
    ]
    fill(form, {"S3 Bucket Name": "my-rejected-rows"})
    field(form, "S3 Bucket Region").select_option("eu-central-1")
    config = save(form)
    assert config["object_storage_config"] == {
        "storage_type": "S3",
        "s3_bucket_name": "my-rejected-rows",
        "s3_bucket_region": "eu-central-1",
        "bucket_path": "heap/rejected",
        "format": {"format_type": "JSONL"},
    }
    accepted(config)


def test_secrets_are_hidden_while_typing(form: Page) -> None:
    """Both halves of the access key."""
    field(form, "Storage of Rejected Records").select_option("S3 Bucket")
    assert [field(form, key).get_attribute("type") for key in ("Access Key ID", "Secret Access Key")] == [
        "password",
        "password",
    ]
    assert field(form, "App ID").get_attribute("type") == "text"


@pytest.mark.parametrize(
    ("title", "wrong", "hint"),
    [
        ("App ID", "eleven", "digits only"),
        ("Base URL", "heapanalytics.com", "https:// and a host, without /api"),
        ("Base URL", "https://heapanalytics.com/api/track", "https:// and a host, without /api"),
        ("Property Columns", ",", "a,b,c or *"),
        ("Property Columns", " , ,", "a,b,c or *"),
    ],
)
def test_values_that_the_connector_would_refuse_are_marked(form: Page, title: str, wrong: str, hint: str) -> None:
    """Nothing is saved, only that field shows the reason, and a correct value fixes it."""
    right = {"App ID": "11", "Base URL": "https://heapanalytics.com", **TRACK}
    fill(form, {**right, title: wrong})
    assert save(form) is None
    (marked,) = (
        form.locator(".wrong", has=form.get_by_role("alert"))
        .locator("visible=true")
        .filter(has_not=form.locator(".wrong"))
        .all()
    )
    assert marked.locator("label").inner_text() == title
    assert marked.locator(".format").inner_text() == hint
    assert "must match pattern" in marked.get_by_role("alert").inner_text()
    fill(form, {title: right[title]})
    accepted(save(form))


def test_missing_values_are_marked(form: Page) -> None:
    """Each required field, and no optional one; a user ID can replace the identity."""
    assert save(form) is None
    alerts = form.get_by_role("alert").all_inner_texts()
    assert alerts == [
        f"must have required property '{title}'" for title in ("App ID", "Event Column", "Property Columns")
    ]


def test_the_texts_are_decoded_correctly(form: Page) -> None:
    """Where to find the ID; code is shown as code, without any markup."""
    text = form.locator("main").inner_text()
    assert "Account > Manage > Projects" in text
    assert form.locator("code", has_text="heap.identify").is_visible()
    assert "<" not in text
    assert "undefined" not in text


def test_each_choice_says_what_it_does(form: Page) -> None:
    """Below the selected branch."""
    chosen = form.locator(".field", has_text="API Type").locator(".branch")
    field(form, "API Type").select_option("Add Account Properties")
    assert "Set up accounts in Heap first" in chosen.inner_text()


def test_the_page_loads_nothing_from_outside(page: Page, drawing: Path) -> None:
    """Two files, and no network."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(drawing.as_uri(), wait_until="networkidle")
    assert shown(page)
    assert [url for url in asked if not url.startswith("data:")] == [
        drawing.as_uri(),
        drawing.with_name("form.js").as_uri(),
    ]


def test_the_picture_in_the_documents_is_of_this_form(form: Page) -> None:
    """After a change of the settings: FORM_PICTURE=new python -m pytest integration_tests/test_form.py -k picture."""
    if "FORM_PICTURE" in os.environ:
        api = json.loads((ROOT / "sample_files" / "config_orders.json").read_text(encoding="utf-8"))["api"]
        fill(form, {"App ID": "11", "Identity Column": api["identity_column"], "Event Column": api["event_column"]})
        fill(form, {"Timestamp Column": api["timestamp_column"], "Property Columns": api["property_columns"]})
        form.locator(":focus").blur()
        form.set_viewport_size({"width": 600, "height": 400})
        PICTURE.write_bytes(stamped(form.screenshot(full_page=True)))
    assert STAMP in PICTURE.read_bytes()
    assert PICTURE.stat().st_size < 200_000
