"""Random configurations, catalogs and messages: every command ends as its caller expects, never with a bug."""

from __future__ import annotations

import gc
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests_mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_heap_analytics.cli import run
from destination_heap_analytics.config.spec import specification

TEXTS = [
    "",
    " ",
    "*",
    "a,b",
    '"',
    'a"',
    "'x'",
    "a.0.b",
    "items[].sku",
    "a::number",
    "a as b",
    "* except (a)",
    "a::",
    " as ",
]
PLACES = ["http://[", "https://a@b", "https://a b", "http://127.0.0.1:x", "/dev/null/x", "arn:aws:iam::1:role/x"]
HOSTILE = ["\x00", "\ud800", "\x1b[2J\n", "\u202e", "x" * 3000]
ODD = st.sampled_from([None, True, 0, -1, 1.5, 10**30, [], {}, [1], {"a": 1}, "track", "id", *TEXTS, *PLACES, *HOSTILE])
COLUMNS = ["email", "user_id", "event_name", "account_id", "updated_at", "id", "identities", "items"]
CATALOG = {
    "streams": [
        {
            "stream": {"name": "u", "json_schema": {"properties": {"email": {}}}},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
            "primary_key": [["id"]],
        }
    ]
}


@st.composite
def valid(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """A document that matches a schema of the specification, except that one value in thirty is odd."""
    if draw(st.integers(0, 29)) == 7:
        return draw(ODD)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    if "oneOf" in schema:
        return draw(valid(draw(st.sampled_from(schema["oneOf"]))))
    if schema.get("type") == "object":
        needed = schema.get("required", ())
        names = [name for name in schema["properties"] if name in needed or draw(st.booleans())]
        return {name: draw(valid(schema["properties"][name])) for name in names}
    return draw(st.sampled_from(schema["examples"]) if schema.get("examples") else ODD)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A document with odd values, or without some members."""
    if draw(st.integers(0, 29)) == 7:
        return draw(ODD)
    if isinstance(document, dict):
        return {name: draw(changed(value)) for name, value in document.items() if draw(st.integers(0, 29)) != 7}
    return [draw(changed(value)) for value in document] if isinstance(document, list) else document


VALUES = st.sampled_from(["a", "b", 5, "2026-01-01"]) | ODD
RECORDS = st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, VALUES)).map(
    lambda data: {"type": "RECORD", "record": {"stream": "u", "data": data, "emitted_at": 1}}
)
STATE = {"type": "STATE", "state": {"type": "STREAM", "stream": {"stream_descriptor": {"name": "u"}}}}
LINES = st.lists(RECORDS.flatmap(changed) | st.just(STATE) | st.just({"type": "LOG"}), max_size=8)
FORM = specification()["connectionSpecification"]


class Input(io.BytesIO):
    """Standard input in a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file.open("rb")

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    handlers = logging.getLogger().handlers
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("documents"))
        patch.setattr("destination_heap_analytics.cli.watch_signals", lambda _: None)
        patch.setattr("destination_heap_analytics.delivery.decision.BUDGET_SECONDS", 0.0)
        patch.setattr("destination_heap_analytics.delivery.decision.REFUSED_TRIES", 1)
        yield
    logging.getLogger().handlers = handlers
    logging.captureWarnings(capture=False)
    gc.unfreeze()


def printed(command: str, status: int) -> tuple[int, str]:
    """Exit code and standard output of a command, with a Heap that always returns this status."""
    arguments = [command, "--config", "config"] + (["--catalog", "catalog"] if command != "check" else [])
    out = io.TextIOWrapper(io.BytesIO(), write_through=True)
    code = 0
    with pytest.MonkeyPatch.context() as patch, requests_mock.Mocker() as heap, Input(Path("input")) as source:
        heap.register_uri(requests_mock.ANY, requests_mock.ANY, status_code=status, json={})
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stdin", source)
        try:
            run(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    content = out.buffer.getvalue()  # type: ignore[attr-defined]  # the BytesIO above
    return code, content.decode()


def without_network(config: Any) -> Any:
    """The configuration with a local directory for rejected rows, and without deletions, which need polling."""
    if isinstance(config, dict):
        storage, api = config.get("object_storage_config"), config.get("api")
        if isinstance(storage, dict) and storage.get("storage_type") == "S3":
            config["object_storage_config"] = {"storage_type": "Local", "path": "rejected"}
        if isinstance(api, dict) and api.get("api_type") == "delete_users":
            api["api_type"] = "track"
    return config


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    documents=st.tuples(valid(FORM).map(without_network), st.just(CATALOG) | changed(CATALOG), LINES),
    command=st.sampled_from(["check", "write", "preview"]),
    status=st.sampled_from([200, 200, 400, 404, 503]),
)
@pytest.mark.usefixtures("folder")
def test_every_command_ends_as_its_caller_expects(
    documents: tuple[Any, Any, list[Any]], command: str, status: int
) -> None:
    """One status for `check`, one TRACE for a failed `write`, each with a message, and no control characters."""
    config, catalog, lines = documents
    for name, content in (("config", json.dumps(config)), ("catalog", json.dumps(catalog))):
        Path(name).write_text(content, encoding="utf-8")
    Path("input").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    code, out = printed(command, status)
    assert code in {0, 1}
    assert "report it" not in out
    assert all(line.isprintable() for line in out.splitlines())
    kinds = [json.loads(line)["type"] for line in out.splitlines() if command != "preview"]
    if command == "check":
        assert (code, [kind for kind in kinds if kind != "LOG"]) == (0, ["CONNECTION_STATUS"])
    if command == "write":
        assert kinds.count("TRACE") == code
