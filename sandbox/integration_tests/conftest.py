from __future__ import annotations

from collections.abc import Iterator

import pytest

from heap_sandbox.page import live
from heap_sandbox.server import Sandbox


@pytest.fixture
def heap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose page learns of changes sooner than a person needs."""
    monkeypatch.setattr(live, "_PAUSE", 0.05)
    with Sandbox.start() as sandbox:
        yield sandbox
