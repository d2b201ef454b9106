"""The commands as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integration_tests.conftest import piped
from integration_tests.forked import MAIN, SECONDS, Forked

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(sys.executable).with_name("destination-heap-analytics")


@pytest.mark.parametrize("program", [[sys.executable, str(ROOT / "main.py")], [str(SCRIPT)]], ids=["main.py", "script"])
def test_spec_prints_the_committed_specification(program: list[str]) -> None:
    """Both main.py and the console script."""
    out = subprocess.run([*program, "spec"], capture_output=True, check=True, timeout=120).stdout
    (message,) = (json.loads(line) for line in out.splitlines())
    committed = json.loads((ROOT / "destination_heap_analytics" / "spec.json").read_text(encoding="utf-8"))
    assert message["type"] == "SPEC"
    assert message["spec"]["connectionSpecification"] == committed["connectionSpecification"]
    assert message["spec"]["supported_destination_sync_modes"] == ["overwrite", "append", "append_dedup"]
    assert message["spec"]["supportsIncremental"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: command"),
        (["chek"], "invalid choice: 'chek'"),
        (["check"], "required: --config"),
        (["write", "--config", "c"], "--catalog"),
    ],
)
def test_a_wrong_command_line_is_reported_with_the_usage(forked: Forked, arguments: list[str], said: str) -> None:
    """On standard error, with exit code 2 and no stack trace."""
    run = forked.run(arguments)
    assert (run.returncode, run.stdout) == (2, b"")
    assert said in run.stderr.decode()
    assert b"Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Path("no-such-file.json"), "no-such-file.json` cannot be read: No such file"),
        ("{", "is not valid JSON"),
        ("[1]", "must be a JSON object"),
    ],
)
def test_an_unreadable_configuration_is_reported_in_plain_words(connector: Any, config: Any, said: str) -> None:
    """As a failed check, or as a config_error of a write."""
    check = connector.run("check", config)
    assert (check.code, check.status[0]) == (0, "FAILED")
    assert said in check.status[1]
    write = connector.run("write", config, {"streams": []})
    assert (write.code, write.error[0]) == (1, "config_error")
    assert said in write.error[1]


@pytest.mark.parametrize("catalog", [Path("no-such-file.json"), "{", "[]", {"streams": []}])
def test_a_catalog_that_cannot_be_read_is_a_config_error(connector: Any, sample: Any, catalog: Any) -> None:
    """Nothing is sent."""
    run = connector.run("write", sample("track"), catalog)
    assert (run.code, run.error[0]) == (1, "config_error")
    assert "catalog" in run.error[1]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"email":"a@example.com"}'] * 3, "plain rows, one JSON object per line (NDJSON)"),
        (["id,email", "1,a@example.com"], "delimited text (CSV)"),
        (["", ""], "only blank lines"),
    ],
)
def test_an_input_without_a_message_is_not_a_successful_sync(
    connector: Any, heap: Any, sample: Any, lines: list[str], said: str
) -> None:
    """For write and preview; an empty input is one, because a source may have no rows."""
    catalog = {"streams": [{"stream": {"name": "users", "json_schema": {}}, "sync_mode": "full_refresh"}]}
    write = connector.run("write", sample("user_properties"), catalog, lines)
    assert (write.code, write.error[0]) == (1, "config_error")
    assert said in write.error[1]
    preview = connector.preview(sample("user_properties"), catalog, piped(lines))
    assert preview.returncode == 1
    assert f"Error: {write.error[1]}" in preview.stdout.decode()
    assert heap.stats()["requests"] == 0
    assert connector.run("write", sample("user_properties"), catalog).code == 0


def test_the_output_of_discover_is_not_a_catalog(connector: Any, sample: Any) -> None:
    """Nothing is loaded without the sync mode and key that the user selected."""
    catalog = {"streams": [{"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}]}
    run = connector.run("write", sample("track"), catalog)
    assert (run.code, run.error[0]) == (1, "config_error")
    assert "is the output of a source's `discover`" in run.error[1]


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["spec", "check", "write", "preview", "preview --json"])
def test_an_output_that_cannot_be_written_is_one_message(
    connector: Any, sample: Any, command: str, redirection: str
) -> None:
    """On standard error, because there is nowhere else for it."""
    catalog = ROOT / "sample_files" / "configured_catalog.json"
    word, *options = command.split()
    arguments = [] if word == "spec" else connector.arguments(word, sample("track"))[3:]
    arguments += ["--catalog", str(catalog)] if word in {"write", "preview"} else []
    run = subprocess.run(
        [
            "/bin/bash",
            "-c",
            f'"$@" {redirection}',
            "bash",
            sys.executable,
            str(ROOT / "main.py"),
            word,
            *arguments,
            *options,
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    reason = "closed" if redirection == ">&-" else "No space left on device"
    assert run.returncode == 1
    assert run.stderr == (
        f"Standard output cannot be written ({reason}), so the command stopped. Redirect it to a file or a pipe.\n"
    )


@pytest.mark.parametrize("words", [["spec"], ["check", "--config", "/dev/null"], ["check"], ["resend", "/no/file"]])
def test_a_fork_gives_the_same_result_as_a_process(forked: Forked, words: list[str]) -> None:
    """Most tests run the connector in a fork, to save its imports: output and exit code are the same."""
    started = subprocess.run([sys.executable, MAIN, *words], capture_output=True, check=False, timeout=SECONDS)
    run = forked.run(words)
    assert (run.returncode, run.stdout, run.stderr) == (started.returncode, started.stdout, started.stderr)
