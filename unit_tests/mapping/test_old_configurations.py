"""A configuration of an earlier version still sends the same payloads, byte for byte.

Each file in `old_configurations` has a configuration, a catalog's schema, rows, and the payloads that version 0.2.0
made of them. 0.1.0 knew the same settings without `delivery`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.mapping.mapper import Mapper
from destination_heap_analytics.protocol.catalog import parse_catalog
from destination_heap_analytics.protocol.checkpoints import Checkpoint, PendingRecord
from destination_heap_analytics.protocol.messages import Record, parse_line

FILES = sorted((Path(__file__).parent / "old_configurations").glob("*.json"))


def payloads(case: dict[str, Any]) -> list[str]:
    """The body of each row, or why it is rejected."""
    parsed = parse_config(case["config"])
    stream = {"name": "users", "namespace": "shop", "json_schema": case["schema"]}
    catalog = {"streams": [{"stream": stream, "primary_key": case["primary_key"]}]}
    mapper = Mapper(parsed.settings, parse_catalog(catalog), "0" * 32, keeps_source=False, on_mapped=lambda _: None)
    bodies = []
    for number, row in enumerate(case["rows"], start=1):
        record = parse_line(b'{"type":"RECORD","record":{"stream":"users","data":%b}}' % orjson.dumps(row), number)
        assert isinstance(record, Record)
        try:
            bodies.append(mapper.payload(PendingRecord(number, record, Checkpoint())).body.decode())
        except RowRejectedError as rejection:
            bodies.append(f"rejected: {rejection}")
    return bodies


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_old_configuration_sends_what_it_sent(file: Path) -> None:
    """Whatever its column names would mean in today's grammar."""
    case = json.loads(file.read_text())
    assert payloads(case) == case["payloads"]


def test_there_are_old_configurations() -> None:
    """Of all three APIs."""
    apis = {json.loads(file.read_text())["config"]["api"]["api_type"] for file in FILES}
    assert apis == {"track", "add_user_properties", "add_account_properties"}
