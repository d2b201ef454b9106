"""The demo of `bash scripts/demo`: the connector loads sample rows into a local mock of Heap's API."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from heap_sandbox.server import Sandbox

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_files"
CATALOG = SAMPLES / "configured_catalog.json"
MESSAGES = SAMPLES / "messages.jsonl"
APIS = ("track", "user_properties", "account_properties")


def main() -> int:
    """Run the demo; the exit code is that of the first command that failed."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--watch", action="store_true", help="keep the sandbox and its page open until Ctrl-C")
    watch = parser.parse_args().watch
    with Sandbox.start() as heap, tempfile.TemporaryDirectory() as folder:
        print(f"The sandbox listens on {heap.url} (this machine only); the commands below use it as `base_url`.")
        if watch:
            print(f"Open {heap.url} in a browser to watch rows arrive.")
        if code := connector("spec"):
            return code
        for api in APIS:
            config = at(heap.url, SAMPLES / f"config_{api}.json", Path(folder))
            code = connector("check", "--config", config) or connector(
                "write", "--config", config, "--catalog", CATALOG, source=MESSAGES
            )
            if code:
                return code
        holds("events", heap.events(), ("identity", "event", "timestamp"))
        holds("users with properties", [user for user in heap.users() if user["properties"]], ("identity",))
        holds("accounts", heap.accounts(), ("account_id",))
        if watch:
            wait(heap.url)
    return 0


def wait(url: str) -> None:
    """Wait for Ctrl-C, the intended way to stop."""
    print(f"\nThe sandbox stays open with these rows: {url}\nPress Ctrl-C to stop.", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


def at(url: str, sample: Path, folder: Path) -> Path:
    """Copy a sample configuration, with the address of the sandbox."""
    config = folder / sample.name
    config.write_text(json.dumps({**json.loads(sample.read_text()), "base_url": url}))
    return config


def connector(command: str, *options: str | Path, source: Path | None = None) -> int:
    """Run one command of the connector and print its messages, one per line."""
    words = [f"sample_files/{word.name}" if isinstance(word, Path) else word for word in (command, *options)]
    piped = ["<", f"sample_files/{source.name}"] if source else []
    print(f"\n$ python main.py {' '.join(words + piped)}", flush=True)
    with (source or Path("/dev/null")).open("rb") as stdin:
        run = subprocess.run(  # noqa: S603  # this project's own program
            [sys.executable, str(ROOT / "main.py"), command, *map(str, options)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            check=False,
        )
    for line in run.stdout.splitlines():
        print(f"  {shown(json.loads(line))}")
    return run.returncode


def shown(message: dict[str, Any]) -> str:
    """One message as a short line."""
    match message["type"]:
        case "LOG":
            return f"{message['log']['level']}: {message['log']['message']}"
        case "SPEC":
            return "settings: " + ", ".join(message["spec"]["connectionSpecification"]["properties"])
        case "CONNECTION_STATUS":
            status = message["connectionStatus"]
            return f"check {status['status']} {status.get('message') or ''}".rstrip()
        case "STATE":
            state = message["state"]
            return f"STATE {state['id']} returned ({state['destinationStats']['recordCount']:.0f} rows delivered)"
        case _:
            return json.dumps(message)


def holds(what: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Print a table of the first rows in Heap."""
    table = [(*columns, "properties")]
    table += [(*(str(row[column]) for column in columns), json.dumps(row["properties"])) for row in rows[:3]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print(f"\nHeap now holds {len(rows)} {what}:")
    for line in table:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if len(rows) > len(table) - 1:
        print(f"  ... and {len(rows) - len(table) + 1} more")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the sandbox is closed
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
