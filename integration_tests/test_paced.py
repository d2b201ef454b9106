"""A run of minutes in seconds: the connector's clock and the sandbox's windows run equally fast."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.delivery.http.client import HeapClient
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.messages import EchoedState, parse_line
from destination_heap_analytics.run.clock import Clock
from destination_heap_analytics.run.delivery_setup import MOST_BULK
from destination_heap_analytics.run.event_queue import EventQueue
from destination_heap_analytics.run.sync import Sync
from heap_sandbox.server import Sandbox

ROWS_PER_BLOCK = 1000
API = {
    "api_type": "track",
    "property_columns": "n",
    "event_column": "event",
    "identity_column": "email",
    "timestamp_column": "at",
}


def blocks(emails: list[str]) -> Iterator[tuple[list[bytes], int]]:
    """Lines of standard input, with a state after each block of rows."""
    for first in range(0, len(emails), ROWS_PER_BLOCK):
        lines = []
        for number, email in enumerate(emails[first : first + ROWS_PER_BLOCK], first):
            data = {"email": email, "event": "seen", "at": 1_700_000_000 + number, "n": number}
            lines.append(json.dumps({"type": "RECORD", "record": {"stream": "visits", "data": data, "emitted_at": 1}}))
        lines.append(json.dumps({"type": "STATE", "state": {"type": "GLOBAL"}, "id": first}))
        yield [line.encode() for line in lines], sum(map(len, lines))


@pytest.mark.parametrize(
    ("speed", "events", "part"),
    [
        (60, 10_000, 0.3),  # limited by the identity's rate
        (10, 25_000, 0.06),  # by the app's: even a slow machine sends 15,000 events in six seconds
    ],
)
def test_heaps_rates_are_kept_by_a_run_of_many_threads(speed: int, events: int, part: float) -> None:
    """No 429, every event once, in order even for an identity that is skipped repeatedly, and every state returned."""
    rng = random.Random(1)
    emails = ["hot" if rng.random() < part else f"user{rng.randrange(20_000)}" for _ in range(events)]
    queue: EventQueue[bytes] = EventQueue()
    with Sandbox.start(rate_limits=True, scale=speed) as heap:
        config = {"app_id": "11", "base_url": heap.url, "api": API, "delivery": {"mode": "bulk"}}
        sync = Sync(
            parse_config(config).settings,
            Stream("visits", None, "incremental", "append", (), {}),
            HeapClient(heap.url, connections=MOST_BULK),
            None,
            events=queue,
            parse=parse_line,
            logger=logging.getLogger("test"),
            clock=Clock(speed),
            rng=rng,
            random_text="r",
        )
        queue.read(blocks(emails))
        states = [message for message in sync.run() if isinstance(message, EchoedState)]
        assert {request["status"] for request in heap.requests()} == {200}
        arrived = [(event["identity"], event["properties"]["n"]) for event in heap.events()]
    assert sorted(arrived, key=lambda event: event[1]) == [(email, n) for n, email in enumerate(emails)]
    hot = [number for email, number in arrived if email == "hot"]
    assert hot == sorted(hot)
    assert [json.loads(state.line)["id"] for state in states] == list(range(0, events, ROWS_PER_BLOCK))
