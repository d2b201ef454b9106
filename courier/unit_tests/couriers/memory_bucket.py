"""A bucket in memory instead of S3; test_filesets.py checks that both behave the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from heap_courier.errors import UnreadableFileError
from heap_courier.files.bucket import Object
from heap_courier.project.model import Courier

WRITTEN = datetime(2026, 11, 20, tzinfo=timezone.utc)


class MemoryBucket:
    """Objects by key, and when they were written. `on_fetch` is called before each fetch or read."""

    def __init__(self, courier: Courier, objects: dict[str, bytes], written: dict[str, datetime] | None = None) -> None:
        self.courier = courier
        self.objects = objects
        self.written = {} if written is None else written
        self.on_fetch: Callable[[str], None] = lambda _key: None

    def __str__(self) -> str:
        return "the bucket `heap`"

    def list(self, prefix: str = "") -> Iterator[Object]:
        beginning = self.courier.prefix + prefix
        for key, content in sorted(self.objects.items()):
            if key.startswith(beginning):
                written = self.written.get(key, WRITTEN)
                yield Object(key.removeprefix(self.courier.prefix), len(content), f"{hash(content)}", written)

    def probe(self, key: str) -> None:
        if self.courier.prefix + key not in self.objects:
            raise UnreadableFileError(f"The file `{key}` of {self} is no longer in the bucket: run the courier again.")

    def read(self, key: str) -> bytes:
        self.on_fetch(key)
        self.probe(key)
        return self.objects[self.courier.prefix + key]

    def fetch(self, item: Object | str, to: Path, progress: Callable[[int], None] = lambda _bytes: None) -> None:
        content = self.read(item if isinstance(item, str) else item.key)
        to.write_bytes(content)
        progress(len(content))
