"""The documents are correct: examples work, configurations are valid, links resolve, all folders are described."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from integration_tests.forked import Forked
from integration_tests.test_terminal import Session

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "heap-analytics.md").read_text(encoding="utf-8")
BOOTSTRAP = (ROOT / "bootstrap.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "courier/README.md", ROOT / "sandbox/README.md"]
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)


def timeless(text: str) -> str:
    """The text without parts that differ between runs: the port, seconds and rates."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    return re.sub(r"in [\d.]+ s \([\d,]+ rows/s\)", "in N s (N rows/s)", text)


def test_the_guide_shows_what_the_demo_prints() -> None:
    """Word for word."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py")], capture_output=True, text=True, check=True, timeout=300
    )
    shown, *_ = blocks(GUIDE.partition("<!-- demo -->")[2], "console")
    assert timeless(run.stdout).strip() == timeless(shown).strip()
    assert run.stderr == ""


def shown_after(mark: str) -> tuple[list[str], str]:
    """The arguments of a command in the README, and what it prints."""
    command, _, printed = blocks(README.partition(f"<!-- {mark} -->")[2], "console")[0].partition("\n")
    return command.removeprefix("$ .venv/bin/python ").split(), printed


def test_the_readme_shows_what_a_preview_of_orders_prints(forked: Forked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word."""
    (program, *arguments), printed = shown_after("preview")
    monkeypatch.chdir(ROOT)
    run = forked.run(arguments)
    assert (program, run.returncode, run.stdout.decode(), run.stderr) == ("main.py", 0, printed, b"")


def test_the_readme_shows_what_loading_orders_prints(heap: Any, sample: Any, tmp_path: Path) -> None:
    """In a terminal, word for word; Heap has the orders afterwards."""
    arguments, printed = shown_after("write")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(sample("orders")))
    arguments = [str(config) if "config" in word and "." in word else word for word in arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": "terminal", "stderr": "terminal", "cwd": ROOT}
    session = Session([sys.executable, *arguments], **streams)
    assert session.code == 0
    assert timeless("\n".join(session.lines)) == timeless(printed).strip()
    assert [event["payload"]["properties"]["Order Amount"] for event in heap.events()] == [129.9, 24.5, 310, 18]


def test_the_readme_configures_the_tables_of_the_sample_files(sample: Any) -> None:
    """Showing the first; the guide shows all, and its examples are loaded."""
    push = README.partition("## Push")[2].partition("## Pull")[0]
    tables = re.findall(r"\]\(sample_files/(\w+)\.csv\)", push)
    assert tables == ["orders", "users", "accounts"]
    assert re.findall(r"\]\(sample_files/config_(\w+)\.json\)", push) == tables
    assert [json.loads(block)["api"] for block in blocks(push, "json")] == [sample("orders")["api"]]


def test_the_example_of_a_rows_path_is_what_heap_receives(connector: Any, heap: Any, sample: Any) -> None:
    """Except for the key, which depends on the stream."""
    line, body = (json.loads(block) for block in blocks(BOOTSTRAP, "json"))
    connector.run("write", sample("track"), ROOT / "sample_files" / "configured_catalog.json", [line])
    (event,) = heap.events()
    payload = event["payload"]
    assert re.fullmatch("[0-9a-f]{64}", payload.pop("idempotency_key"))
    body.pop("idempotency_key")
    assert payload == body


PACKAGES = {
    "connector": ROOT / "destination_heap_analytics",
    "courier": ROOT / "courier" / "heap_courier",
    "sandbox": ROOT / "sandbox" / "heap_sandbox",
}
FOLDERS = sorted(
    str(folder.relative_to(ROOT))
    for package in PACKAGES.values()
    for folder in package.iterdir()
    if folder.is_dir() and folder.name != "__pycache__"
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_its_line_in_the_architecture(folder: str) -> None:
    """With what belongs there."""
    assert re.search(rf"^\| .*`{folder}/`.* \| \w.* \|$", ARCHITECTURE, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "folder", [name for name in re.findall(r"`([\w/]+)/`", ARCHITECTURE.partition("## Folders")[2]) if "/" in name]
)
def test_every_folder_in_the_architecture_exists(folder: str) -> None:
    """By its path from the top of the repository."""
    assert (ROOT / folder).is_dir()


SUB_PACKAGES = sorted(
    str(file.parent.relative_to(ROOT))
    for package in PACKAGES.values()
    for file in package.rglob("__init__.py")
    if file.parent != package
)


@pytest.mark.parametrize("folder", SUB_PACKAGES)
def test_every_package_says_what_belongs_there_and_what_never_does(folder: str) -> None:
    """In one line, so that the place of new code is clear."""
    (line,) = (ROOT / folder / "__init__.py").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r'"""\w.*\. Never .*\."""', line)


@pytest.mark.parametrize("folder", SUB_PACKAGES)
def test_no_package_holds_more_than_a_dozen_modules(folder: str) -> None:
    """Beyond that, some of them should be a separate package."""
    modules = [file.name for file in (ROOT / folder).glob("*.py") if file.name != "__init__.py"]
    assert len(modules) <= 12


def test_the_architecture_lists_the_import_rules_that_are_enforced() -> None:
    """Layer by layer, for each of the three products."""
    enforced = ConfigParser()
    enforced.read(ROOT / ".importlinter")
    layers = [enforced[f"importlinter:contract:{product}"]["layers"].split("\n")[1:] for product in PACKAGES]
    shown = blocks(ARCHITECTURE.partition("## Which folder may import which")[2], "text")
    assert [block.splitlines() for block in shown] == layers


def anchors(text: str) -> set[str]:
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_resolves(document: Path) -> None:
    """To a file of the project, and to a heading in it."""
    broken = []
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, heading = link.partition("#")
        file = (document.parent / path) if path else document
        if not file.exists() or (heading and heading not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


EXAMPLES = [
    pytest.param(example, id=f"{document.name}-{number}")
    for document in DOCUMENTS
    for number, example in enumerate(map(json.loads, blocks(document.read_text(encoding="utf-8"), "json")))
    if isinstance(example, dict) and {"api", "api_type"} & example.keys()
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_configuration_in_the_documents_is_valid(example: dict[str, Any]) -> None:
    """Without a warning; examples of only `api` are completed."""
    config = example if "api" in example else {"app_id": "11", "api": example}
    assert parse_config(config).warning is None
