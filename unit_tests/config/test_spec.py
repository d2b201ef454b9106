"""The specification is generated from the settings, with only the keywords that the form supports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.config.spec import specification
from destination_heap_analytics.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
USERS = {"api_type": "add_user_properties", "identity_column": "i"}
CONFIGS = sorted((ROOT / "sample_files").glob("config_*.json"))


def form() -> dict[str, Any]:
    schema: dict[str, Any] = specification()["connectionSpecification"]
    return schema


def settings(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, setting in schema.get("properties", {}).items():
        yield path + name, setting
        for branch in setting.get("oneOf", ()):
            yield from settings(branch, f"{path}{name}.{branch['title']}.")


def test_the_committed_file_is_fresh() -> None:
    """Otherwise: python -m destination_heap_analytics.config.spec > destination_heap_analytics/spec.json."""
    command = [sys.executable, "-m", "destination_heap_analytics.config.spec"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120).stdout
    assert printed == (ROOT / "destination_heap_analytics" / "spec.json").read_bytes()


def test_it_has_exactly_the_supported_keys() -> None:
    """Saved connections depend on them."""
    assert list(form()["properties"]) == [
        "app_id",
        "base_url",
        "api",
        "delivery",
        "rejected_records",
        "deleted_records",
        "object_storage_config",
    ]
    assert form()["required"] == ["app_id", "api"]


def test_a_choice_is_a_one_of_with_a_const() -> None:
    """Each branch is an object, identified by the same key."""
    api = form()["properties"]["api"]
    assert api["type"] == "object"
    assert [branch["properties"]["api_type"]["const"] for branch in api["oneOf"]] == [
        "track",
        "add_user_properties",
        "add_account_properties",
        "identify",
        "delete_users",
    ]


def test_commonly_needed_optional_settings_are_always_shown() -> None:
    """The EU's address, whose event it is, the time that keeps events single, and what buckets elsewhere need."""
    assert [path for path, setting in settings(form()) if setting.get("always_show")] == [
        "base_url",
        "api.Track Events.identity_column",
        "api.Track Events.timestamp_column",
        "api.Identify Users.timestamp_column",
        "api.Delete Users.identity_column",
        "api.Delete Users.user_id_column",
        "object_storage_config.S3 Bucket.access_key_id",
        "object_storage_config.S3 Bucket.secret_access_key",
        "object_storage_config.S3 Bucket.s3_bucket_region",
    ]


@pytest.mark.parametrize(
    ("path", "setting"), list(settings(form())), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_setting_has_what_the_form_shows(path: str, setting: dict[str, Any]) -> None:
    """A title and an order; for text input, also a description and examples."""
    assert setting["title"]
    assert isinstance(setting["order"], int)
    if "const" not in setting:
        assert setting["description"].endswith(".")
    if setting["type"] == "string" and not {"const", "enum"} & setting.keys():
        assert setting["examples"], path
    assert ("pattern" in setting) == ("pattern_descriptor" in setting)


def test_the_texts_explain_what_a_user_of_heap_must_know() -> None:
    """Where to find the ID, which environment properties require, and that accounts must be set up in Heap first."""
    text = json.dumps(form())
    for fact in ("Account > Manage > Projects", "Main Production", "Set up accounts in Heap first"):
        assert fact in text


def test_all_sync_modes_of_the_users_document_are_there() -> None:
    """Full refresh and incremental, append and deduplicated."""
    spec = specification()
    assert spec["supported_destination_sync_modes"] == ["overwrite", "append", "append_dedup"]
    assert spec["supportsIncremental"] is True


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_sample_configurations_satisfy_it(config: Path) -> None:
    """As the platform validates them when they are saved."""
    assert len(CONFIGS) == 6
    jsonschema.validate(json.loads(config.read_text(encoding="utf-8")), form())


@pytest.mark.parametrize(
    ("columns", "valid"),
    [
        ("a", True),
        ("*", True),
        ("a.b, c", True),
        ('plan,"Revenue, USD"', True),
        ("a,,b", True),
        ("a,", True),
        (" ", False),
        (",", False),
        (" , ,", False),
    ],
)
def test_the_pattern_of_the_property_columns_fails_early(columns: str, valid: bool) -> None:
    """The form marks while typing what `check` would refuse."""
    config = {"app_id": "1", "api": {**USERS, "property_columns": columns}}
    assert jsonschema.Draft7Validator(form()).is_valid(config) is valid


@pytest.mark.parametrize(
    ("url", "valid"),
    [
        ("https://heapanalytics.com", True),
        ("https://c.eu.heap-api.com/", True),
        ("http://127.0.0.1:8470", True),
        ("https://example.com/apis/heap", True),
        ("heapanalytics.com", False),
        ("https://heapanalytics.com/api", False),
        ("https://heapanalytics.com/api/track", False),
        ("https://heapanalytics.com?a=b", False),
        ("https://user@heapanalytics.com", False),
    ],
)
def test_the_pattern_of_the_base_url_agrees_with_check(url: str, valid: bool) -> None:
    """What people copy from Heap's documents ends in /api/track."""
    config = {"app_id": "1", "base_url": url, "api": {**USERS, "property_columns": "*"}}
    assert jsonschema.Draft7Validator(form()).is_valid(config) is valid
    try:
        parse_config(config)
    except ConfigError:
        assert not valid
    else:
        assert valid


def test_the_form_preselects_bulk_requests_and_no_storage_of_rejected_rows() -> None:
    """The first branch of a choice is the default for new connections."""
    delivery, storage = (form()["properties"][name] for name in ("delivery", "object_storage_config"))
    assert [branch["properties"]["mode"]["const"] for branch in delivery["oneOf"]] == ["bulk", "row"]
    assert [branch["properties"]["storage_type"]["const"] for branch in storage["oneOf"]] == ["None", "Local", "S3"]
    assert "default" not in delivery
    assert "default" not in storage


def test_secrets_are_marked() -> None:
    """So that the platform stores them as secrets, and masks them in logs."""
    marked = [path for path, setting in settings(form()) if setting.get("airbyte_secret")]
    assert marked == [
        "api.Delete Users.api_key",
        "object_storage_config.S3 Bucket.access_key_id",
        "object_storage_config.S3 Bucket.secret_access_key",
    ]


def test_json_lines_is_the_only_format_of_rejected_rows() -> None:
    """With the same keys as in Airbyte's own destinations."""
    bucket = form()["properties"]["object_storage_config"]["oneOf"][2]["properties"]
    assert [branch["properties"]["format_type"]["const"] for branch in bucket["format"]["oneOf"]] == ["JSONL"]
