"""Decides which rows are sent to Heap, and when. Pure: no I/O and no waiting; `now` is passed in, in seconds.

Rows are added to the open batch in the order read. A row whose key (identity or account) is in a request in flight, or
whose key has used up its rate window, is set aside with all later rows of that key: they wait in a lane of their own,
and come first once the key is free. So rows with the same key reach Heap in order without blocking others, until so
many are waiting that reading has to pause.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from typing import Final

from destination_heap_analytics.delivery.batch import OpenBatch, halves
from destination_heap_analytics.delivery.concurrency import Concurrency
from destination_heap_analytics.delivery.decision import History
from destination_heap_analytics.delivery.job import Job
from destination_heap_analytics.delivery.rate_limits import Pacer, counter_of
from destination_heap_analytics.delivery.waiting import Cause
from destination_heap_analytics.heap_api import MAX_BULK
from destination_heap_analytics.mapping.payload import Payload, Payloads

SET_ASIDE_ROWS: Final = 10_000
SET_ASIDE_BYTES: Final = 32 * 1024 * 1024
SET_ASIDE_SECONDS: Final = 300.0
"""Reading pauses at these limits of rows set aside: memory and timely states matter more than fairness. One key may
have as many rows waiting as its rate window allows in that many seconds."""

UNDER_WAY_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of rows in flight or waiting for a retry; beyond, no new request is sent."""

_LEAST_SHARE: Final = 10
"""A batch is cut to the room in the app's window, but not below this fraction (1/10) of a full batch."""

_NEVER: Final = float("inf")

Lane = deque[tuple[float, Payload]]
"""Rows of one key that were set aside, in order, each with its arrival time."""


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are put into requests.

    Attributes:
        rows: the most elements in a request.
        merges: whether all rows with the same key are one element.
        patience: how many seconds a row waits for others to fill its batch.
        jobs: the most unfinished jobs, including those waiting for a retry.
    """

    rows: int
    merges: bool
    patience: float
    jobs: int


def bulk_form(*, merges: bool, most: int = MAX_BULK) -> Form:
    """Requests with up to `most` elements."""
    return Form(rows=most, merges=merges, patience=2.0, jobs=24)


ROW_FORM: Final = Form(rows=1, merges=False, patience=0.0, jobs=1000)
"""One request per row."""


class Planner:
    """The rows of a run that are neither delivered nor rejected.

    Attributes:
        has_room: whether more rows can be accepted.
        in_flight: the number of requests that have no response yet.
        jobs: the number of unfinished jobs, including those waiting for a retry.
        serial: the number of requests sent so far.
        flushes: whether rows are sent without waiting for a full batch, because no more will come.
    """

    def __init__(self, form: Form, pacer: Pacer, concurrency: Concurrency) -> None:
        self.has_room = True
        self.in_flight = 0
        self.jobs = 0
        self.flushes = False
        self.concurrency = concurrency
        self._form = form
        self._pacer = pacer
        self._open = OpenBatch(form.rows, merges=form.merges)
        self._busy: set[str] = set()
        self._waiting: list[Job] = []
        self._under_way_bytes = 0
        self._resumes_at = -_NEVER
        self._lanes: dict[str, Lane] = {}
        self._lane_rows = 0
        self._lane_bytes = 0
        self._longest_lane = pacer.rows_within(SET_ASIDE_SECONDS)
        self._long_lanes = 0
        self._ready: deque[str] = deque()
        self._sleeping: dict[int, dict[str, None]] = {}
        self._last = sys.maxsize
        self._is_starved = False
        self._is_promised = False
        self.serial = 0

    def offer(self, item: Payload, now: float) -> bool:
        """Accept a row. Returns whether there is room for another."""
        key = item.key
        if key in self._lanes or key in self._busy:
            self._set_aside(item, now)
        elif self._pacer.counts_keys and not self._pacer.reserve(key):
            self._sleep(key)
            self._set_aside(item, now)
        else:
            self._open.add(item, now)
            if self._open.is_full:
                self.has_room = False
        return self.has_room

    def offer_all(self, items: Payloads, now: float) -> bool:
        """Accept several rows. Returns whether there is room for another."""
        are_free = self._busy.isdisjoint(items.keys) and self._lanes.keys().isdisjoint(items.keys)
        if are_free and self._pacer.reserve_all(items.keys):
            self._open.extend(items, now)
            if self._open.is_full:
                self.has_room = False
        else:
            for item in items:
                self.offer(item, now)
        return self.has_room

    @property
    def room(self) -> int:
        """How many more rows fit into the open batch; at least one."""
        return self._open.room

    def next(self, now: float) -> Job | None:
        """The next request to send now; call it until it returns None."""
        freed = self._pacer.expire(now)
        for counter in self._sleeping.keys() & freed:
            self._ready.extend(self._sleeping.pop(counter))
        self._is_starved = self._is_promised = False
        may_go = not self.is_held(now) and self.in_flight < self.concurrency.limit
        if may_go and (job := self._next_again(now)):
            return job
        self._open.limit(self._most)
        self._refill()
        self._look_for_room()
        is_full = self.jobs >= self._form.jobs or self._under_way_bytes >= UNDER_WAY_BYTES
        return self._next_new(now) if may_go and not self._is_promised and not is_full else None

    def hold(self, until: float) -> None:
        """Send nothing before then: Heap has asked for a pause of the whole app."""
        self._resumes_at = max(self._resumes_at, until)

    def is_held(self, now: float) -> bool:
        """Whether nothing may be sent now because Heap has asked for a pause."""
        return now < self._resumes_at

    def completed(self, job: Job, now: float) -> None:
        """A request got a response or failed. A call of `retry`, `split` or `part_done` follows."""
        self.in_flight -= 1
        self._pacer.completed(len(job.items), job.items.keys, job.sent_at, now)

    def retry(self, job: Job, due_at: float, history: History) -> None:
        """Send the current part again."""
        job.due_at, job.history = due_at, history
        self._again(job)

    def split(self, job: Job, now: float, *, is_suspect: bool = False) -> None:
        """Send the current part in smaller requests."""
        job.parts[-1:] = reversed(halves(job.items))
        self._next_part(job, now, History(is_suspect=is_suspect or job.history.is_suspect))

    def part_done(self, job: Job, now: float) -> None:
        """The rows of the current part are settled; continue with the next part."""
        job.parts.pop()
        self._next_part(job, now, History(is_suspect=job.history.is_suspect))

    def _next_part(self, job: Job, now: float, history: History) -> None:
        job.due_at, job.history = now, history
        self._again(job)

    def _again(self, job: Job) -> None:
        job.parts = [rows for part in job.parts if (rows := part.up_to(self._last))]
        if job.parts:
            self._waiting.append(job)
        else:
            self._done(job)

    def lost(self) -> None:
        """A request got a response while the run is stopping; its job is not continued."""
        self.in_flight -= 1

    def next_serial(self) -> int:
        """Count one more request, and return its number."""
        self.serial += 1
        return self.serial

    def _done(self, job: Job) -> None:
        """All rows of the job are settled, and their keys are free."""
        self.jobs -= 1
        self._under_way_bytes -= job.kept
        self._busy.difference_update(job.keys)
        if self._lanes:
            self._ready.extend(key for key in dict.fromkeys(job.keys) if key in self._lanes)

    def drop_after(self, number: int) -> None:
        """Drop the rows read after this one, except those in flight."""
        self._last = number
        kept = self._open.items.up_to(number)
        self._pacer.give_back(item.key for item in self._open.items if item.number > number)
        self._open.hold(kept, self._open.since if kept else _NEVER)
        for key, lane in list(self._lanes.items()):
            while lane and lane[-1][1].number > number:
                self._left(lane, lane.pop()[1])
            if not lane:
                del self._lanes[key]
        for keys in self._sleeping.values():  # returning shares does not wake them
            self._ready.extend(keys)
        self._sleeping.clear()
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            self._again(job)

    @property
    def is_idle(self) -> bool:
        """Whether every row is settled."""
        return not (self._open.items or self._lanes or self.jobs)

    def wake_at(self, now: float) -> float:
        """When something may be sent next if no response arrives before; infinity if nothing may."""
        times = [job.due_at for job in self._waiting]
        times.append(self._open.since + self._form.patience)
        if self._is_starved or self._sleeping:
            times.append(self._pacer.opens_at)
        if self.is_held(now):
            return self._resumes_at
        return min((time for time in times if time > now), default=_NEVER)

    def cause(self, now: float) -> Cause | None:
        """Why nothing can be sent; call it after `next` has returned None. None if there is nothing to send."""
        if self.is_held(now):
            return Cause.PAUSE
        if self._is_starved:
            return Cause.APP_RATE
        if self._sleeping and not self._open.items:
            return Cause.KEY_RATE
        if self.retries_at(now) is not None:
            return Cause.RETRY
        return Cause.RESPONSES if self.in_flight else None

    def retries_at(self, now: float) -> float | None:
        """When the next failed request is retried; None if none is waiting."""
        return min((job.due_at for job in self._waiting if job.failures and job.due_at > now), default=None)

    @property
    def resumes_at(self) -> float:
        """When the pause that Heap has asked for ends."""
        return self._resumes_at

    def _next_again(self, now: float) -> Job | None:
        """A request that is retried, or the next part of one."""
        for position, job in enumerate(self._waiting):
            if job.due_at > now:
                continue
            if not self._pacer.app_has_room_for(len(job.items)):
                self._is_starved = self._is_promised = True  # this request has a claim on the next room
                return None
            if self._pacer.reserve_all(job.items.keys):
                del self._waiting[position]
                return self._sent(job, now)
            self._is_starved = True
        return None

    def _next_new(self, now: float) -> Job | None:
        if not self._open.items or not (
            self.flushes or self._open.is_full or now >= self._open.since + self._form.patience
        ):
            return None
        count = self._count_to_send()
        if not count:
            self._is_starved = True
            return None
        items, rest = self._open.items[:count], self._open.items[count:]
        job = Job([items], items.keys, items.kept)
        self._under_way_bytes += job.kept
        self._busy.update(job.keys)
        self.jobs += 1
        self._keep_open(rest)
        return self._sent(job, now)

    def _sent(self, job: Job, now: float) -> Job:
        """A request is sent now."""
        self.in_flight += 1
        self.concurrency.sending(self.in_flight, now)
        self._pacer.sent(len(job.items), now)
        job.sent_at, job.serial = now, self.next_serial()
        return job

    @property
    def _most(self) -> int:
        """The most elements in a request now: a reduced rate may allow fewer than the API."""
        return min(self._form.rows, self._pacer.app_limit)

    def _count_to_send(self) -> int:
        """How many rows of the open batch fit into one request now."""
        room, most = self._pacer.app_room, self._most
        if len(self._open.items) > room:
            if room < max(1, most // _LEAST_SHARE):
                return 0
            most = min(most, room)
        return self._open.count(most)

    def _keep_open(self, rest: Payloads) -> None:
        """Keep the rows that did not fit; those whose key is in the request are set aside."""
        since = self._open.since
        if self._busy.isdisjoint(rest.keys):
            self._open.hold(rest, since if rest else _NEVER)
            return
        stay: list[Payload] = []
        for item in reversed(rest):
            if item.key in self._busy:
                self._pacer.give_back([item.key])
                self._set_aside(item, since, first=True)
            else:
                stay.append(item)
        stay.reverse()
        self._open.hold(Payloads.of(stay), since if stay else _NEVER)

    def _set_aside(self, item: Payload, since: float, *, first: bool = False) -> None:
        lane = self._lanes.get(item.key)
        if lane is None:
            lane = self._lanes[item.key] = deque()
        if first:
            lane.appendleft((since, item))
        else:
            lane.append((since, item))
        self._lane_rows += 1
        self._lane_bytes += item.kept
        self._long_lanes += len(lane) == self._longest_lane
        self._look_for_room()

    def _left(self, lane: Lane, item: Payload) -> None:
        """A row leaves its lane."""
        self._lane_rows -= 1
        self._lane_bytes -= item.kept
        self._long_lanes -= len(lane) == self._longest_lane - 1

    def _sleep(self, key: str) -> None:
        self._sleeping.setdefault(counter_of(key), {})[key] = None

    def _refill(self) -> None:
        """Fill the open batch with rows that were set aside and whose keys are free.

        Keys take turns, one row each, so that two keys that share a counter get equal shares.
        """
        while self._ready and not self._open.is_full:
            key = self._ready.popleft()
            lane = self._lanes.get(key)
            if lane is None or key in self._busy:
                continue  # `_done` makes it ready again
            if not self._pacer.reserve(key):
                self._sleep(key)
                continue
            since, item = lane.popleft()
            self._left(lane, item)
            self._open.add(item, since)
            if lane:
                self._ready.append(key)
            else:
                del self._lanes[key]

    def _look_for_room(self) -> None:
        self.has_room = not (
            self._open.is_full
            or self._long_lanes
            or self._lane_rows >= SET_ASIDE_ROWS
            or self._lane_bytes >= SET_ASIDE_BYTES
        )
