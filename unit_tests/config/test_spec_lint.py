"""The specification follows the ecosystem's rules, for any settings.

The rules are those of https://docs.airbyte.com/connector-development/connector-specification-reference, of the form's
code, and of the lint in the CDK's standard tests. What this connector's settings are is in test_specification.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airbyte_cdk.models import DestinationSyncMode
from airbyte_cdk.test.standard_tests._spec_lint import find_secret_marking_errors

ROOT = Path(__file__).resolve().parents[2]
SPEC: dict[str, Any] = json.loads((ROOT / "destination_heap_analytics" / "spec.json").read_text(encoding="utf-8"))
FORM: dict[str, Any] = SPEC["connectionSpecification"]

KNOWN = set(
    re.findall(
        r"\S+",
        """type title description examples default const enum required order properties oneOf items additionalProperties
        always_show airbyte_secret airbyte_hidden multiline pattern pattern_descriptor minimum maximum minLength
        maxLength group readOnly format display_type $schema""",
    )
)
"""Keywords that the form renders, or that the validation of saved settings respects."""


def schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all schemas inside it, each with its path."""
    yield path, schema
    for name, setting in schema.get("properties", {}).items():
        yield from schemas(setting, f"{path}.{name}".lstrip("."))
    for branch in schema.get("oneOf", ()):
        yield from schemas(branch, f"{path}[{branch['title']}]")


ALL = dict(schemas(FORM))
SETTINGS = {path: schema for path, schema in ALL.items() if path and not path.endswith("]")}
CHOICES = {path: schema for path, schema in ALL.items() if "oneOf" in schema}
OBJECTS = {path: schema for path, schema in ALL.items() if "properties" in schema}

each_schema = pytest.mark.parametrize("schema", ALL.values(), ids=ALL)
each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
each_choice = pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
each_object = pytest.mark.parametrize("schema", OBJECTS.values(), ids=OBJECTS)


def test_the_message_has_what_the_platform_requires() -> None:
    """The address of the documentation, and sync modes of the protocol."""
    assert SPEC["documentationUrl"].startswith("https://docs.airbyte.com/integrations/destinations/")
    assert SPEC["supportsIncremental"] is True
    known = [mode.value for mode in DestinationSyncMode]
    assert [mode for mode in SPEC["supported_destination_sync_modes"] if mode not in known] == []
    assert len(set(SPEC["supported_destination_sync_modes"])) == 3


def test_the_form_is_a_draft_7_object_that_allows_unknown_keys() -> None:
    """Because connections saved with older settings must stay valid."""
    jsonschema.Draft7Validator.check_schema(FORM)
    assert (FORM["$schema"], FORM["type"]) == ("http://json-schema.org/draft-07/schema#", "object")
    assert all(schema.get("additionalProperties", True) is True for schema in ALL.values())


@each_schema
def test_only_keywords_that_the_form_supports_are_used(schema: dict[str, Any]) -> None:
    """No $ref, which it does not resolve; no allOf, anyOf, not, if, patternProperties or dependent ones."""
    assert schema.keys() - KNOWN == set()


@each_schema
def test_each_has_one_type(schema: dict[str, Any]) -> None:
    """A list of types, or null among them, is not a field."""
    assert schema["type"] in {"object", "string", "integer", "number", "boolean", "array"}


@each_setting
def test_each_setting_has_a_title_a_description_and_a_position(setting: dict[str, Any]) -> None:
    """Except that a constant, which is hidden, needs no description."""
    assert setting["title"].strip()
    assert setting["title"][0].isupper()
    assert "const" in setting or setting["description"].strip().endswith(".")
    assert setting["order"] >= 0


@each_object
def test_positions_within_an_object_are_unique(schema: dict[str, Any]) -> None:
    """And the required settings exist."""
    orders = [setting["order"] for setting in schema["properties"].values()]
    assert len(set(orders)) == len(orders)
    assert set(schema.get("required", ())) <= schema["properties"].keys()


@each_choice
def test_a_choice_identifies_its_branches(choice: dict[str, Any]) -> None:
    """Objects with a title and a description each, which share one required text, with a different constant in each."""
    assert choice["type"] == "object"
    branches = choice["oneOf"]
    assert all(branch["type"] == "object" and branch["title"] and branch["description"] for branch in branches)
    (shared,) = set.intersection(
        *({name for name, setting in branch["properties"].items() if "const" in setting} for branch in branches)
    )
    constants = [branch["properties"][shared] for branch in branches]
    assert len({constant["const"] for constant in constants}) == len(branches)
    assert all(constant["type"] == "string" for constant in constants)
    assert all(constant.get("default", constant["const"]) == constant["const"] for constant in constants)
    assert all(shared in branch["required"] for branch in branches)
    assert "default" not in choice or choice["default"] in {constant["const"] for constant in constants}


@each_setting
def test_defaults_and_examples_are_valid_themselves(setting: dict[str, Any]) -> None:
    """A user may copy them."""
    schema = {"$schema": FORM["$schema"], **setting}
    for value in [*setting.get("examples", ()), *([setting["default"]] if "default" in setting else [])]:
        jsonschema.validate(value, schema)


@each_setting
def test_a_pattern_is_explained_and_one_that_browsers_know(setting: dict[str, Any]) -> None:
    """Python and JavaScript read it alike: nothing inline, possessive or anchored that only one of them has."""
    pattern = setting.get("pattern", "")
    assert bool(pattern) == bool(setting.get("pattern_descriptor"))
    re.compile(pattern)
    assert not re.search(r"\(\?[^:=!]|\\[AZz]|[*+?}]\+", pattern)


@each_setting
def test_the_values_of_an_enum_are_unique(setting: dict[str, Any]) -> None:
    """And the default is one of them."""
    values = setting.get("enum", [])
    assert len(set(values)) == len(values)


def test_secrets_are_marked_as_secret() -> None:
    """By the lint of the CDK: names that sound like secrets, and marks in places where they have an effect."""
    assert find_secret_marking_errors(FORM) == []


SAVED = [
    {"api_type": "track", "property_columns": "*", "event_column": "identities.connection", "identity_column": "email"},
    {"api_type": "add_user_properties", "property_columns": "identities_provider,name", "identity_column": "user_id"},
    {"api_type": "add_account_properties", "property_columns": "blocked", "account_id_column": "identities.user_id"},
]


@pytest.mark.parametrize("api", SAVED, ids=lambda api: api["api_type"])
def test_connections_saved_with_the_first_version_stay_valid(api: dict[str, str]) -> None:
    """They have an app, an address and an API; every setting since then is optional."""
    jsonschema.validate({"app_id": "11", "base_url": "https://heapanalytics.com", "api": api}, FORM)
    assert set(FORM["required"]) <= {"app_id", "base_url", "api"}
