"""Rejected rows are stored, and can be loaded once the mapping is fixed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from integration_tests.forked import Forked

ROOT = Path(__file__).resolve().parents[1]
KEYS = {"access_key_id": "AKIDEXAMPLE1", "secret_access_key": "very-secret-key-42"}

CATALOG = {
    "streams": [
        {
            "stream": {"name": "users", "namespace": "public", "json_schema": {}},
            "sync_mode": "incremental",
            "destination_sync_mode": "append",
            "sync_id": 77,
        }
    ]
}


def row(**columns: Any) -> str:
    record = {"stream": "users", "namespace": "public", "data": columns, "emitted_at": 1}
    return json.dumps({"type": "RECORD", "record": record})


def state(number: int) -> str:
    return json.dumps({"type": "STATE", "state": {"data": {}, "id": number}})


LINES = [
    row(mail="a", plan=1),
    '{"type":"RECORD","record":{"stream":"users","namespace":"public","data":{"mail":null,"old":"b","plan":1.50}}}',
    row(mail="c", plan=3),
    row(mail="", old="d", plan=12345678901234567890123),
    state(1),
]


@pytest.fixture
def users(sample: Any) -> dict[str, Any]:
    api = {"api_type": "add_user_properties", "property_columns": "plan", "identity_column": "mail"}
    return {**sample("user_properties"), "api": api}


def local(folder: Path) -> dict[str, Any]:
    return {"object_storage_config": {"storage_type": "Local", "path": str(folder)}}


def bucket(endpoint: str, name: str) -> dict[str, Any]:
    place = {"storage_type": "S3", "s3_bucket_name": name, "bucket_path": "heap", "s3_bucket_region": "us-east-1"}
    return {"object_storage_config": {**place, "s3_endpoint": endpoint, **KEYS}}


def test_rejected_rows_can_be_loaded_once_the_mapping_is_fixed(
    connector: Any, heap: Any, users: dict[str, Any], tmp_path: Path
) -> None:
    """Stored with their reasons, printed again by `resend`, and piped into `write`."""
    run = connector.run("write", {**users, **local(tmp_path / "rejected")}, CATALOG, LINES)
    assert (run.code, run.states) == (0, [(1, 2, 2)])
    (file,) = (tmp_path / "rejected" / "77" / "public" / "users").iterdir()
    stored = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert stored == [
        {
            "mail": None,
            "old": "b",
            "plan": 1.5,
            "rejected_reason": "null",
            "rejected_field": "mail",
            "rejected_message": "column `mail` is null",
        },
        {
            "mail": "",
            "old": "d",
            "plan": 12345678901234567890123,
            "rejected_reason": "empty",
            "rejected_field": "mail",
            "rejected_message": "column `mail` is empty or blank",
        },
    ]
    lines = connector.forked.run(["resend", str(file)]).stdout.splitlines()
    mended = {**users, "api": {**users["api"], "identity_column": "old"}}
    again = connector.run("write", mended, CATALOG, [*lines, state(1)])
    assert (again.code, again.states) == (0, [(1, 2, 0)])
    assert {user["identity"]: user["properties"] for user in heap.users()} == {
        "a": {"plan": 1},
        "c": {"plan": 3},
        "b": {"plan": 1.5},
        "d": {"plan": "12345678901234567890123"},
    }


def test_rows_that_heap_refuses_are_stored_with_its_response(
    connector: Any, heap: Any, users: dict[str, Any], tmp_path: Path
) -> None:
    """The text is stored with the row, and not logged."""
    heap.fault(kind="status", status=400, match='"c"', body="c is not nice")
    run = connector.run("write", {**users, **local(tmp_path)}, CATALOG, [LINES[0], LINES[2], state(1)])
    assert (run.code, run.states) == (0, [(1, 1, 1)])
    (file,) = (path for path in tmp_path.rglob("*.jsonl"))
    stored = json.loads(file.read_bytes())
    assert stored["rejected_message"].endswith("c is not nice")
    assert b"not nice" not in run.out + run.err


def test_each_attempt_of_a_sync_writes_separate_files(connector: Any, users: dict[str, Any], tmp_path: Path) -> None:
    """All attempts of a sync have the same number."""
    for _ in range(2):
        assert connector.run("write", {**users, **local(tmp_path / "rejected")}, CATALOG, LINES).code == 0
    files = list((tmp_path / "rejected").rglob("*.jsonl"))
    assert len(files) == 2
    assert {file.parent for file in files} == {tmp_path / "rejected" / "77" / "public" / "users"}


def test_rejected_rows_are_stored_in_a_bucket(connector: Any, moto_server: str, users: dict[str, Any]) -> None:
    """Before a later state is returned; keys are never printed."""
    client = boto3.client(
        "s3",
        endpoint_url=moto_server,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",  # noqa: S106
    )
    client.create_bucket(Bucket="rejected")
    config = {**users, **bucket(moto_server, "rejected")}
    assert connector.run("check", config).status == ("SUCCEEDED", "")
    run = connector.run("write", config, CATALOG, LINES)
    assert (run.code, run.states) == (0, [(1, 2, 2)])
    names = [item["Key"] for item in client.list_objects_v2(Bucket="rejected")["Contents"]]
    assert {name.rpartition("/")[0] for name in names} == {"heap/77/public/users"}
    stored = b"".join(client.get_object(Bucket="rejected", Key=name)["Body"].read() for name in names)
    assert [json.loads(line)["old"] for line in stored.splitlines()] == ["b", "d"]
    assert KEYS["secret_access_key"].encode() not in run.out + run.err


def test_an_unwritable_location_is_found_by_check_and_stops_a_write(
    connector: Any, heap: Any, moto_server: str, users: dict[str, Any], tmp_path: Path
) -> None:
    """With one message that has the setting; no later state is returned."""
    (tmp_path / "file").touch()
    for place, setting in (
        (local(tmp_path / "file" / "below"), "object_storage_config.path"),
        (bucket(moto_server, "missing"), "object_storage_config.s3_bucket_name"),
    ):
        config = {**users, **place}
        outcome, sentence = connector.run("check", config).status
        assert (outcome, setting in sentence) == ("FAILED", True)
        run = connector.run("write", config, CATALOG, LINES)
        assert (run.code, run.error[0], run.states) == (1, "config_error", [])
        assert setting in run.error[1]
    assert heap.stats()["requests"] <= 4


@pytest.mark.parametrize("name", ["missing.jsonl", "broken.jsonl"])
def test_what_resend_cannot_read_is_reported_on_standard_error(forked: Forked, tmp_path: Path, name: str) -> None:
    """Standard output is the input of the next command."""
    (tmp_path / "broken.jsonl").write_text('{"secret": 1\n')
    run = forked.run(["resend", str(tmp_path / name)])
    assert (run.returncode, run.stdout) == (1, b"")
    assert name.encode() in run.stderr
    assert b"secret" not in run.stderr
    assert run.stderr.count(b"\n") == 1


def test_the_command_in_the_summary_sends_the_rows_again(connector: Any, heap: Any, tmp_path: Path) -> None:
    """Exactly as documented, with the files in place of CONFIG and CATALOG."""
    api = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}
    storage = {"storage_type": "Local", "path": str(tmp_path / "rejected rows")}
    config = {"app_id": "11", "base_url": heap.url, "api": api, "object_storage_config": storage}
    rows = [
        {"type": "RECORD", "record": {"stream": "users", "data": data, "emitted_at": 1}}
        for data in ({"email": None, "login": "b@example.com"}, {"email": "a@example.com"})
    ]
    catalog = connector.file("catalog.json", {"streams": [{"stream": {"name": "users", "json_schema": {}}}]})
    run = connector.run("write", config, catalog, rows)
    assert run.code == 0
    (command,) = re.findall("send them again: (.*)", run.log)
    fixed = connector.file("fixed.json", config | {"api": api | {"identity_column": "login"}})
    command = command.replace("CONFIG", shlex.quote(str(fixed))).replace("CATALOG", shlex.quote(str(catalog)))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["/bin/bash", "-o", "pipefail", "-c", command], env=environment, check=True, timeout=120)
    assert [user["identity"] for user in heap.users()] == ["a@example.com", "b@example.com"]
