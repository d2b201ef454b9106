"""Sends rows to Heap, and carries out what is decided about them.

planner.py decides which request is sent when, decision.py what a response means, and refusals.py whether a refused row
or the setup is wrong.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from destination_heap_analytics.delivery.batch import Envelope
from destination_heap_analytics.delivery.connection_check import explain
from destination_heap_analytics.delivery.decision import Attempt, Deliver, Reject, Retry, RunSoFar, Split, Stop, decide
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.delivery.job import Job
from destination_heap_analytics.delivery.planner import Planner
from destination_heap_analytics.delivery.rate_limits import Pacer
from destination_heap_analytics.delivery.refusals import Probe, Refusals, Refused
from destination_heap_analytics.delivery.waiting import RESPONSES, Cause, Wait
from destination_heap_analytics.errors import ConfigError, RowRejectedError, SyncStoppedError, TransientError
from destination_heap_analytics.mapping.payload import Payload

_LOG_SECONDS: Final = 60.0

Settled = Callable[[Sequence[Payload], RowRejectedError | None], None]
"""Called with rows when they are settled, and the rejection; None if Heap has accepted them."""

Send = Callable[[Job | Probe, str, bytes, int], None]
"""Posts a request: its job or probe, path, body, and the number in flight including it. The response arrives later."""


class Delivery:
    """The rows of one run, from the mapping until they are settled.

    Attributes:
        take: accepts a row and the time it was read, and returns whether there is room for another.
        take_all: the same for several rows in order.
    """

    def __init__(
        self,
        *,
        planner: Planner,
        pacer: Pacer,
        envelope: Envelope,
        preflight: tuple[str, bytes],
        base_url: str,
        send: Send,
        settled: Settled,
        rng: random.Random,
        logger: logging.Logger,
        now: float,
    ) -> None:
        self.take = planner.offer
        self.take_all = planner.offer_all
        self._planner = planner
        self._pacer = pacer
        self._envelope = envelope
        self._preflight = preflight
        self._base_url = base_url
        self._send = send
        self._settled = settled
        self._rng = rng
        self._logger = logger
        self._run = RunSoFar(is_reached=False, delivered_at=now)
        self._refusals = Refusals(now)
        self._logged_at: dict[str, float] = {}

    @property
    def has_room(self) -> bool:
        """Whether more rows can be accepted."""
        return self._planner.has_room and self._refusals.has_room

    @property
    def room(self) -> int:
        """How many rows can be accepted in one call; at least one (check `has_room` first)."""
        return self._planner.room

    @property
    def in_flight(self) -> int:
        """The number of requests that have no response yet."""
        return self._planner.in_flight + (1 if self._refusals.probe and self._refusals.probe.is_in_flight else 0)

    @property
    def is_idle(self) -> bool:
        """Whether every row is delivered or rejected."""
        return self._planner.is_idle and self._refusals.is_empty

    def flush(self) -> None:
        """Send the remaining rows without waiting for full batches: no more rows will come."""
        self._planner.flushes = True

    def drop_after(self, number: int) -> None:
        """Drop the rows read after this one that have not been sent; no more will come."""
        self._planner.drop_after(number)
        self.flush()

    def dispatch(self, now: float) -> None:
        """Send everything that may be sent now."""
        probe = self._refusals.due(now, is_idle=self._planner.is_idle)
        if probe and not self._planner.is_held(now):
            probe.is_in_flight, probe.sent_at, probe.serial = True, now, self._planner.next_serial()
            self._send(probe, *self._preflight, self.in_flight)
        if self._refusals.holds_all:
            return  # until the probe shows whether the setup is right
        while job := self._planner.next(now):
            self._send(job, self._envelope.path, self._envelope.body(job.items), self.in_flight)

    def wake_at(self, now: float) -> float:
        """When something can next be sent if no response arrives before; infinity if nothing can."""
        return min(self._planner.wake_at(now), self._refusals.wake_at(now))

    def wait(self, now: float) -> Wait | None:
        """What keeps rows from being sent; call it after `dispatch`. None if there are no rows to send."""
        match self._planner.cause(now):
            case Cause.PAUSE:
                return Wait("the pause that Heap's Retry-After header asks for", self._planner.resumes_at)
            case Cause.RETRY:
                return Wait("the next retry of a failed request", self._planner.retries_at(now))
            case Cause.APP_RATE:
                return Wait(self._pacer.app_words, rate=self._pacer.app_limit / 60)
            case Cause.KEY_RATE:
                return Wait(self._pacer.key_words)
            case Cause.RESPONSES:
                return RESPONSES
        return None

    def handle_response(self, sent: Job | Probe, verdict: Verdict, now: float) -> None:
        """A request got a response, or none in time.

        Raises:
            ConfigError: the server is not Heap, or Heap does not accept this app.
            TransientError: Heap or the network has been unavailable for too long.
        """
        if verdict.kind is Kind.RETRYABLE:
            self._planner.concurrency.congested(sent.sent_at, now)
            if verdict.status == HTTPStatus.TOO_MANY_REQUESTS:
                self._pacer.throttled(sent.sent_at, now)
        if isinstance(sent, Probe):
            self._probed(sent, verdict, now)
        else:
            self._planner.completed(sent, now)
            self._settle(sent, verdict, now)

    def wound_down(self, sent: Job | Probe, verdict: Verdict) -> None:
        """Handle a response while the run is stopping: accepted rows count as delivered, all others stay unsettled."""
        if isinstance(sent, Probe):
            sent.is_in_flight = False
            return
        self._planner.lost()
        if verdict.kind is Kind.ACCEPTED:
            self._settled(sent.items, None)

    def _settle(self, job: Job, verdict: Verdict, now: float) -> None:
        rows = len(job.items)
        if verdict.is_refusal and not (verdict.kind is Kind.TOO_LARGE and rows > 1):
            self._refusals.count(job.items[0].number)
        match decide(verdict, Attempt(rows, job.history), self._run, now, self._rng):
            case Deliver():
                self._accepted(job.serial)
                self._run = RunSoFar(is_reached=True, delivered_at=now)
                self._settled(job.items, None)
                self._planner.part_done(job, now)
            case Retry(at, history) as retry:
                self._pause(verdict, retry, now)
                self._planner.retry(job, at, history)
            case Split(is_suspect):
                self._planner.split(job, now, is_suspect=is_suspect)
            case Reject(rejection):
                self._refusals.hold(Refused(job.items[0], rejection, now, self._planner.serial))
                self._planner.part_done(job, now)
            case Stop() as stop:
                raise self._stopped(f"at row {job.items[0].number}", verdict, stop)

    def _probed(self, probe: Probe, verdict: Verdict, now: float) -> None:
        probe.is_in_flight = False
        match decide(verdict, Attempt(0, probe.history), self._run, now, self._rng):
            case Deliver():
                self._refusals.probe = None
                self._accepted(probe.serial)
                self._run = replace(self._run, is_reached=True)
            case Retry(at, history) as retry:
                self._pause(verdict, retry, now)
                probe.due_at, probe.history = at, history
            case Stop() as stop:
                raise self._stopped(f"after row {self._refusals.last_row} was refused", verdict, stop)

    def _accepted(self, serial: int) -> None:
        for refused in self._refusals.accepted(serial):
            self._settled([refused.item], refused.rejection)

    def _pause(self, verdict: Verdict, retry: Retry, now: float) -> None:
        if retry.holds_until is not None:
            self._planner.hold(retry.holds_until)
        if verdict.kind is Kind.RETRYABLE:
            self._log(verdict, now)

    def _stopped(self, where: str, verdict: Verdict, stop: Stop) -> SyncStoppedError:
        if stop.is_poison:
            return TransientError(
                f"The sync stopped {where}: Heap repeatedly returned 500 Internal Server Error for this row, but "
                "accepted others. Remove the row from the source, or contact Heap's support."
            )
        error = TransientError if verdict.kind is Kind.RETRYABLE else ConfigError
        sentence = explain(verdict, self._base_url, reached=self._run.is_reached)
        if stop.asked is not None:
            sentence += f" Its Retry-After header asks clients to wait {-(-stop.asked // 60):,.0f} minutes."
        return error(f"The sync stopped {where}. {sentence}")

    def _log(self, verdict: Verdict, now: float) -> None:
        """Log that Heap is unavailable, at most once a minute per cause."""
        trouble = f"returned {verdict.status}" if verdict.status else f"is not responding: {verdict.trouble}"
        if now - self._logged_at.get(trouble, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged_at[trouble] = now
            self._logger.warning(
                "Heap at %s %s. Retrying the same rows for up to ten minutes.", urlsplit(self._base_url).netloc, trouble
            )
