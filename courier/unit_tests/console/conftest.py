"""A console for a temporary folder, and a client that uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.unit_tests.console.visitor import Visitor, visitor
from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.console.editing import pattern_matches
from heap_courier.couriers import check, run, samples
from heap_courier.project.model import Courier, DefaultCredential
from heap_courier.project.scaffold import make_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project"


@pytest.fixture
def project(folder: Path) -> Path:
    """A project as `init` creates it."""
    make_project(folder)
    return folder


@pytest.fixture
def visits(folder: Path) -> Visitor:
    return visitor(folder)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryBucket:
    """The bucket of every courier."""
    courier = Courier("Heap", DefaultCredential(), "heap", "", None, None, Path("e"), Path("o"))
    memory = MemoryBucket(courier, {})
    for module in (run, samples, check, pattern_matches):
        monkeypatch.setattr(module, "Bucket", lambda _courier, _environment, **_how: memory)
    return memory
