"""PyAirbyte, in a separate environment, runs the installed command as for its users.

What runs there lies in the folder `pyairbyte`; nothing of this project is importable there, only its console script is
called. PyAirbyte is configured to stay offline, as docs/pyairbyte.md shows; any request to the outside fails the tests.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from heap_sandbox.server import Sandbox
from integration_tests.pyairbyte_rows import APIS, ROWS, STREAM, Json, arrived, config, expected

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "integration_tests" / "pyairbyte"
DESTINATION = Path(sys.executable).with_name("destination-heap-analytics")
pytestmark = pytest.mark.thorough  # its environment takes 800 MB and several minutes
NO_PYTHON = 3
SECONDS = 600
"""A job that takes longer is considered stuck; on an idle machine, jobs take five seconds."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job in PyAirbyte.

    Attributes:
        result: what PyAirbyte returned.
        error: the traceback it ended in, as its user sees it.
        said: what it wrote to the terminal before, its line breaks taken out.
    """

    result: Any
    error: str
    said: str


@dataclass(frozen=True)
class PyAirbyte:
    """PyAirbyte in a separate process."""

    python: str
    folder: Path
    environment: dict[str, str]
    worker: subprocess.Popen[str]

    def do(self, job: str, **given: Any) -> Outcome:
        assert self.worker.stdin
        assert self.worker.stdout
        paths = {"destination": str(DESTINATION), "source": str(self.folder / "bin" / "source-sample")}
        self.worker.stdin.write(json.dumps({"do": job, **paths, **given}) + "\n")
        self.worker.stdin.flush()
        timer = threading.Timer(SECONDS, self.worker.kill)
        timer.start()
        answer = json.loads(self.worker.stdout.readline() or "{}")
        timer.cancel()
        assert answer, "the worker has ended; its standard error tells why"
        return Outcome(answer["result"], answer["error"] or "", one_line(answer["said"]))

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-c", script],
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )


def one_line(text: str) -> str:
    """Text without the line breaks that Rich inserts at the width of a terminal."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def outside() -> Iterator[str]:
    """A proxy that must not be used, because the process should stay offline."""
    asked: list[bytes] = []

    class Refusal(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())

    with socketserver.TCPServer(("127.0.0.1", 0), Refusal) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        proxy.shutdown()
        thread.join()
    assert asked == []


@pytest.fixture(scope="module")
def pyairbyte(outside: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyAirbyte]:
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pyairbyte_env.py")], stdout=subprocess.PIPE, text=True, check=False
    )
    if made.returncode == NO_PYTHON:
        pytest.skip("PyAirbyte runs on Python 3.10 to 3.12, and none of them is on this machine")
    assert made.returncode == 0, "PyAirbyte could not be installed; standard error tells why"
    python = made.stdout.strip()
    folder = tmp_path_factory.mktemp("pyairbyte")
    (folder / "bin").mkdir()
    for name, script in (("source-sample", "source.py"), ("source-smoke-test", "smoke_source.py")):
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "{python}" "{FOLDER / script}" "$@"\n', encoding="utf-8")
        command.chmod(0o755)
    for name in ("logs", "temp"):
        (folder / name).mkdir()
    environment = {
        **{name: os.environ[name] for name in os.environ if name.startswith(("COVERAGE", "LANG", "LC_"))},
        "PATH": os.pathsep.join([str(folder / "bin"), str(Path(python).parent), os.environ["PATH"]]),
        "HOME": str(folder),
        "AIRBYTE_OFFLINE_MODE": "1",
        "DO_NOT_TRACK": "1",
        "AIRBYTE_PROJECT_DIR": str(folder),
        "AIRBYTE_LOGGING_ROOT": str(folder / "logs"),
        "AIRBYTE_TEMP_DIR": str(folder / "temp"),
        "NO_LIVE_PROGRESS": "1",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), outside),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1"),
    }
    worker = subprocess.Popen(
        [python, str(FOLDER / "worker.py")],
        env=environment,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:  # closes its input, which makes it exit
        yield PyAirbyte(python, folder, environment, worker)


def test_check_validates_the_settings_and_succeeds(pyairbyte: PyAirbyte, heap: Sandbox) -> None:
    """And Heap has its event."""
    run = pyairbyte.do("check", config=config(heap, "track"))
    assert run.error == ""
    assert "Connection check succeeded for `destination-heap-analytics`" in run.said
    assert [event["event"] for event in heap.events()] == ["Airbyte Connection Check"]


def test_a_failed_check_shows_the_user_why(pyairbyte: PyAirbyte) -> None:
    """In the traceback."""
    with Sandbox.start(app_ids=["12"]) as heap:
        run = pyairbyte.do("check", config=config(heap, "track"))
    assert "AirbyteConnectorCheckFailedError" in run.error
    assert "Failure Reason: '`app_id` was refused: " in run.error


@pytest.mark.parametrize("api", APIS)
def test_rows_are_loaded_from_the_last_state_or_all_again(
    pyairbyte: PyAirbyte, heap: Sandbox, tmp_path: Path, api: str
) -> None:
    """PyAirbyte keeps the returned states, and the source resumes from them."""

    def load(count: int, **given: Any) -> tuple[int, Any]:
        source = {"stream": STREAM, "rows": ROWS[:count]}
        run = pyairbyte.do(
            "write", config=config(heap, api), rows=source, states=str(tmp_path / "states.duckdb"), **given
        )
        assert run.error == ""
        assert arrived(heap, api) == [expected(row, api, cached=False) for row in ROWS[:count]]
        state = run.result["state"]
        return run.result["records"], state and (
            state["stream"]["stream_state"]["last"],
            state["destinationStats"]["recordCount"],
        )

    assert load(5) == (5, (ROWS[4]["updated_at"], 1))
    assert load(7) == (2, (ROWS[6]["updated_at"], 2))
    assert load(7)[0] == 0
    assert load(7, full_refresh=True) == (7, (7, 1))


@pytest.mark.parametrize("api", APIS)
def test_what_a_cache_does_to_values_loses_no_row(
    pyairbyte: PyAirbyte, heap: Sandbox, tmp_path: Path, api: str
) -> None:
    """Its own columns are left out, and a timestamp without its zone is UTC."""
    source = {"stream": STREAM, "rows": ROWS}
    run = pyairbyte.do("write", config=config(heap, api), rows=source, cache=str(tmp_path / "cache.duckdb"))
    assert (run.error, run.result["records"]) == ("", 7)
    assert run.result["state"]["stream"]["stream_state"] == {"last": ROWS[6]["updated_at"]}
    by_key = {json.dumps(one, sort_keys=True) for one in arrived(heap, api)}
    assert by_key == {json.dumps(expected(row, api, cached=True), sort_keys=True) for row in ROWS}


def test_a_column_that_a_cache_renamed_is_reported_and_can_be_loaded(
    pyairbyte: PyAirbyte, heap: Sandbox, tmp_path: Path
) -> None:
    """The catalog still has the old name, with which nothing is sent; with the new one, all rows are."""
    properties = {"Email": {"type": "string"}, "plan": {"type": "string"}}
    stream = {**STREAM, "json_schema": {"type": "object", "properties": properties}, "default_cursor_field": None}
    stream |= {"supported_sync_modes": ["full_refresh"], "source_defined_primary_key": [["Email"]]}
    rows = [{"Email": f"{number}@example.com", "plan": "a"} for number in range(3)]

    def load(column: str, cache: str) -> Outcome:
        api = {"api_type": "add_user_properties", "property_columns": "plan", "identity_column": column}
        given = {"rows": {"stream": stream, "rows": rows}, "cache": str(tmp_path / cache)}
        return pyairbyte.do("write", config=config(heap, api), **given)

    refused = load("Email", "first.duckdb")
    assert "AirbyteConnectorWriteError" in refused.error
    assert (
        "`api.identity_column` refers to the column `Email` as the catalog does, but row 1 has `email`" in refused.said
    )
    assert heap.users() == []
    assert load("email", "second.duckdb").error == ""
    assert [user["identity"] for user in heap.users()] == [row["Email"] for row in rows]


SCENARIOS = dict.fromkeys(
    [
        "basic_types",
        "timestamp_types",
        "large_decimals_and_numbers",
        "nested_json_objects",
        "null_handling",
        "column_naming_edge_cases",
        "table_naming_edge_cases",
        "CamelCaseStreamName",
        "wide_table_50_columns",
        "empty_stream",
        "single_record_stream",
        "large_batch_stream",
        "unicode_and_special_strings",
        "schema_with_no_primary_key",
        "long_column_names",
        "duplicate_primary_keys",
        "time_types",
        "union_types",
        "array_of_primitives",
        "large_string_values",
        "sparse_records",
        "special_number_values",
    ],
    "id",
) | {"schema_with_no_primary_key": "event_id"}
"""The scenarios of PyAirbyte's smoke test, each with the column that identifies its records."""


@pytest.fixture(scope="module")
def records(pyairbyte: PyAirbyte) -> dict[str, list[Json]]:
    """The records of PyAirbyte's smoke test, by scenario."""
    return pyairbyte.do("scenarios").result  # type: ignore[no-any-return]


def joined(item: Any) -> str:
    """The text of an item in a joined list: numbers in plain decimal form, without trailing zeros."""
    if isinstance(item, float):
        return f"{Decimal(repr(item)):f}".rstrip("0").rstrip(".") if item else "0"
    return item if isinstance(item, str) else json.dumps(item)


def user_properties(row: Json) -> Json:
    """The properties of a record with `*`: flat, without nulls, empty values, and `id`, which Heap forbids."""
    found: Json = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, list) and all(not isinstance(item, (dict, list)) for item in value):
            value = "||".join(joined(item) for item in value if item is not None)
            value = value or None
        if isinstance(value, (dict, list)):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                put(f"{name}.{key}", inner)
        elif isinstance(value, int) and abs(value) > 2**53 - 1:
            found[name] = str(value)
        elif value is not None:
            found[name] = value[:1023] if isinstance(value, str) else value

    for name, value in row.items():
        if name != "id":
            put(name, value)
    return found


def test_all_scenarios_are_tested(records: dict[str, list[Json]]) -> None:
    """All that PyAirbyte has."""
    assert SCENARIOS.keys() == records.keys()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_of_the_smoke_test_arrives_completely(
    pyairbyte: PyAirbyte, heap: Sandbox, records: dict[str, list[Json]], scenario: str
) -> None:
    """In a separate call, with the identity column of its records; later records overwrite earlier ones."""
    column = SCENARIOS[scenario]
    api = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": column}
    result = pyairbyte.do("smoke_test", config=config(heap, api), scenarios=scenario).result
    assert (result["error"], result["success"]) == (None, True)
    assert result["records_delivered"] == len(records[scenario])
    due: dict[str, Json] = {}
    for record in records[scenario]:
        due.setdefault(str(record[column]), {}).update(user_properties(record))
    assert {user["identity"]: user["properties"] for user in heap.users()} == due


def test_all_scenarios_in_one_call_fail_with_the_message_about_one_stream(pyairbyte: PyAirbyte, heap: Sandbox) -> None:
    """PyAirbyte puts them into one catalog; the error explains this, and nothing is sent."""
    api = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "id"}
    run = pyairbyte.do("smoke_test", config=config(heap, api), scenarios="all")
    sentence = f"One connection loads one stream into Heap, but the configured catalog has {len(SCENARIOS)}: `"
    assert not run.result["success"]
    assert run.result["error"].startswith(f"AirbyteConnectorWriteError: {sentence}")
    assert sentence in run.said
    assert heap.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"status": 400, "body": "no such environment"}, "`app_id` was refused: "),
        ({"status": 403}, "`app_id` or `base_url` is wrong: "),
        ({"status": 302, "headers": {"Location": "https://login.example.com"}}, "`base_url` is not Heap's API: "),
    ],
)
def test_a_failed_write_shows_the_user_why(pyairbyte: PyAirbyte, heap: Sandbox, fault: Json, why: str) -> None:
    """PyAirbyte prints the message above its traceback, which refers to the log."""
    heap.fault(kind="status", **fault)
    run = pyairbyte.do("write", config=config(heap, "track"), rows={"stream": STREAM, "rows": ROWS})
    assert re.search(rf"ERROR: The sync stopped [^.]+[.] {re.escape(why)}", run.said)
    assert "AirbyteConnectorWriteError" in run.error
    (log,) = set(re.findall(r"Log file: (\S+)", run.error))
    assert why in Path(log).read_text(encoding="utf-8")


@pytest.fixture
def example() -> Callable[[str], str]:
    """The example in the documents, with the address of this test's Heap."""
    (text,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "pyairbyte.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )

    def at(url: str) -> str:
        changed = text.replace("http://127.0.0.1:8470", url).replace(
            ".venv/bin/destination-heap-analytics", str(DESTINATION)
        )
        assert (url in changed, str(DESTINATION) in changed) == (True, True)
        return changed

    return at


def test_the_example_of_the_documents_runs(pyairbyte: PyAirbyte, heap: Sandbox, example: Callable[[str], str]) -> None:
    """Exactly as documented."""
    run = pyairbyte.run(example(heap.url))
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "2 rows")
    assert [(event["identity"], event["event"], event["timestamp"]) for event in heap.events()[1:]] == [
        ("ada@example.com", "Signed Up", "2022-10-26T09:00:00Z"),
        ("bruno@example.com", "Paid", "2022-10-26T09:30:00Z"),
    ]


def test_with_full_logs_the_traceback_itself_has_the_message(
    pyairbyte: PyAirbyte, example: Callable[[str], str]
) -> None:
    """As the documents advise."""
    with Sandbox.start() as heap:
        script = example(heap.url).replace('"identity_column": "email"', '"identity_column": "emial"')
        run = pyairbyte.run(script, AIRBYTE_PRINT_FULL_ERROR_LOGS="1")
    traceback = run.stderr.rpartition("Traceback (most recent call last)")[2]
    assert run.returncode == 1
    assert "`api.identity_column` refers to the column `emial`" in traceback
    assert "Did you mean `email`?" in traceback
