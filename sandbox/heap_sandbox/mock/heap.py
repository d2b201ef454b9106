"""The state of the mock, which its endpoints share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from heap_sandbox.mock.deletions import Deletions
from heap_sandbox.mock.faults import Faults
from heap_sandbox.mock.limits import Limits
from heap_sandbox.mock.pulse import Pulse
from heap_sandbox.mock.store import Store


@dataclass(frozen=True, slots=True)
class Heap:
    """Everything that the endpoints share.

    Attributes:
        store: What arrived.
        pulse: How much arrived, and when.
        limits: The rates and the other settings.
        app_ids: The only apps that exist; if empty, any digits are accepted.
        now: The time of day.
        timer: Seconds, for durations.
        faults: The active faults.
        deletions: The tokens and responses of the deletion API.
        stopping: Set when the sandbox stops; all waits then end.
    """

    store: Store
    pulse: Pulse
    limits: Limits
    app_ids: AbstractSet[str]
    now: Callable[[], datetime]
    timer: Callable[[], float]
    faults: Faults
    deletions: Deletions
    stopping: asyncio.Event

    async def stopped_within(self, seconds: float) -> bool:
        """Wait, or until the sandbox stops; return whether it does."""
        try:
            return await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return False
