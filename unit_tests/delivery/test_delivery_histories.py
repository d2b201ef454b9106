"""Whatever Heap responds, each row is settled once, according to the response to its request, or the run stops."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.delivery.batch import Envelope
from destination_heap_analytics.delivery.concurrency import Concurrency
from destination_heap_analytics.delivery.connection_check import preflight_request
from destination_heap_analytics.delivery.delivery import Delivery
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.delivery.job import Job
from destination_heap_analytics.delivery.planner import ROW_FORM, Form, Planner
from destination_heap_analytics.delivery.rate_limits import Pacer
from destination_heap_analytics.delivery.refusals import Probe
from destination_heap_analytics.errors import RowRejectedError, SyncStoppedError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.payload import Payload
from destination_heap_analytics.protocol.checkpoints import Checkpoint

ACCEPTED = Verdict(Kind.ACCEPTED, 200)
REFUSALS = {Kind.REFUSED, Kind.TOO_LARGE, Kind.NO_ACCESS}
VERDICTS = st.sampled_from(
    [
        ACCEPTED,
        Verdict(Kind.REFUSED, 400),
        Verdict(Kind.REFUSED, 403),
        Verdict(Kind.TOO_LARGE, 413),
        Verdict(Kind.NO_ACCESS, 404),
        Verdict(Kind.NOT_HEAP, 302, "a redirect"),
        Verdict(Kind.RETRYABLE, 500),
        Verdict(Kind.RETRYABLE, 503, retry_after=30.0),
        Verdict(Kind.RETRYABLE, 429, retry_after=20.0),
        Verdict(Kind.RETRYABLE, 429),
        Verdict(Kind.RETRYABLE, None, "the request timed out"),
        Verdict(Kind.RETRYABLE, None, "the request could not be sent in time", was_sent=False),
    ]
)


class Heap:
    """Responds to the first requests as scripted, each after a delay; then accepts all requests without a bad row."""

    def __init__(self, script: Sequence[tuple[Verdict, float]], bad: set[int]) -> None:
        self.script = list(script)
        self.bad = bad
        self.accepted: list[int] = []
        self.refused_alone: set[int] = set()

    def answer(self, rows: list[int]) -> tuple[Verdict, float]:
        verdict, seconds = self.script.pop(0) if self.script else (ACCEPTED, 0.1)
        if verdict is ACCEPTED and self.bad & set(rows):
            verdict = Verdict(Kind.REFUSED, 400)
        if verdict is ACCEPTED:
            self.accepted += rows
        elif verdict.kind in REFUSALS and len(rows) == 1:
            self.refused_alone.update(rows)
        return verdict, seconds


class Run:
    """A delivery to this Heap, on its own clock."""

    def __init__(self, heap: Heap, *, bulk: bool) -> None:
        self.heap = heap
        self.now = 0.0
        self.ends: dict[int, bool] = {}
        self._under_way: list[tuple[float, int, Job | Probe, Verdict]] = []
        self._sent = 0
        pacer = Pacer(None, None)
        self.delivery = Delivery(
            planner=Planner(Form(4, merges=False, patience=2.0, jobs=3) if bulk else ROW_FORM, pacer, Concurrency(3)),
            pacer=pacer,
            envelope=Envelope("11", Api.TRACK.endpoint, bulk=bulk),
            preflight=preflight_request(Api.TRACK, "11"),
            base_url="https://heapanalytics.com",
            send=self._send,
            settled=self._settled,
            rng=random.Random(1),
            logger=logging.getLogger("test"),
            now=0.0,
        )

    def _send(self, sent: Job | Probe, _: str, body: bytes, in_flight: int) -> None:
        assert in_flight == len(self._under_way) + 1
        content: dict[str, Any] = json.loads(body)
        elements = content.get("events") or [content]
        rows = [element["properties"]["n"] for element in elements if "n" in element["properties"]]
        verdict, seconds = self.heap.answer(rows)
        self._sent += 1
        self._under_way.append((self.now + seconds, self._sent, sent, verdict))

    def _settled(self, items: Sequence[Payload], rejection: RowRejectedError | None) -> None:
        for item in items:
            assert item.number not in self.ends
            self.ends[item.number] = rejection is None

    def load(self, keys: str) -> None:
        """Rows of these keys, to the end.

        Raises:
            SyncStoppedError: the delivery stopped the run.
        """
        unread = [
            Payload(n, Checkpoint(), None, key, b'{"properties":{"n":%d}}' % n, str(n)) for n, key in enumerate(keys)
        ]
        while unread or not self.delivery.is_idle:
            while unread and self.delivery.has_room:
                self.delivery.take(unread.pop(0), self.now)
            if not unread:
                self.delivery.flush()
            self.delivery.dispatch(self.now)
            due = min([*(answer[0] for answer in self._under_way), self.delivery.wake_at(self.now)])
            assert self.now <= due < 100_000.0, "nothing will ever happen"
            self.now = due
            for answer in sorted(self._under_way, key=lambda answer: answer[:2]):
                if answer[0] <= self.now:
                    self._under_way.remove(answer)
                    self.delivery.handle_response(answer[2], answer[3], self.now)


@given(
    st.lists(st.tuples(VERDICTS, st.sampled_from([0.1, 1.0, 50.0])), max_size=25),
    st.text("abcdef", min_size=1, max_size=14),
    st.sets(st.integers(0, 13), max_size=4),
    st.booleans(),
)
def test_each_row_is_settled_once_by_heaps_response(
    script: list[tuple[Verdict, float]], keys: str, bad: set[int], bulk: bool
) -> None:
    """A delivered row was accepted once, and those of a key in order; a rejected one was refused alone."""
    run = Run(Heap(script, bad), bulk=bulk)
    try:
        run.load(keys)
    except SyncStoppedError:
        assert script
    else:
        assert set(run.ends) == set(range(len(keys)))
    accepted = run.heap.accepted
    for number, is_delivered in run.ends.items():
        assert accepted.count(number) == int(is_delivered)
        assert is_delivered or number in run.heap.refused_alone
    for key in set(keys):
        of_key = [number for number in accepted if keys[number] == key]
        assert of_key == sorted(of_key)
