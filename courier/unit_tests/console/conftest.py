"""A console for a folder of the test's own, and someone who uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.unit_tests.console.visitor import Visitor, visitor
from heap_courier.project.scaffold import make_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project"


@pytest.fixture
def project(folder: Path) -> Path:
    """A project as `init` makes it."""
    make_project(folder)
    return folder


@pytest.fixture
def visits(folder: Path) -> Visitor:
    return visitor(folder)
