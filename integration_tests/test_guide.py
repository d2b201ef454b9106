"""The connector's guide: its examples work, its messages exist, and every setting is documented."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.config.storage_settings import S3Storage
from destination_heap_analytics.delivery.connection_check import explain
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError
from destination_heap_analytics.heap_api import US_HOST
from destination_heap_analytics.mapping.columns.column import Column
from destination_heap_analytics.mapping.columns.missing_columns import AbsenceWatch, ColumnNames, unseen_warning
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns
from destination_heap_analytics.mapping.transformer import Selection, transform
from destination_heap_analytics.protocol.catalog import parse_catalog
from destination_heap_analytics.protocol.checkpoints import Checkpoint, PendingRecord
from destination_heap_analytics.protocol.messages import Record
from destination_heap_analytics.rejected.s3 import S3Bucket
from destination_heap_analytics.rejected.summary import Rejects
from destination_heap_analytics.run.first_rejections import FirstRejections
from destination_heap_analytics.run.report import Report
from destination_heap_analytics.version import VERSION
from integration_tests.conftest import piped
from integration_tests.forked import Forked

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "heap-analytics.md").read_text(encoding="utf-8")
MAIN, SANDBOX, DEMO, BENCH = ["main.py"], ["-m", "heap_sandbox.cli"], ["scripts/demo.py"], ["-m", "benchmarks.bench"]
COMMANDS = ["spec", "check", "write", "preview", "resend"]
CATALOG = json.loads((ROOT / "sample_files" / "configured_catalog.json").read_text(encoding="utf-8"))


def section(heading: str) -> str:
    assert len(re.findall(rf"^##+ {heading}$", GUIDE, flags=re.MULTILINE)) == 1
    return re.split(r"^##+ ", GUIDE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def record(data: dict[str, Any], stream: str = "users") -> dict[str, Any]:
    return {"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 1}}


def examples(heading: str) -> list[Any]:
    """The JSON examples of a section."""
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section(heading), flags=re.DOTALL)]


def stored(heap: Any, made: dict[str, Any]) -> list[dict[str, Any]]:
    """Heap's data, in order: events without their idempotency keys, other data with the keys of the example."""
    if events := [event["payload"] for event in heap.events()]:
        assert all(event.pop("idempotency_key") for event in events)
        return events
    rows = heap.identities() or heap.users() or heap.accounts()
    return [{key: row[key] for key in made} for row in rows]


TABLES = {"orders": ("Track Events", 4), "users": ("Add User Properties", 4), "accounts": ("Add Account Properties", 3)}
"""The section with each sample file, and how many of its rows can be delivered."""


@pytest.mark.parametrize("table", TABLES)
def test_a_table_loads_as_the_guide_shows(connector: Any, heap: Any, sample: Any, table: str) -> None:
    """The beginning of a sample file, the settings of its configuration, and the result of its first row."""
    heading, delivered = TABLES[table]
    file = ROOT / "sample_files" / f"{table}.csv"
    (shown,) = re.findall(r"```csv\n(.*?)```", section(heading), flags=re.DOTALL)
    api, made = examples(heading)
    config = sample(table)
    assert file.read_text(encoding="utf-8").startswith(shown)
    assert f"](../sample_files/{table}.csv)" in section(heading)
    assert config["api"] == api
    connector.forked.run([*connector.words("write", config), "--rows", str(file)]).check_returncode()
    first, *others = stored(heap, made)
    assert (first, len(others)) == (made, delivered - 1)


ROW_EXAMPLES = [
    pytest.param(*found[number : number + 3], id=f"{heading}-{number // 3 + 1}")
    for heading in ("Identify", "Nested columns")
    for found in [examples(heading)]
    for number in range(0, len(found), 3)
]


@pytest.mark.parametrize(("row", "api", "made"), ROW_EXAMPLES)
def test_an_example_is_what_heap_receives(
    connector: Any, heap: Any, row: dict[str, Any], api: dict[str, Any], made: dict[str, Any]
) -> None:
    """From the row and the settings of the example."""
    outcome = connector.run("write", {"app_id": "11", "base_url": heap.url, "api": api}, CATALOG, [record(row)])
    assert outcome.code == 0
    assert stored(heap, made) == [made]


def test_nested_columns_are_shown_for_events_users_and_accounts() -> None:
    """In this order."""
    shown = [example["api_type"] for example in examples("Nested columns") if "api_type" in example]
    assert shown == ["track", "add_user_properties", "add_account_properties"]


def test_the_example_of_a_deletion_deletes_that_user(connector: Any, heap: Any) -> None:
    """The preview says first what would happen."""
    text = section("Delete Users")
    assert re.match(r"\s*\*\*Every row permanently deletes a user, .* in ALL environments", text)
    row, api, made = map(json.loads, re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL))
    config = {"app_id": "11", "base_url": heap.url, "api": api}
    run = connector.preview(config, CATALOG, piped([record(row)]), "--json")
    assert run.returncode == 0
    assert [payload["body"] for payload in json.loads(run.stdout)["payloads"]] == [made]
    identities = ("evalyn_shields@hotmail.com", "another@example.com")
    for identity in identities:
        requests.post(f"{heap.url}/api/track", json={"app_id": "12", "identity": identity, "event": "E"}, timeout=60)
    assert connector.run("write", config, CATALOG, [record(row)], speed=20.0).code == 0
    assert (
        [event["identity"] for event in heap.events()] == [user["identity"] for user in heap.users()] == [identities[1]]
    )


EXAMPLE_ROW = json.loads(re.findall(r"```json\n(.*?)```", GUIDE.partition("<!-- columns -->")[2], flags=re.DOTALL)[0])
EXAMPLES = re.findall(r"^\| `(.*?)` \| `(\{.*\})` \|$", section("Columns"), flags=re.MULTILINE)


@pytest.mark.parametrize(("columns", "properties"), EXAMPLES)
def test_a_list_of_columns_makes_the_properties_that_the_guide_shows(columns: str, properties: str) -> None:
    """Of the row above the table."""
    api = {"api_type": "track", "property_columns": columns, "event_column": "'Paid'", "identity_column": "email"}
    selection = Selection.from_settings(parse_config({"app_id": "11", "api": api}).settings.api, {})
    element, _ = transform(EXAMPLE_ROW, selection.found_in(EXAMPLE_ROW), exact=True)
    assert element["properties"] == json.loads(properties)


def test_the_guide_shows_every_form_of_the_grammar() -> None:
    """Each cast, too."""
    shown = ", ".join(columns for columns, _ in EXAMPLES)
    forms = [" as ", "* except (", "[].", "' as ", '" as ', *(f"::{cast.value}" for cast in Cast)]
    assert [form for form in forms if form not in shown] == []


def sentence(provoke: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as stopped:
        provoke()
    return str(stopped.value.message)


def sentences(connector: Any, heap: Any, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """The messages of the connector, one for each problem."""
    for verdict in (
        Verdict(Kind.REFUSED, 400),
        Verdict(Kind.NO_ACCESS, 404),
        Verdict(Kind.NOT_HEAP, 301, "a redirect"),
        Verdict(Kind.LOCKED_OUT, 401),
        Verdict(Kind.RETRYABLE, trouble="the name is not known"),
        Verdict(Kind.RETRYABLE, 429),
        Verdict(Kind.RETRYABLE, 503),
    ):
        yield explain(verdict, US_HOST)
    yield explain(Verdict(Kind.RETRYABLE, trouble="the connection was refused"), heap.url)

    api = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "e"}
    config = {"app_id": "11", "base_url": heap.url, "api": api}
    yield sentence(lambda: parse_config({**config, "base_url": "http://heapanalytics.com"}))
    yield sentence(lambda: parse_catalog({"streams": [*CATALOG["streams"], *CATALOG["streams"]]}))
    directory = {"storage_type": "Local", "path": "/proc/none"}
    yield connector.run("check", {**config, "object_storage_config": directory}).status[1]
    bucket = {"storage_type": "S3", "s3_bucket_name": "rows", "bucket_path": "heap", "s3_bucket_region": "us-east-1"}
    storage = parse_config({**config, "object_storage_config": bucket}).settings.object_storage_config
    assert isinstance(storage, S3Storage)
    yield str(S3Bucket(storage, "users", "1")._config_error(("it does not exist", "make it")).message)

    row = PendingRecord(1, Record("users", None, {"email": "a"}, is_exact=True, line=None), Checkpoint())
    names, column = ColumnNames({}), Column("emial")
    watch = AbsenceWatch({"identity_column": column}, names, lambda: 0.0)
    watch.admit(row)
    yield sentence(watch.end)
    watch = AbsenceWatch({}, names, lambda: 0.0, PropertyColumns([column]))
    watch.admit(row)
    yield sentence(watch.end)
    names.learn(row.record.data)
    watch = AbsenceWatch({}, names, lambda: 0.0, excepted=[PropertyColumns([column])])
    watch.admit(row)
    yield sentence(watch.end)
    yield str(unseen_warning({"emial": "email"}))
    first: FirstRejections[int] = FirstRejections(lambda: 0.0, are_stored=False)
    yield sentence(lambda: [first.hold(RowRejectedError(Reason.NOT_A_TIME, "at"), number) for number in range(100)])
    schema = {"properties": {"Email": {}}}
    renamed = AbsenceWatch({"identity_column": Column("Email").declared_by(schema)}, ColumnNames(schema), lambda: 0.0)
    yield sentence(lambda: renamed.admit(row))

    yield connector.run("write", config, CATALOG, [record({"e": "a"}, "orders")]).error[1]
    yield connector.run("write", {**config, "rejected_records": "fail"}, CATALOG, [record({"e": None})]).error[1]
    for lines in ([], [record({"e": None})], [{"e": "a"}]):
        run = connector.preview(config, CATALOG, piped(lines), "--json")
        yield json.loads(run.stdout)["error"]

    rejects = Rejects()
    for number in (1, 2):
        rejects.add(number, RowRejectedError(Reason.NULL, "email"))
    rejects.add(3, RowRejectedError(Reason.REFUSED, status=400))
    yield from rejects.explanations()
    with caplog.at_level(logging.WARNING):
        Report(logging.getLogger("guide"), lambda: 0.0).repeats()
    yield "Loading" + caplog.text.partition("Loading")[2]


def test_the_troubleshooting_table_has_the_messages_of_the_connector(
    connector: Any, heap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Word for word except for names and numbers, without missing or obsolete ones."""
    documented = re.findall(r"^\| (?!message|---)(.*?) \| ", section("Troubleshooting"), flags=re.MULTILINE)
    patterns = {message: re.compile(re.escape(message).replace("…", ".*"), flags=re.DOTALL) for message in documented}
    messages = list(sentences(connector, heap, caplog))
    assert len(documented) > 15
    assert [message for message, pattern in patterns.items() if not any(map(pattern.match, messages))] == []
    assert [text for text in messages if not any(pattern.match(text) for pattern in patterns.values())] == []


def test_a_preview_prints_what_the_guide_shows(forked: Forked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word."""
    shown = GUIDE.partition("<!-- preview -->\n```console\n")[2].partition("```")[0]
    command, _, printed = shown.partition("\n")
    monkeypatch.chdir(ROOT)
    run = forked.run(command.removeprefix("$ python main.py ").split())
    assert (run.returncode, run.stdout.decode(), run.stderr) == (0, printed, b"")


@pytest.mark.parametrize(
    "program", [MAIN, *([*MAIN, command] for command in COMMANDS), SANDBOX, DEMO, BENCH], ids=" ".join
)
def test_every_command_and_flag_is_in_the_guide(program: list[str]) -> None:
    """As listed by `--help`."""
    run = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, check=True, timeout=120)
    flags = set(re.findall(r"--[a-z-]+", run.stdout.decode())) - {"--help"}
    documented = section("On the command line")
    assert program == MAIN or flags or program[-1] == "spec"
    assert [flag for flag in sorted(flags) if flag not in documented] == []
    assert program[0] != "main.py" or len(program) == 1 or f"`{program[1]}" in documented


def test_every_setting_is_in_the_guide() -> None:
    """By its key, and by its title if the form shows it."""
    spec = json.loads((ROOT / "destination_heap_analytics" / "spec.json").read_text(encoding="utf-8"))
    settings = spec["connectionSpecification"]["properties"]
    branches = [branch["properties"] for setting in settings.values() for branch in setting.get("oneOf", [])]
    keys = {*settings, *(key for branch in branches for key in branch)}
    assert sorted(key for key in keys if f"`{key}`" not in GUIDE) == []
    assert sorted(setting["title"] for setting in settings.values() if f"| {setting['title']} |" not in GUIDE) == []


def test_every_choice_is_in_the_guide() -> None:
    """Of the API and of the storage of rejected rows, by its value."""
    spec = json.loads((ROOT / "destination_heap_analytics" / "spec.json").read_text(encoding="utf-8"))
    settings = spec["connectionSpecification"]["properties"]
    choices = [
        branch["properties"][selector]["const"]
        for setting, selector in (("api", "api_type"), ("object_storage_config", "storage_type"))
        for branch in settings[setting]["oneOf"]
    ]
    assert [choice for choice in choices if f"`{choice}`" not in GUIDE] == []


def test_every_setting_in_the_guide_exists() -> None:
    """Otherwise a renamed key would stay in the guide."""
    named = re.findall(r"^ *\| [\w ]+ \| `(\w+)`", GUIDE, flags=re.MULTILINE)
    spec = (ROOT / "destination_heap_analytics" / "spec.json").read_text(encoding="utf-8")
    assert len(named) > 10
    assert [key for key in named if f'"{key}"' not in spec] == []


def test_headings_are_unique() -> None:
    """Otherwise a link would be ambiguous."""
    headings = re.findall(r"^##+ (.*)$", GUIDE, flags=re.MULTILINE)
    assert [heading for heading in headings if headings.count(heading) > 1] == []


def test_the_minimal_configuration_and_catalog_are_enough(connector: Any) -> None:
    """To preview a row."""
    config, catalog = map(json.loads, re.findall(r"```json\n(.*?)```", section("On the command line"), flags=re.DOTALL))
    run = connector.preview(config, catalog, piped([record({"email": "a"})]), "--json")
    assert run.returncode == 0
    found = json.loads(run.stdout)
    assert (found["mapped"], found["unknown_settings"]) == (1, None)


def test_a_preview_as_json_has_the_keys_of_the_guide(connector: Any) -> None:
    """All of them, in the order of the table."""
    config = json.loads((ROOT / "sample_files" / "config_track.json").read_text(encoding="utf-8"))
    run = connector.preview(config, CATALOG, piped([record({"email": "a"})]), "--json")
    rows = re.findall(r"^\| (`.*?`) \| ", section("Preview as JSON"), flags=re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == list(json.loads(run.stdout))


def test_this_version_is_in_the_changelog_of_the_guide() -> None:
    """In the first row."""
    assert re.findall(r"^\| (\d+\.\d+\.\d+) \|", section("Changelog"), flags=re.MULTILINE)[0] == VERSION
