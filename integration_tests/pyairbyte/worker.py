"""Does what users of PyAirbyte do, one job after another; runs in PyAirbyte's own environment.

A job is a line of JSON on standard input, and so is its answer on standard output: what PyAirbyte returned (`result`),
or the traceback that it ended in (`error`), and what a person sees of it meanwhile (`said`). One process for all of
them, since PyAirbyte takes seconds to be imported.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import airbyte as ab
from airbyte._util.destination_smoke_tests import run_destination_smoke_test
from airbyte.cli.smoke_test_source._scenarios import PREDEFINED_SCENARIOS, get_scenario_records


def _destination(job: dict[str, Any]) -> ab.Destination:
    return ab.get_destination("destination-heap-analytics", config=job["config"], local_executable=job["destination"])


def check(job: dict[str, Any]) -> None:
    """Validate the configuration against the specification, then check it."""
    destination = _destination(job)
    destination.validate_config()
    destination.check()


def write(job: dict[str, Any]) -> dict[str, Any]:
    """Load a source, directly or through a cache; its states are stored where the job specifies."""
    source = ab.get_source("source-sample", config=job["rows"], streams="*", local_executable=job["source"])
    cache = ab.DuckDBCache(db_path=job["cache"]) if "cache" in job else False
    states = ab.DuckDBCache(db_path=job["states"]) if "states" in job else False
    result = _destination(job).write(
        source.read(cache=cache) if cache else source,
        cache=None if cache else False,
        state_cache=states,
        force_full_refresh=job.get("full_refresh", False),
    )
    (stream,) = source.get_selected_streams()
    state = result.get_state_provider().get_stream_state(stream, None)
    return {"records": result.processed_records, "state": state and json.loads(state.model_dump_json())}


def smoke_test(job: dict[str, Any]) -> dict[str, Any]:
    """PyAirbyte's own test of a destination, as run by `pyab destination-smoke-test`."""
    destination = _destination(job)
    result = run_destination_smoke_test(destination=destination, scenarios=job["scenarios"], skip_preflight=True)
    return result.model_dump(mode="json")


def scenarios(_: dict[str, Any]) -> dict[str, Any]:
    """The rows of the smoke test, by scenario."""
    return {scenario["name"]: get_scenario_records(scenario) for scenario in PREDEFINED_SCENARIOS}


JOBS: dict[str, Callable[[dict[str, Any]], Any]] = {job.__name__: job for job in (check, write, smoke_test, scenarios)}

for line in sys.stdin:
    job = json.loads(line)
    said = io.StringIO()
    answer: dict[str, Any] = {"result": None, "error": None}
    with redirect_stdout(said), redirect_stderr(said):
        try:
            answer["result"] = JOBS[job["do"]](job)
        except Exception:  # noqa: BLE001  # whatever it is, a person would see it like this
            answer["error"] = traceback.format_exc()
    sys.stdout.write(json.dumps({**answer, "said": said.getvalue()}) + "\n")
    sys.stdout.flush()
