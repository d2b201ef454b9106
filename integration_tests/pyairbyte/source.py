"""A minimal source with one stream: its configuration contains the stream and the rows.

It reads incrementally where the stream has a cursor, with a state behind every second row and one at the end. Python
alone is enough to run it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read(config: dict[str, Any], selected: dict[str, Any], states: list[Any] | None) -> Iterator[dict[str, Any]]:
    """The rows after the state, or all rows without one."""
    name = selected["stream"]["name"]
    cursor = (selected.get("cursor_field") or [None])[0] if selected["sync_mode"] == "incremental" else None
    last = states[-1]["stream"]["stream_state"]["last"] if states and cursor else None
    rows = [row for row in config["rows"] if last is None or row[cursor] > last]
    for count, row in enumerate(rows, 1):
        yield {"type": "RECORD", "record": {"stream": name, "data": row, "emitted_at": 1666411200000}}
        if count % 2 == 0 or count == len(rows):
            stream = {"stream_descriptor": {"name": name}, "stream_state": {"last": row[cursor] if cursor else count}}
            yield {"type": "STATE", "state": {"type": "STREAM", "stream": stream}}


def answers(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The messages that a command prints."""
    if arguments.command == "spec":
        yield {"type": "SPEC", "spec": {"connectionSpecification": {"type": "object"}}}
    elif arguments.command == "check":
        yield {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}
    elif arguments.command == "discover":
        yield {"type": "CATALOG", "catalog": {"streams": [arguments.config["stream"]]}}
    else:
        yield from read(arguments.config, arguments.catalog["streams"][0], arguments.state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["spec", "check", "discover", "read"])
    for option in ("--config", "--catalog", "--state"):
        parser.add_argument(option, type=lambda path: json.loads(Path(path).read_text(encoding="utf-8")))
    for message in answers(parser.parse_args()):
        sys.stdout.write(json.dumps(message) + "\n")
