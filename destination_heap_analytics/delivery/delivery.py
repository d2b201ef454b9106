"""Rows -> Heap: what goes when is the planner's, what an answer means for the rows is said here.

    TAKEN                    the rows are delivered
    LATER                    the same bytes again, after a pause that grows; after ten minutes the run ends
    TOO_LARGE, REFUSED       the batch is halved, until the wrong rows stand alone and are rejected
    NO_ACCESS                the same, or the end of a run that has delivered nothing
    NOT_HEAP, LOCKED_OUT     the end of the run

Rows refused alone are held back until Heap has taken something since: a row, or the event of `check`. That tells rows
that are wrong from a set-up that is, at the start of a run and in the middle of it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from destination_heap_analytics.delivery.batch import Envelope, halves
from destination_heap_analytics.delivery.client import Kind, Verdict
from destination_heap_analytics.delivery.connection_check import explain
from destination_heap_analytics.delivery.planner import Job, Planner
from destination_heap_analytics.delivery.rate_limits import Pacer
from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError, SyncStoppedError, TransientError
from destination_heap_analytics.mapping.payload import Payload

BUDGET_SECONDS: Final = 600.0
"""How long a request is tried again and again; for 429, how long a run goes on without any delivery."""

POISON_SECONDS: Final = 300.0
"""How long a batch may meet nothing but 500, while others are delivered, before one of its rows is suspected."""

_SUSPECT_SECONDS: Final = 30.0
"""The same for a part of such a batch."""

_LAST_SUSPECT_SECONDS: Final = 120.0
"""The same for a row that stands alone."""

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0

DOUBTS: Final = 10
"""So many refusals in a row, and the set-up is in doubt."""

REFUSED_TRIES: Final = 12
"""How often a row that stands alone is sent before it is rejected with a status that is not how Heap refuses."""

_REFUSED_PAUSE: Final = 4.0

_DOUBT_SECONDS: Final = 2.0
"""Between two events of `check`: Heap takes 30 in 30 seconds for its identity."""

_PROOF_SECONDS: Final = 3.0
"""How long a refused row waits for a row that Heap takes; the states behind it wait too."""

_MOST_HELD: Final = 1000
_MOST_HELD_BYTES: Final = 16 * 1024 * 1024
_LOG_SECONDS: Final = 60.0

Settled = Callable[[Sequence[Payload], RowRejectedError | None], None]
"""Told of rows at their end: the rejection, or None for rows that Heap has taken."""

Send = Callable[[Job, str, bytes, int], None]
"""Posts a request (its job, path and body), the last of so many in flight; the answer comes back as an event."""


class _Held(NamedTuple):
    """A row refused alone, when that was, and how many requests had been sent then: to take those proves nothing."""

    item: Payload
    rejection: RowRejectedError
    since: float
    serial: int


class Delivery:
    """The rows of one run between the mapping and their end.

    Attributes:
        take: takes in a row that was read now (the row, and now), and says whether there is room for another.
        take_all: the same for rows that were read one after another.
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
        chance: random.Random,
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
        self._chance = chance
        self._logger = logger
        self._reached = False
        self._taken_at = now
        self._held: list[_Held] = []
        self._serial = 0
        self._refusals = 0
        self._refused_row = 0
        self._doubt: Job | None = None
        self._doubt_is_in_flight = False
        self._doubted_at = now - _DOUBT_SECONDS
        self._logged_at: dict[str, float] = {}

    @property
    def has_room(self) -> bool:
        """Whether more rows may come."""
        held_bytes = sum(held.item.kept for held in self._held)
        return self._planner.has_room and len(self._held) < _MOST_HELD and held_bytes < _MOST_HELD_BYTES

    @property
    def room(self) -> int:
        """How many rows may come at once; one at least, since that is asked of `has_room`."""
        return self._planner.room

    @property
    def in_flight(self) -> int:
        """Requests that Heap has not answered yet."""
        return self._planner.in_flight

    @property
    def is_idle(self) -> bool:
        """Whether every row has ended."""
        return self._planner.is_idle and not self._held and not self._doubt

    def flush(self) -> None:
        """No more rows will come."""
        self._planner.flushes = True

    def drop_after(self, number: int) -> None:
        """Forget the rows read after this one that have not gone; no more will come."""
        self._planner.drop_after(number)
        self.flush()

    def dispatch(self, now: float) -> None:
        """Send all that may go now."""
        self._doubt_the_set_up(now)
        if self._doubt and self._refusals >= DOUBTS:
            return  # what is answered now decides whether anything more is to go
        while job := self._planner.next(now):
            self._post(job, self._envelope.path, self._envelope.body(job.items))

    def wake_at(self, now: float) -> float:
        """When something may go that may not go now, if no answer comes before; infinity where nothing may."""
        doubt_at = float("inf")
        if self._doubt:
            doubt_at = self._doubt.due_at
        elif self._held or self._refusals >= DOUBTS:
            doubt_at = max(
                self._doubted_at + _DOUBT_SECONDS, self._held[0].since + _PROOF_SECONDS if self._held else now
            )
        return min(self._planner.wake_at(now), doubt_at if doubt_at > now else float("inf"))

    def answered(self, job: Job, verdict: Verdict, now: float) -> None:
        """Heap has answered a request, or has not in time.

        Raises:
            ConfigError: what answers is not Heap, or Heap lets this app in nowhere.
            TransientError: Heap or the network has not served for too long.
        """
        self._planner.landed(job, now)
        match verdict.kind:
            case Kind.TAKEN:
                self._taken(job, now)
            case Kind.LATER:
                self._later(job, verdict, now)
            case Kind.NOT_HEAP | Kind.LOCKED_OUT:
                raise self._stopped(job, verdict)
            case Kind.NO_ACCESS if not self._reached:
                raise self._stopped(job, verdict)
            case _:
                self._refused(job, verdict, now)

    def wound_down(self, job: Job, verdict: Verdict) -> None:
        """The same, for a run that sends nothing more: the rows that were taken count, the others have not ended."""
        self._planner.in_flight -= 1
        if verdict.kind is Kind.TAKEN and job.parts:
            self._settled(job.items, None)

    def _taken(self, job: Job, now: float) -> None:
        self._reached = True
        self._refusals = 0
        proven = [held for held in self._held if held.serial < job.serial]
        self._held = self._held[len(proven) :]
        for held in proven:
            self._settled([held.item], held.rejection)
        if job is self._doubt:
            self._doubt = None
        else:
            self._taken_at = now
            self._settled(job.items, None)
            self._go_on(job, now)

    def _post(self, job: Job, path: str, body: bytes) -> None:
        self._serial += 1
        job.serial = self._serial
        self._send(job, path, body, self._planner.in_flight)

    def _go_on(self, job: Job, now: float) -> None:
        """Its part has ended: turn to the next one."""
        job.parts.pop()
        if job.parts:
            job.next_part(now)
            self._planner.again(job)
        else:
            self._planner.done(job)

    def _refused(self, job: Job, verdict: Verdict, now: float) -> None:
        if job is not self._doubt and not (verdict.kind is Kind.TOO_LARGE and len(job.items) > 1):
            self._refusals += 1
            self._refused_row = job.items[0].number
        if len(job.items) > 1:
            self._halve(job, now)
            return
        if not verdict.breaks_a_rule and job.failures < REFUSED_TRIES - 1:
            self._ask_again(job, now)
            return
        if job is self._doubt:
            raise self._stopped(job, verdict)
        (item,) = job.items
        reason = Reason.REFUSED if verdict.breaks_a_rule else Reason.NO_ENTRY
        if verdict.kind is Kind.TOO_LARGE:
            reason = Reason.TOO_LARGE
        rejection = RowRejectedError(reason, status=verdict.status, words=verdict.words)
        self._held.append(_Held(item, rejection, now, self._serial))
        self._go_on(job, now)

    def _ask_again(self, job: Job, now: float) -> None:
        """Send it once more, after a pause: Heap refuses with 400 and 422, so this may be a fault on the way."""
        job.failures += 1
        job.due_at = now + self._chance.uniform(0.0, min(_REFUSED_PAUSE, _FIRST_PAUSE * 2 ** (job.failures - 1)))
        if job is self._doubt:
            self._doubt_is_in_flight = False
        else:
            self._planner.again(job)

    def _halve(self, job: Job, now: float) -> None:
        job.parts[-1:] = reversed(halves(job.items))
        job.next_part(now)
        self._planner.again(job)

    def _doubt_the_set_up(self, now: float) -> None:
        """Send the event of `check` where nothing else shows whether the rows are wrong or the set-up."""
        is_late = self._held and now - self._held[0].since >= _PROOF_SECONDS
        is_open = self._refusals >= DOUBTS or is_late or (self._held and self._planner.is_idle)
        if not self._doubt and is_open and now >= self._doubted_at + _DOUBT_SECONDS:
            self._doubt = Job([], [], due_at=now)
            self._doubted_at = now
            self._doubt_is_in_flight = False
        is_due = self._doubt and now >= self._doubt.due_at and not self._planner.is_held(now)
        if self._doubt and is_due and not self._doubt_is_in_flight:
            self._doubt_is_in_flight = True
            self._planner.sent(self._doubt, now)
            self._post(self._doubt, *self._preflight)

    def _later(self, job: Job, verdict: Verdict, now: float) -> None:
        self._planner.concurrency.congested(job.sent_at, now)
        is_throttled = verdict.status == HTTPStatus.TOO_MANY_REQUESTS
        if is_throttled:
            self._pacer.throttled(job.sent_at, now)
        job.failures += 1
        job.failing_since = min(job.failing_since, now)
        job.only_500 &= verdict.status == HTTPStatus.INTERNAL_SERVER_ERROR
        if self._is_poisoned(job, now):
            job.suspect = True
            self._halve(job, now)
            return
        if not verdict.was_sent and len(job.items) > 1:
            self._halve(job, now)  # the network may carry a smaller body in time
            return
        since = max(self._taken_at, job.failing_since) if is_throttled else job.failing_since
        left = since + BUDGET_SECONDS - now
        asked = verdict.retry_after or 0.0
        if asked > left > 0:
            raise self._stopped(
                job, verdict, f" Its Retry-After header asks for a wait of {-(-asked // 60):,.0f} minutes."
            )
        if left <= 0:
            raise self._stopped(job, verdict)
        if is_throttled and asked:
            self._planner.hold(now + asked)  # Heap limits the app: the other rows would be refused as well
        ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(job.failures - 1, 10))
        job.due_at = now + max(asked, min(left, self._chance.uniform(0.0, ceiling)))
        self._log(verdict, now)
        if job is self._doubt:
            self._doubt_is_in_flight = False
        else:
            self._planner.again(job)

    def _is_poisoned(self, job: Job, now: float) -> bool:
        """Whether one of its rows seems to make Heap fail, since Heap takes other requests meanwhile.

        Raises:
            TransientError: the row stands alone.
        """
        if not job.only_500 or self._taken_at < job.failing_since:
            return False
        failing = now - job.failing_since
        if len(job.items) > 1:
            return failing >= (_SUSPECT_SECONDS if job.suspect else POISON_SECONDS)
        if job.suspect and job.items and failing >= _LAST_SUSPECT_SECONDS:
            raise TransientError(
                f"The sync stopped at row {job.items[0].number}: Heap keeps answering 500 Internal Server Error to "
                "this row alone, while it accepts others. Remove the row from the source, or contact Heap's support."
            )
        return False

    def _stopped(self, job: Job, verdict: Verdict, more: str = "") -> SyncStoppedError:
        error = TransientError if verdict.kind is Kind.LATER else ConfigError
        sentence = explain(verdict, self._base_url, reached=self._reached)
        where = f"at row {job.items[0].number}" if job.items else f"after row {self._refused_row} was refused"
        return error(f"The sync stopped {where}. {sentence}{more}")

    def _log(self, verdict: Verdict, now: float) -> None:
        """Log that Heap is unavailable, at most once a minute for each cause."""
        trouble = f"answers {verdict.status}" if verdict.status else f"does not answer: {verdict.trouble}"
        if now - self._logged_at.get(trouble, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged_at[trouble] = now
            self._logger.warning("Heap %s. Retrying the same rows for up to ten minutes.", trouble)
