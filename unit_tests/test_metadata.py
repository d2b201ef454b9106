"""metadata.yaml and icon.svg follow the rules for connectors in a registry.

The schema is the published one; what it cannot say are the rules of the registry's validators
(https://github.com/airbytehq/airbyte, airbyte-ci/connectors/metadata_service/lib/metadata_service/validators) and of
https://docs.airbyte.com/platform/contributing-to-airbyte/resources/qa-checks.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

from destination_heap_analytics.heap_api import EU_HOST, US_HOST

ROOT = Path(__file__).resolve().parents[1]
METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
DATA: dict[str, Any] = METADATA["data"]


def test_it_satisfies_the_published_schema() -> None:
    """Including the formats of the UUID, the addresses and the dates; the schema has every key."""
    models = find_spec("airbyte_connector_models")  # located, not imported: it would import the client of Airbyte's API
    if models is None or models.origin is None:
        pytest.skip("airbyte-connector-models, which has the schema of metadata.yaml, does not run on this Python.")
    path = Path(models.origin).parent / "metadata" / "v0" / "ConnectorMetadataDefinitionV0.json"
    # Its references count from the top, which the identifiers of the parts that it was put together from would prevent.
    schema = json.loads(path.read_bytes(), object_hook=lambda part: {k: v for k, v in part.items() if k != "$id"})
    jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker()).validate(METADATA)


def test_it_is_complete() -> None:
    """With what the schema requires, and what listed connectors have in addition."""
    assert METADATA["metadataSpecVersion"] == "1.0"
    required = (
        "name definitionId connectorType connectorSubtype dockerRepository dockerImageTag license documentationUrl "
        "githubIssueLabel releaseStage icon supportLevel tags registryOverrides remoteRegistries allowedHosts "
        "connectorTestSuitesOptions externalDocumentationUrls ab_internal"
    )
    assert [key for key in required.split() if not DATA.get(key)] == []


def test_the_definition_id_never_changes() -> None:
    """It identifies the connector in saved connections."""
    assert DATA["definitionId"] == "a16de522-0e43-4ebf-ac6b-c809a38b6ab8"


def test_one_name_is_used_for_all() -> None:
    """Of the repository, the label and the package."""
    name = "destination-heap-analytics"
    assert DATA["dockerRepository"] == f"airbyte/{name}"
    assert DATA["githubIssueLabel"] == name
    assert DATA["remoteRegistries"]["pypi"]["packageName"] == f"airbyte-{name}"


def test_the_licence_is_the_one_of_the_project() -> None:
    """One of the two that the registry accepts."""
    assert DATA["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_the_tags_are_pairs_and_name_the_language() -> None:
    """Once."""
    assert [tag for tag in DATA["tags"] if not re.fullmatch(r"[a-z]+:[a-z]+", tag)] == []
    assert [tag for tag in DATA["tags"] if tag.startswith("language:")] == ["language:python"]
    assert "cdk:python" in DATA["tags"]


def test_the_version_is_semantic_and_a_major_one_documents_what_breaks() -> None:
    """By an entry of `releases.breakingChanges`."""
    version = DATA["dockerImageTag"]
    major = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    assert major
    if major.groups()[1:] == ("0", "0"):
        assert version in DATA["releases"]["breakingChanges"]


def test_the_hosts_are_those_that_the_connector_talks_to() -> None:
    """Both of Heap's, and Amazon's for rejected rows, including China."""
    hosts = [host.removeprefix("https://") for host in (US_HOST, EU_HOST)]
    assert DATA["allowedHosts"]["hosts"] == [*hosts, "*.amazonaws.com", "*.amazonaws.com.cn"]


def test_all_addresses_are_https() -> None:
    """The documentation is the one that the form links to."""
    urls = [DATA["documentationUrl"], *(page["url"] for page in DATA["externalDocumentationUrls"])]
    assert [url for url in urls if not url.startswith("https://")] == []
    spec = json.loads((ROOT / "destination_heap_analytics" / "spec.json").read_text(encoding="utf-8"))
    assert DATA["documentationUrl"] == spec["documentationUrl"]


def test_no_unused_base_image_is_listed() -> None:
    """The image is built by the Dockerfile."""
    assert "connectorBuildOptions" not in DATA


def test_the_icon_is_a_small_square_drawing_without_text() -> None:
    """It is shown at 24 pixels."""
    path = ROOT / DATA["icon"]
    assert path.name == "icon.svg"
    assert path.stat().st_size < 2000
    icon = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314  # our own file
    assert icon.tag == "{http://www.w3.org/2000/svg}svg"
    assert icon.get("width") == icon.get("height") == "250"
    assert icon.get("viewBox") == "0 0 250 250"
    assert {element.tag.partition("}")[2] for element in icon.iter()} == {"svg", "rect", "path"}
