"""`preview` as a user types it: it shows what `write` posts, and sends nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_files"
CATALOG = SAMPLES / "configured_catalog.json"
SCRIPT = Path(sys.executable).with_name("destination-heap-analytics")
ROWS = (SAMPLES / "messages.jsonl").read_bytes().splitlines()


class Posted(ThreadingHTTPServer):
    """A Heap that records path and body of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Posted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def posted() -> Iterator[Posted]:
    with Posted() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(api: str, posted: Posted, /, **more: Any) -> dict[str, Any]:
    content = json.loads((SAMPLES / f"config_{api}.json").read_text(encoding="utf-8"))
    return {**content, "base_url": posted.url, **more}


def preview(
    connector: Any, config: Any, catalog: Any = CATALOG, lines: list[bytes] = ROWS, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    run = connector.preview(config, catalog, b"\n".join(lines), *options)
    return subprocess.CompletedProcess(run.args, run.returncode, run.stdout.decode(), run.stderr.decode())


def documented(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.stdout)
    return content


@pytest.mark.parametrize("api", ["track", "user_properties", "account_properties"])
@pytest.mark.parametrize("mode", ["bulk", "row"])
def test_what_is_shown_is_what_write_posts(connector: Any, posted: Posted, api: str, mode: str) -> None:
    """The address and the whole body, including the order of keys; the preview itself posts nothing."""
    config = settings(api, posted, delivery={"mode": mode})
    rows = ROWS[:1] if mode == "bulk" else ROWS
    run = preview(connector, config, lines=rows, options=("--json", "--limit", "100"))
    assert (run.returncode, run.stderr, posted.requests) == (0, "", [])
    assert connector.run("write", config, CATALOG, rows).code == 0
    shown = documented(run)
    assert shown["mapped"] == len(shown["payloads"]) == len(posted.requests) > 0
    assert {path for path, _ in posted.requests} == {shown["url"].removeprefix(posted.url)}
    bodies = sorted(json.dumps(json.loads(body)) for _, body in posted.requests)
    assert sorted(json.dumps(payload["body"]) for payload in shown["payloads"]) == bodies


def test_the_console_script_shows_it_too(connector: Any, posted: Posted) -> None:
    """Payloads, then counts; standard error is empty without a terminal."""
    arguments = connector.arguments("preview", settings("track", posted), CATALOG)[2:]
    with (SAMPLES / "messages.jsonl").open("rb") as source:
        run = subprocess.run(
            [str(SCRIPT), *arguments, "--limit", "2"], stdin=source, capture_output=True, check=True, timeout=120
        )
    out = run.stdout.decode()
    assert out.count("\nRow ") == 2
    assert '\n      "identity": "ada.abbate@example.com",\n' in out
    assert "\n... and 34 more (`--limit 36` shows all).\n\n36 rows read, 36 mapped, 0 rejected.\n" in out
    assert out.endswith("not slow `write` down: 36 rows for 36 identities, at most 1 per identity.\n")
    assert run.stderr == b""


@pytest.mark.parametrize(
    ("change", "catalog", "rows"),
    [
        ({"api": {"api_type": "track"}}, CATALOG, ROWS),
        ({"app_id": "eleven"}, CATALOG, ROWS),
        ({}, {"streams": []}, ROWS),
        ({}, Path("no-such-catalog.json"), ROWS),
        ({}, CATALOG, [*ROWS, b'{"type":"RECORD","record":{"stream":"orders","data":{},"emitted_at":1}}']),
        (
            {"api": {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "emial"}},
            {"streams": [{"stream": {"name": "users", "json_schema": {}}}]},
            ROWS,
        ),
    ],
)
def test_errors_of_write_are_reported_with_the_same_message(
    connector: Any, posted: Posted, change: dict[str, Any], catalog: Any, rows: list[bytes]
) -> None:
    """About settings, catalog, streams and columns: on standard output, with exit code 1, as text and JSON."""
    config = settings("track", posted, **change)
    failed, sentence = connector.run("write", config, catalog, rows).error
    run = preview(connector, config, catalog, rows)
    assert (failed, run.returncode) == ("config_error", 1)
    assert run.stdout.endswith(f"\nError: {sentence}\n")
    assert run.stderr == ""
    run = preview(connector, config, catalog, rows, options=("--json",))
    assert (run.returncode, documented(run)["error"]) == (1, sentence)


@pytest.mark.parametrize(("config", "said"), [(Path("no-such-file.json"), "cannot be read"), ("{", "not valid JSON")])
def test_an_unreadable_configuration_is_reported(connector: Any, config: Any, said: str) -> None:
    """With its path."""
    run = preview(connector, config)
    assert (run.returncode, run.stderr) == (1, "")
    assert said in run.stdout


def test_an_input_without_rows_is_reported(connector: Any, posted: Posted) -> None:
    """Unlike for an empty sync, this is not a success."""
    run = preview(connector, settings("track", posted), lines=[])
    assert run.returncode == 1
    assert "Error: No rows received" in run.stdout


def test_a_closed_standard_input_is_reported(connector: Any, posted: Posted) -> None:
    """With the remedy."""
    arguments = connector.arguments("preview", settings("track", posted), CATALOG)
    command = ["sh", "-c", '"$@" <&-', "sh", *arguments]
    run = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert (run.returncode, run.stderr) == (1, b"")
    assert b"Standard input is closed" in run.stdout


@pytest.mark.parametrize("limit", ["-1", "many", "1.5"])
def test_an_invalid_limit_is_reported_with_the_usage(connector: Any, limit: str) -> None:
    """On standard error, like any invalid command line."""
    run = preview(connector, "{}", options=("--limit", limit))
    assert (run.returncode, run.stdout) == (2, "")
    assert "argument --limit: must be 0 or more" in run.stderr


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_it_exits_silently_if_the_reader_is_gone(connector: Any, posted: Posted, form: tuple[str, ...]) -> None:
    """For example after `| head -1`."""
    arguments = [*connector.arguments("preview", settings("track", posted), CATALOG), *form]
    with (
        (SAMPLES / "messages.jsonl").open("rb") as source,
        subprocess.Popen(arguments, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.wait(120) == 1
        assert process.stderr.read() == b""


def test_ctrl_c_stops_it_with_the_counts_so_far(connector: Any, posted: Posted) -> None:
    """With the exit code that a shell expects."""
    arguments = connector.arguments("preview", settings("track", posted), CATALOG)
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"\n".join(ROWS[:2]) + b"\n")
        process.stdin.flush()
        while b"Row 2:" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(120) == 130
        assert process.stderr.read() == b""
    assert b"2 rows read, 2 mapped, 0 rejected.\nInterrupted: " in rest
