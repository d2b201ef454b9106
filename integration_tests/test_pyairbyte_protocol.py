"""PyAirbyte's use of the connector, without PyAirbyte: its commands, its catalog, its states, values from a cache.

The small form of test_pyairbyte.py, which needs an environment of 800 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

from heap_sandbox.server import Sandbox
from integration_tests.conftest import SECONDS, Outcome, outcome, piped
from integration_tests.pyairbyte_rows import APIS, ROWS, STREAM, Json, arrived, config, expected

DESTINATION = Path(sys.executable).with_name("destination-heap-analytics")
SOURCE = Path(__file__).with_name("pyairbyte") / "source.py"

Command = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Command:
    """Run a command of the installed console script or of the source, with its options written to files."""

    def started(program: list[str], command: str, source: bytes = b"", **options: Json | list[Json] | None) -> Outcome:
        words = [*program, command]
        for name, content in options.items():
            if content is not None:
                path = tmp_path / f"{name}.json"
                path.write_text(json.dumps(content), encoding="utf-8")
                words += [f"--{name}", str(path)]
        done = subprocess.run(words, input=source, capture_output=True, timeout=SECONDS, check=False)
        return outcome(done.returncode, done.stdout, done.stderr)

    return started


def destination(run: Command, command: str, source: bytes = b"", **options: Json | None) -> Outcome:
    return run([str(DESTINATION)], command, source, **options)


def catalog(sync_mode: str) -> Json:
    """The catalog as PyAirbyte creates it from the stream that the source discovers."""
    return {
        "streams": [
            {
                "stream": STREAM,
                "sync_mode": sync_mode,
                "destination_sync_mode": "append_dedup",
                "primary_key": STREAM["source_defined_primary_key"],
                "cursor_field": STREAM["default_cursor_field"],
                "generation_id": 1,
                "minimum_generation_id": 0,
                "sync_id": 1,
            }
        ]
    }


def test_the_settings_fit_the_specification_and_the_check_passes(run: Command, heap: Sandbox) -> None:
    """PyAirbyte validates a configuration by the schema that `spec` prints, before it calls `check`."""
    (message,) = destination(run, "spec").of("SPEC")
    for api in APIS:
        jsonschema.validate(config(heap, api), message["spec"]["connectionSpecification"])
    assert destination(run, "check", config=config(heap, "track")).status == ("SUCCEEDED", "")
    assert [event["event"] for event in heap.events()] == ["Airbyte Connection Check"]


@pytest.mark.parametrize("api", APIS)
def test_rows_are_loaded_from_the_last_state_or_all_again(run: Command, heap: Sandbox, api: str) -> None:
    """The returned states are the source's own, and the source resumes from them."""

    def load(count: int, states: list[Json], sync_mode: str = "incremental") -> list[Json]:
        chosen = catalog(sync_mode)
        rows = {"stream": STREAM, "rows": ROWS[:count]}
        read = run([sys.executable, str(SOURCE)], "read", config=rows, catalog=chosen, state=states or None)
        done = destination(run, "write", read.out, config=config(heap, api), catalog=chosen)
        assert (done.code, done.err) == (0, b"")
        assert arrived(heap, api) == [expected(row, api, cached=False) for row in ROWS[:count]]
        sent, returned = (
            [{key: value for key, value in message["state"].items() if key != "destinationStats"} for message in states]
            for states in (read.of("STATE"), done.of("STATE"))
        )
        assert returned == sent
        assert sum(delivered for _, delivered, _ in done.states) == len(read.of("RECORD"))
        return returned

    states = load(5, [])
    assert len(states) == 3
    states = load(7, states)
    assert len(states) == 1
    assert load(7, states) == []
    assert len(load(7, [], "full_refresh")) == 4


@pytest.mark.parametrize("api", APIS)
def test_what_a_cache_does_to_values_loses_no_row(run: Command, heap: Sandbox, api: str) -> None:
    """Its own columns are left out, decimals are text, and a timestamp without its zone is UTC."""
    own = {"_airbyte_raw_id": "01J", "_airbyte_extracted_at": "2022-10-26T09:00:00", "_airbyte_meta": {}}
    records = [
        {"type": "RECORD", "record": {"stream": "users", "data": {**cached(row), **own}, "emitted_at": 1}}
        for row in ROWS
    ]
    done = destination(run, "write", piped(records), config=config(heap, api), catalog=catalog("full_refresh"))
    assert (done.code, done.err) == (0, b"")
    assert arrived(heap, api) == [expected(row, api, cached=True) for row in ROWS]


def cached(row: Json) -> Json:
    """A row as PyAirbyte reads it back from DuckDB: decimals as text, times without a zone."""
    amount = str(Decimal(str(row["amount"])).quantize(Decimal("1e-9")))
    return {**row, "amount": amount, "updated_at": row["updated_at"].removesuffix("Z")}


def test_a_failed_check_and_a_failed_write_say_why(run: Command) -> None:
    """In the messages that PyAirbyte prints."""
    with Sandbox.start(app_ids=["12"]) as heap:
        status, said = destination(run, "check", config=config(heap, "track")).status
        assert status == "FAILED"
        assert said.startswith("`app_id`")
        records = [{"type": "RECORD", "record": {"stream": "users", "data": row, "emitted_at": 1}} for row in ROWS]
        done = destination(run, "write", piped(records), config=config(heap, "track"), catalog=catalog("full_refresh"))
    assert done.code == 1
    kind, why = done.error
    assert kind == "config_error"
    assert "`app_id`" in why
