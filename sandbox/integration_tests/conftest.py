from __future__ import annotations

from collections.abc import Iterator

import pytest

from heap_sandbox.server import Sandbox


@pytest.fixture
def heap() -> Iterator[Sandbox]:
    with Sandbox.start() as sandbox:
        yield sandbox
