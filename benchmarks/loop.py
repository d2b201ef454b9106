"""The reference, as in a simple script: one connection, one POST per row, one after another.

It accepts the arguments of the connector, and uses the columns of sample_files/config_user_properties.json.

    python benchmarks/loop.py write --config FILE --catalog FILE < messages.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import requests


def main() -> None:
    """Post each row on standard input; print each state."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["write"])
    parser.add_argument("--config", required=True)
    parser.add_argument("--catalog")
    config = json.loads(Path(parser.parse_args().config).read_text(encoding="utf-8"))
    url = config["base_url"] + "/api/add_user_properties"
    with requests.Session() as session:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if message["type"] == "RECORD":
                body = {"app_id": config["app_id"], **user(message["record"]["data"])}
                session.post(url, json=body, timeout=60).raise_for_status()
            elif message["type"] == "STATE":
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


def user(row: dict[str, Any]) -> dict[str, Any]:
    """The user properties of one row."""
    properties = {
        "identities_provider": row["identities"]["provider"],
        "created_at": row["created_at"],
        "nickname": row["nickname"],
    }
    return {"identity": row["user_id"], "properties": properties}


if __name__ == "__main__":
    main()
