"""The user's guide to pulling: what it says is typed, and what it shows appears; nothing that can be set is missing.

`GUIDE=new python -m pytest courier/integration_tests/test_pull_guide.py -k typed` writes what appears into the guide.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest

from courier.integration_tests import heap_bucket
from courier.unit_tests.forked import forked
from heap_courier.documents.schema import Section
from heap_courier.feeds import reader as feed_file
from heap_courier.files import entities
from heap_courier.formats.file_format import CONTENT_TYPES
from heap_courier.project import reader as project_file

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "pull-from-heap.md"
KEYS = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret"}
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FEED = re.compile(r"df-[A-Za-z0-9]{8}")
CHANGING = (
    (FEED, "df-5Jagkabc"),
    (re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}"), "20260304-083000-5f0c"),
    (re.compile(r"(?!2026-03-0)20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"), "2026-03-04 08:30:00"),
    (re.compile(r" in \d+ seconds?"), " in 1 second"),
    (re.compile(r"\b0:\d\d:\d\d\b"), "0:00:01"),
)
"""What differs from run to run, and how the guide has it."""


class Reader:
    """Someone who types what the guide says."""

    def __init__(self, folder: Path, url: str) -> None:
        self._home = folder
        self._folder = folder
        self._url = url
        self._feed = ""

    def type(self, command: str) -> str:
        words = shlex.split(command)
        if words[0] == "cd":
            self._folder /= words[1]
            self._name_the_bucket()
            return ""
        if words[0] != "heap-courier":
            return ""
        environment = {**os.environ, **KEYS, "COLUMNS": "200"}
        out, _ = forked(words[1:], folder=self._folder, environment=environment, merged=True).communicate(120)
        if found := FEED.search(out):
            self._feed = found[0]
        return out

    def write_operations(self, text: str) -> None:
        operations = FEED.sub(self._feed, text) if self._feed and "xxxxxx" not in text else text
        (self._folder / "load-operations" / "heap.json").write_text(operations)

    def _name_the_bucket(self) -> None:
        path = self._folder / "heap-courier.yaml"
        address = f"{heap_bucket.BUCKET}\n    endpoint-url: {self._url}"
        path.write_text(path.read_text().replace("heap-rs3-example", address))


def read_the_guide(text: str, reader: Reader) -> Iterator[tuple[str, str]]:
    """Each block of commands as the guide has it, and as it happens."""
    for kind, block in FENCE.findall(text):
        if kind == "json" and "df-" in block:
            reader.write_operations(block)
        if kind == "console":
            commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
            yield block, "".join(f"$ {command}\n{reader.type(command)}" for command in commands)


def settled(text: str, url: str) -> str:
    text = text.replace(f" at {url}", "")
    for pattern, constant in CHANGING:
        text = pattern.sub(constant, text)
    return text


@pytest.fixture
def bucket(s3: Any) -> str:
    """Four nights of Heap Connect, and one file with a date in its name; the server's address."""
    client = boto3.client(
        "s3",
        endpoint_url=s3,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=heap_bucket.BUCKET)
    nights = heap_bucket.story(Random(2026))
    for night in nights:
        heap_bucket.put(client, heap_bucket.BUCKET, heap_bucket.objects(night, Random(night.dump_id)))
    users = nights[1].tables[0]
    client.put_object(
        Bucket=heap_bucket.BUCKET,
        Key="path/to/users-2026-03-02.avro",
        Body=heap_bucket.avro(users.types, users.rows),
    )
    return str(s3)


def test_what_is_typed_shows_what_the_guide_says(bucket: str, tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    blocks = [(old, settled(new, bucket)) for old, new in read_the_guide(text, Reader(tmp_path, bucket))]
    if os.environ.get("GUIDE") == "new":
        for old, new in blocks:
            text = text.replace(f"```console\n{old}```", f"```console\n{new}```", 1)
        GUIDE.write_text(text, encoding="utf-8")
    assert [settled(old, bucket) for old, _ in blocks] == [new for _, new in blocks]


SETTINGS = {
    name
    for documents in (project_file, entities, feed_file)
    for section in vars(documents).values()
    if isinstance(section, type) and issubclass(section, Section)
    for name in section.setting_names()
}


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_all_that_can_be_set_is_named(key: str) -> None:
    assert re.search(rf"[`.]{re.escape(key)}[`.]|\b{re.escape(key)}: ", GUIDE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_all_content_types_are_named(content_type: str) -> None:
    assert f"`{content_type}`" in GUIDE.read_text(encoding="utf-8")
