"""The CDK's standard tests of a destination, with the settings that acceptance-test-config.yml lists."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.test.models.scenario import ConnectorTestScenario, ScenarioCommand
from airbyte_cdk.test.standard_tests import DestinationTestSuiteBase

from destination_heap_analytics.destination import DestinationHeapAnalytics
from heap_sandbox.server import Sandbox
from integration_tests.conftest import ROOT, SANDBOX_URL

REASONS = {
    "track_wrong_app_id": "`app_id` was refused",
    "track_wrong_base_url": "`app_id` or `base_url` is wrong",
    "track_absent_event_column": "`api.event_column` is missing",
    "track_misspelled_api_type": "`api.api_type` is not valid: use one of track",
    "user_properties_wrong_app_id": "`app_id` was refused",
    "user_properties_wrong_base_url": "`base_url` must begin with https://",
    "user_properties_misspelled_identity_column": "`api.identity_column` is missing",
    "account_properties_wrong_app_id": "`app_id` was refused",
    "account_properties_wrong_base_url": "No server is listening at http://127.0.0.1:1",
    "account_properties_absent_account_id_column": "`api.account_id_column` is missing",
}
"""The message for each invalid configuration."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Create a test only for matching entries; the suite's own hook creates one for every entry, and skips the rest."""
    if "scenario" in metafunc.fixturenames:
        command: ScenarioCommand = "spec" if "spec" in metafunc.function.__name__ else "check"
        scenarios = [scenario for scenario in TestAcceptance.get_scenarios() if scenario.runs(command)]
        metafunc.parametrize("scenario", scenarios, ids=[scenario.id for scenario in scenarios])


@pytest.fixture
def heap() -> Iterator[Sandbox]:
    """A Heap that accepts only the app of the sample files."""
    with Sandbox.start(app_ids=["11"]) as sandbox:
        yield sandbox


def at(scenario: ConnectorTestScenario, heap: Sandbox) -> ConnectorTestScenario:
    """The same settings, with the address of this Heap."""
    config = scenario.get_config_dict(connector_root=ROOT, empty_if_missing=False)
    return scenario.model_copy(
        update={"config_dict": {**config, "base_url": config["base_url"].replace(SANDBOX_URL, heap.url)}}
    )


@pytest.mark.xdist_group("image")  # which is built once
class TestAcceptance(DestinationTestSuiteBase):
    """The suite, and what it does not test: whether a check fails for the intended reason."""

    connector = DestinationHeapAnalytics
    connector_name = "destination-heap-analytics"

    # Those of a source; a comparison with what a registry has published, which has nothing yet; and a check in a
    # container that cannot reach this Heap, which test_image.py does with the host's network.
    test_docker_image_build_and_discover = None  # type: ignore[assignment]
    test_docker_image_build_and_read = None  # type: ignore[assignment]
    test_docker_image_spec_backward_compatibility = None  # type: ignore[assignment]
    test_docker_image_build_and_check = None  # type: ignore[assignment]

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        return ROOT

    @pytest.fixture
    def connector_image_override(self, image: str) -> str:
        return image

    @pytest.fixture
    def connector_base_image_override(self) -> None:
        return None

    @pytest.fixture(autouse=True)
    def own_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the suite writes its files there

    def test_check(self, scenario: ConnectorTestScenario, heap: Sandbox) -> None:
        super().test_check(at(scenario, heap))

    def test_a_check_fails_for_the_intended_reason(
        self, scenario: ConnectorTestScenario, heap: Sandbox, connector: Any
    ) -> None:
        """And only then."""
        config = at(scenario, heap).get_config_dict(connector_root=ROOT, empty_if_missing=False)
        status, said = connector.run("check", config).status
        if scenario.status == "failed":
            assert status == "FAILED"
            assert REASONS[scenario.id] in said
        else:
            assert (status, said) == ("SUCCEEDED", "")
            assert len(heap.events()) == 1
