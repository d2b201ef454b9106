"""The CDK's class, in process."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import requests_mock
from airbyte_cdk.models import AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer, Status

from destination_heap_analytics import DestinationHeapAnalytics
from destination_heap_analytics.errors import TransientError

CONFIG = {
    "app_id": "11",
    "api": {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"},
}
STREAM = {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
CATALOG = {"streams": [{"stream": STREAM, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}
URL = "https://heapanalytics.com/api/"


def test_check_tests_the_storage_of_rejected_rows(tmp_path: Path) -> None:
    """Before it sends anything to Heap; what it wrote there is removed."""
    config = {**CONFIG, "object_storage_config": {"storage_type": "Local", "path": str(tmp_path / "rejected")}}
    with requests_mock.Mocker() as heap:
        heap.post(URL + "track", json={})
        assert DestinationHeapAnalytics().check(logging.getLogger("test"), config).status is Status.SUCCEEDED
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        (tmp_path / "file").touch()
        config["object_storage_config"]["path"] = str(tmp_path / "file")  # type: ignore[index]
        status = DestinationHeapAnalytics().check(logging.getLogger("test"), config)
    assert (status.status, heap.call_count) == (Status.FAILED, 1)
    assert "`object_storage_config.path`" in str(status.message)


def test_in_process_a_failure_is_raised_as_the_cdks_exception() -> None:
    """With its failure type; the input that was read ahead is discarded."""
    with requests_mock.Mocker() as heap:
        heap.post(URL + "add_user_properties", status_code=503, headers={"Retry-After": "3600"})
        stream = {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
        configured = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
        catalog = ConfiguredAirbyteCatalogSerializer.load({"streams": [configured]})
        record = {"stream": "users", "data": {"email": "a"}, "emitted_at": 1}
        message = AirbyteMessageSerializer.load({"type": "RECORD", "record": record})
        with pytest.raises(TransientError):
            list(DestinationHeapAnalytics().write(CONFIG, catalog, [message]))


def test_a_check_in_process_never_raises() -> None:
    """Whatever the configuration."""
    status = DestinationHeapAnalytics().check(logging.getLogger("test"), {})
    assert status.status is Status.FAILED
    assert "`app_id` is missing" in str(status.message)


@pytest.mark.parametrize(
    ("failure", "kind"), [(RuntimeError("can't start new thread"), TransientError), (KeyError, KeyError)]
)
def test_a_machine_out_of_threads_is_a_transient_error(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[Exception]
) -> None:
    """A bug is raised unchanged."""

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("destination_heap_analytics.connector.sync", fail)
    catalog = ConfiguredAirbyteCatalogSerializer.load(CATALOG)
    with pytest.raises(kind):
        list(DestinationHeapAnalytics().write(CONFIG, catalog, []))
