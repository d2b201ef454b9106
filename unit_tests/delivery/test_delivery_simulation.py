"""Many events in virtual time: in order, as fast as Heap's rates allow, and never faster.

One thread, no clock: the real planner and delivery send to a Heap that lives in a queue of what happens next. It counts
its windows when a request arrives, somewhere between sending and answer, with independent code.
"""

from __future__ import annotations

import heapq
import json
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import orjson
import pytest

from destination_heap_analytics.delivery.batch import Envelope
from destination_heap_analytics.delivery.concurrency import Concurrency
from destination_heap_analytics.delivery.connection_check import preflight_request
from destination_heap_analytics.delivery.delivery import Delivery
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.delivery.job import Job
from destination_heap_analytics.delivery.planner import ROW_FORM, SET_ASIDE_ROWS, Planner, bulk_form
from destination_heap_analytics.delivery.rate_limits import Pacer
from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.heap_api import Api, Rate
from destination_heap_analytics.mapping.payload import Payload
from destination_heap_analytics.protocol.checkpoints import Checkpoints
from destination_heap_analytics.protocol.messages import State, parse_line

MINUTE: Final = 60.0
ROWS_PER_STATE: Final = 10_000

ACCEPTED = Verdict(Kind.ACCEPTED, 200)
OVERLOADED = Verdict(Kind.RETRYABLE, 503)
THROTTLED = Verdict(Kind.RETRYABLE, 429)


class Window:
    """At most `most` of each name within any `seconds`, counted when they arrive."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self.counts: Counter[str] = Counter()
        self._arrivals: deque[tuple[float, Mapping[str, int]]] = deque()

    def takes(self, shares: Mapping[str, int], now: float) -> bool:
        """Whether the window has room for all of them."""
        while self._arrivals and self._arrivals[0][0] <= now - self.seconds:
            for name, count in self._arrivals.popleft()[1].items():
                self.counts[name] -= count
                if not self.counts[name]:
                    del self.counts[name]
        return all(self.counts[name] + count <= self.most for name, count in shares.items())

    def count(self, shares: Mapping[str, int], now: float) -> None:
        self._arrivals.append((now, shares))
        for name, count in shares.items():
            self.counts[name] += count


class Heap:
    """Accepts events, each once by its idempotency key, and returns 429 if one of its rates is exceeded.

    Of the requests that are within the rates, every `failing`th gets a 503; none if that is 0.
    """

    def __init__(self, identity: Window, rng: random.Random, *, failing: int) -> None:
        self.app = Window(15_000, 60)
        self.identity = identity
        self.statuses: Counter[int | None] = Counter()
        self.failed: Counter[str] = Counter()
        self.taken = bytearray()
        self.arrived: Counter[int] = Counter()
        self._last: dict[str, int] = {}
        self._rng = rng
        self._failing = failing
        self._within_rates = 0

    def arrive(self, body: bytes, now: float) -> Verdict:
        content = orjson.loads(body)
        events = content.get("events") or [content]
        verdict = self._verdict([event["identity"] for event in events], now)
        self.statuses[verdict.status] += 1
        return verdict if verdict is THROTTLED else self._stored(events, verdict, now)

    def _verdict(self, identities: Sequence[str], now: float) -> Verdict:
        shares = ((self.app, {"": len(identities)}), (self.identity, Counter(identities)))
        if not all(window.takes(counts, now) for window, counts in shares):
            return THROTTLED
        for window, counts in shares:
            window.count(counts, now)
        self._within_rates += 1
        if not self._failing or self._within_rates % self._failing:
            return ACCEPTED
        self.failed.update(identities)
        return OVERLOADED

    def _stored(self, events: Sequence[Mapping[str, Any]], verdict: Verdict, now: float) -> Verdict:
        """Half of the failures occur after the events were stored, as if the response had been lost."""
        if verdict is OVERLOADED and self._rng.random() < 0.5:
            return verdict
        if len(self.taken) <= (most := max(event["n"] for event in events)):
            self.taken.extend(bytes(most + 1000))
        for event in events:
            number, identity = event["n"], event["identity"]
            if not self.taken[number]:
                assert number > self._last.get(identity, 0), "a row has overtaken another of its identity"
                self.taken[number] = 1
                self._last[identity] = number
        self.arrived[int(now // MINUTE)] += len(events)
        return verdict


class Simulation:
    """A run of the delivery over rows with these keys, from a source that always has the next one ready."""

    def __init__(self, keys: Iterator[str], *, bulk: bool = True, failing: int = 0) -> None:
        self.now = 0.0
        self.read = 0
        self.most_inside = 0
        self.states: list[float] = []
        self._keys = keys
        self._rng = random.Random(2)
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._sent = 0
        self._settled_rows = 0
        endpoint = Api.TRACK.endpoint
        rate = endpoint.bulk_rate if bulk else endpoint.single_rate
        assert rate
        self.heap = Heap(Window(rate.count, rate.seconds), self._rng, failing=failing)
        self.pacer = Pacer(Rate(15_000, 60), rate)
        self._checkpoints = Checkpoints(lambda *_: True)
        self._delivery = Delivery(
            planner=Planner(bulk_form(merges=False) if bulk else ROW_FORM, self.pacer, Concurrency(16 if bulk else 64)),
            pacer=self.pacer,
            envelope=Envelope("11", endpoint, bulk=bulk),
            preflight=preflight_request(Api.TRACK, "11"),
            base_url="https://heapanalytics.com",
            send=self._send,
            settled=self._settled,
            rng=self._rng,
            logger=logging.getLogger("simulation"),
            now=0.0,
        )

    @property
    def minutes(self) -> float:
        return self.now / MINUTE

    @property
    def longest_gap(self) -> float:
        """Minutes between two states, or between the last one and the end."""
        times = [0.0, *self.states, self.now]
        return max(later - earlier for earlier, later in pairwise(times)) / MINUTE

    def run(self) -> Simulation:
        """As in the loop of sync.py."""
        is_reading = True
        while True:
            while self._coming and self._coming[0][0] <= self.now:
                heapq.heappop(self._coming)[2]()
            self._delivery.dispatch(self.now)
            self.states.extend(self.now for _ in self._checkpoints.due())
            if is_reading and self._delivery.has_room:
                if not self._read():
                    is_reading = False
                    self._delivery.flush()
                continue
            if not is_reading and self._delivery.is_idle:
                break
            following = self._delivery.wake_at(self.now)
            if self._coming:
                following = min(following, self._coming[0][0])
            assert self.now < following < float("inf"), "the run turns in a circle, or stands still"
            self.now = following
        assert self._settled_rows == self.read == sum(self.heap.taken)
        return self

    def at(self, time: float, happens: Callable[[], None]) -> None:
        self._sent += 1
        heapq.heappush(self._coming, (time, self._sent, happens))

    def _read(self) -> bool:
        """Read rows while there is room. Returns whether there may be more."""
        delivery, checkpoints, now = self._delivery, self._checkpoints, self.now
        number = self.read
        has_more = False
        for key in self._keys:
            number += 1
            body = b'{"identity":"%b","n":%d}' % (key.encode(), number)
            delivery.take(Payload(number, checkpoints.row_read(), None, key, body, str(number)), now)
            if not number % ROWS_PER_STATE:
                checkpoints.state_read(state(number))
            if not delivery.has_room:
                has_more = True
                break
        self.read = number
        self.most_inside = max(self.most_inside, number - self._settled_rows)
        return has_more

    def _send(self, job: Job, _: str, body: bytes, __: int) -> None:
        latency = self._rng.uniform(0.05, 0.5)
        answered_at = self.now + latency

        def arrives() -> None:
            verdict = self.heap.arrive(body, self.now)
            self.at(answered_at, lambda: self._delivery.handle_response(job, verdict, self.now))

        self.at(self.now + self._rng.uniform(0.0, latency), arrives)

    def _settled(self, items: Sequence[Payload], rejection: RowRejectedError | None) -> None:
        assert rejection is None
        self._settled_rows += len(items)
        for item in items:
            item.checkpoint.settle(delivered=True)


def state(number: int) -> State:
    message = parse_line(json.dumps({"type": "STATE", "state": {"type": "GLOBAL"}, "id": number}).encode(), 1)
    assert isinstance(message, State)
    return message


def identities(events: int, hot: Mapping[str, float], others: int = 100_000) -> Iterator[str]:
    """Identities of events: each hot one has its share of them, and the others have equal shares of the rest."""
    rng = random.Random(3)
    names = [f"user{number}" for number in range(others)]
    border = 0.0
    borders = []
    for name, part in hot.items():
        border += part
        borders.append((border, name))
    for number in range(events):
        drawn = rng.random()
        if drawn >= border:
            yield names[number % others]
        else:
            yield next(name for limit, name in borders if drawn < limit)


sizes = pytest.mark.parametrize(
    ("events", "failing"), [(200_000, 100), pytest.param(1_000_000, 500, marks=pytest.mark.thorough)]
)
"""How many events, and of how many requests Heap fails one."""


@sizes
def test_many_events_take_hardly_longer_than_heaps_rates_require(events: int, failing: int) -> None:
    """Also with an identity that needs nearly its whole limit; failed requests take their share as well."""
    run = Simulation(identities(events, {"hot": 0.06}), failing=failing).run()
    assert run.heap.statuses[429] == 0
    assert run.heap.statuses[503] > 0
    assert run.minutes <= 1.02 * (events + run.heap.failed.total()) / 15_000
    assert run.longest_gap <= 3
    assert run.most_inside <= SET_ASIDE_ROWS


@sizes
def test_an_identity_with_a_third_of_all_events_is_sent_at_its_full_rate(events: int, failing: int) -> None:
    """It alone limits the run; states are returned continually, and what waits for it stays within bounds."""
    run = Simulation(identities(events, {"hot": 0.3}), failing=failing).run()
    assert run.heap.statuses[429] == 0
    assert run.heap.statuses[503] > 0
    assert run.minutes <= 1.03 * (0.3 * events + run.heap.failed["hot"]) / 1000
    assert run.longest_gap <= 15
    assert run.most_inside <= SET_ASIDE_ROWS


def test_single_requests_of_hot_identities_keep_within_their_own_rate() -> None:
    """Thirty in thirty seconds, plus a second, for each; the busiest sets the pace, and others do not slow it down."""
    keys = list(identities(10_000, {"a": 0.02, "b": 0.03, "c": 0.04}))
    run = Simulation(iter(keys), bulk=False, failing=500).run()
    assert run.heap.statuses[429] == 0
    assert run.heap.statuses[503] > 0
    assert run.minutes <= 1.1 * keys.count("c") / 60
    assert run.most_inside <= SET_ASIDE_ROWS


def test_if_another_sender_shares_the_rate_nothing_is_lost_and_the_rate_recovers() -> None:
    """Heap returns 429 from time to time, and has all rows in the end."""
    run = Simulation(identities(180_000, {"hot": 0.03}))
    for second in range(120, 360):
        run.at(float(second), lambda: run.heap.app.count({"": 100}, run.now))
    run.run()
    assert 0 < run.heap.statuses[429] < 60
    assert run.pacer.app_limit == 15_000
    *_, last_full_minute, _ = (run.heap.arrived[minute] for minute in range(int(run.minutes) + 1))
    assert last_full_minute >= 14_000
