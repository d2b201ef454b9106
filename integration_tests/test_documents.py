"""What the documents show is what happens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BOOTSTRAP = (ROOT / "bootstrap.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)


def timeless(text: str) -> str:
    """The text without what differs from run to run: the port, seconds and rates."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    return re.sub(r"in [\d.]+ s \([\d,]+ rows/s\)", "in N s (N rows/s)", text)


def test_the_readme_shows_what_the_demo_prints() -> None:
    """To the letter."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py")], capture_output=True, text=True, check=True, timeout=300
    )
    (shown,) = blocks(README.partition("<!-- demo -->")[2].partition("## Use it")[0], "console")
    assert timeless(run.stdout).strip() == timeless(shown).strip()
    assert run.stderr == ""


@pytest.mark.parametrize("example", blocks(README, "json"))
def test_the_configurations_in_the_readme_are_valid(example: str) -> None:
    """Without a warning."""
    assert parse_config(json.loads(example)).warning is None


def test_the_example_of_a_rows_way_is_what_heap_gets(connector: Any, heap: Any, sample: Any) -> None:
    """But for the key, which depends on the stream."""
    line, body = (json.loads(block) for block in blocks(BOOTSTRAP, "json"))
    connector.run("write", sample("track"), ROOT / "sample_files" / "configured_catalog.json", [line])
    (event,) = heap.events()
    payload = event["payload"]
    assert re.fullmatch("[0-9a-f]{64}", payload.pop("idempotency_key"))
    body.pop("idempotency_key")
    assert payload == body


MODULES = [path for package in ("destination_heap_analytics", "heap_courier") for path in (ROOT / package).glob("*.py")]


@pytest.mark.parametrize("path", sorted(MODULES), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_module_has_its_place_in_the_map(path: Path) -> None:
    """So that a stranger finds the room."""
    assert path.stem == "__init__" or f"`{path.name}`" in BOOTSTRAP
